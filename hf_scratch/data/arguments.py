"""The flags that say which rows to use, and how."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class DataArguments:
    """Give one of --task_name, --dataset_name and --train_file."""

    task_name: str | None = field(default=None, metadata={"help": "A task of the table in hf_scratch/data/tasks.py."})
    dataset_name: str | None = field(
        default=None,
        metadata={"help": "A data set on the Hub, or a folder laid out like one; beside --task_name, a mirror of the task's."},
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    language: str | None = field(default=None, metadata={"help": "Of XNLI: the language to validate and test in, and train."})
    train_language: str | None = field(default=None, metadata={"help": "Of XNLI: the language to train in, if another."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a data set on the Hub."})
    train_file: str | None = field(
        default=None,
        metadata={"help": "csv, tsv, json, jsonl, parquet or txt, also .gz .bz2 .xz .zip .zst; a path or package://NAME/PATH."},
    )
    validation_file: str | None = field(default=None, metadata={"help": "Labelled rows that choose the checkpoint."})
    test_file: str | None = field(default=None, metadata={"help": "Rows that are touched once, at the end."})
    train_split_name: str | None = field(default=None, metadata={"help": "What the data set calls the part that trains."})
    validation_split_name: str | None = field(default=None, metadata={"help": "What it calls the validation part."})
    test_split_name: str | None = field(default=None, metadata={"help": "What it calls the test part."})
    remove_splits: str | None = field(default=None, metadata={"help": "Parts to leave out, separated by commas."})
    remove_columns: str | None = field(default=None, metadata={"help": "Columns to leave out, separated by commas."})
    text_column_names: str | None = field(
        default=None,
        metadata={"help": "The text column; two of them, separated by a comma, are a pair; more are joined into one text."},
    )
    text_column_delimiter: str | None = field(
        default=None, metadata={"help": "Joins the text columns into one text, two of them as well; a space for three or more."}
    )
    label_column_name: str | None = field(
        default=None,
        metadata={"help": "The label column, `label` by default; several, separated by commas, hold 0 or 1 for a label each."},
    )
    problem_type: Literal["regression", "single_label_classification", "multi_label_classification", "ordinal"] | None = field(
        default=None, metadata={"help": "The kind of labels, if not the one that is found from the data."}
    )
    do_regression: bool = field(default=False, metadata={"help": "The same as --problem_type regression."})
    max_seq_length: int = field(default=512, metadata={"help": "Longest input in tokens; longer texts are truncated."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on a seeded random sample."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Validate on a seeded random sample."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Test on a seeded random sample."})
    validation_fraction: float | None = field(
        default=None,
        metadata={
            "help": "Share of the texts in each part that is carved from training when none is given; by default a tenth, and "
            "at most 10,000."
        },
    )
    split_seed: int = field(default=42, metadata={"help": "Seed of the carved parts and of the samples."})
    allow_test_as_validation: bool = field(
        default=False, metadata={"help": "Validate on the test part where there is no validation part; marks the run's files."}
    )
    select_on_reported: bool = field(
        default=False, metadata={"help": "Choose the checkpoint on the rows that are reported; marks the run's files."}
    )
    shuffle_train_dataset: bool = field(
        default=False, metadata={"help": "Shuffle the training rows once, before a sequential sampler reads them."}
    )
    shuffle_seed: int = field(default=42, metadata={"help": "Seed of that."})
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Pad every batch to max_seq_length instead of to its longest row."}
    )
    long_text: Literal["head", "tail", "head_tail"] | None = field(
        default=None,
        metadata={
            "help": "What is read of texts that are too long: the beginning (default), the end, or 128 of 510 tokens from the "
            "beginning and the rest from the end (Sun et al. 2019)."
        },
    )
    truncation_side: Literal["left", "right"] | None = field(
        default=None, metadata={"help": "The same as --long_text: left cuts the beginning, right the end."}
    )
    overwrite_cache: bool = field(default=False, metadata={"help": "Read and tokenize again what is kept from earlier runs."})
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenize."})
    strict: bool = field(default=False, metadata={"help": "Refuse held-out texts that training has too."})
    drop_empty: bool = field(default=False, metadata={"help": "Leave training rows without text out."})
    drop_repeated: bool = field(default=False, metadata={"help": "Leave training rows out that repeat an earlier one's text."})
    drop_shared: bool = field(default=False, metadata={"help": "Leave training rows out whose text is in a held-out part."})
    drop_contradictory: bool = field(
        default=False, metadata={"help": "Leave training rows out whose text has another label elsewhere."}
    )
    merge_spellings: bool = field(default=False, metadata={"help": "Join classes that differ by case or space only."})
    class_weights: str = field(
        default="none",
        metadata={"help": "none, balanced, or a JSON or CSV file of class name and weight: of the loss in training."},
    )

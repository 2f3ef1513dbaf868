"""The flags that say which rows to use, and how."""

from dataclasses import dataclass, field


@dataclass
class DataArguments:
    """Give one of --task_name, --dataset_name and --train_file."""

    task_name: str | None = field(default=None, metadata={"help": "A task of the table in hf_scratch/data/tasks.py."})
    dataset_name: str | None = field(default=None, metadata={"help": "A data set on the Hub, or a folder laid out like one."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    train_file: str | None = field(
        default=None,
        metadata={"help": "csv, tsv, json, jsonl, parquet or txt, also .gz; a path or package://NAME/PATH."},
    )
    validation_file: str | None = field(default=None, metadata={"help": "Labelled rows that choose the checkpoint."})
    test_file: str | None = field(default=None, metadata={"help": "Rows that are touched once, at the end."})
    text_column_names: str | None = field(
        default=None, metadata={"help": "The text column, or two of them separated by a comma for pairs of texts."}
    )
    label_column_name: str | None = field(default=None, metadata={"help": "The label column; `label` by default."})
    max_seq_length: int = field(default=512, metadata={"help": "Longest input in tokens; longer texts are truncated."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on a seeded random sample."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Validate on a seeded random sample."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Test on a seeded random sample."})
    validation_fraction: float = field(
        default=0.1,
        metadata={"help": "Share of the rows in each part that is carved from training when none is given."},
    )
    split_seed: int = field(default=42, metadata={"help": "Seed of the carved parts and of the samples."})
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Pad every batch to max_seq_length instead of to its longest row."}
    )
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenize."})
    strict: bool = field(default=False, metadata={"help": "Refuse held-out texts that training has too."})
    drop_empty: bool = field(default=False, metadata={"help": "Leave training rows without text out."})
    drop_repeated: bool = field(default=False, metadata={"help": "Leave training rows out that repeat an earlier one's text."})
    drop_shared: bool = field(default=False, metadata={"help": "Leave training rows out whose text is in a held-out part."})
    drop_contradictory: bool = field(
        default=False, metadata={"help": "Leave training rows out whose text has another label elsewhere."}
    )
    merge_spellings: bool = field(default=False, metadata={"help": "Join classes that differ by case or space only."})

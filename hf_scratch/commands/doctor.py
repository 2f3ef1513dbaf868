"""Examine labelled text before training: what is wrong with it, and the flag that mends it.

It takes the flags of run_glue_style.py: put `hf-scratch doctor` in place of `python run_glue_style.py`. Without a model flag
tokens are counted with a vocabulary learnt from the texts. Errors end with exit code 2. For example:

    hf-scratch doctor --train_file reviews.csv --test_file test.csv --strict
    hf-scratch doctor --model_name_or_path bert-base-cased --task_name yelp_review_full --max_seq_length 256 --json
"""

import dataclasses

from ..data import cleaning, columns, doctor, sources, splits, statistics, tasks
from ..data.arguments import DataArguments
from ..data.diagnosis import Diagnosis
from ..screen import show
from ..training import models
from ..training.arguments import MODEL_FLAGS, RunArguments, parse_arguments

TAKES_RUN_FLAGS = True


def add_arguments(parser):
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the page")
    names = " ".join(f"--{field.name}" for field in dataclasses.fields(DataArguments))
    parser.epilog = f"The data flags, explained by `python run_glue_style.py --help`: {names}"


def run(args) -> int:
    settled = settle(args.run_flags)
    task = tasks.choose_task(settled.data)
    as_read = sources.load_splits(task, settled.access())
    task = columns.find_columns(as_read, task)
    examples, labels = cleaning.clean(*columns.to_examples(as_read, task), settled.data)
    tokens, positions = count_tokens(settled, examples)
    findings = doctor.examine(examples, labels, settled.data.strict) + doctor.examine_tokens(tokens, positions)
    diagnosis = Diagnosis(task.name, examples, labels, tokens, findings)
    show(diagnosis.json() if args.json else diagnosis.page())
    doctor.refuse(findings)
    splits.choose_parts(examples, settled.data, labels, selects=False, evaluates=True)  # what cannot be carved is told now
    return 0


def settle(flags: list[str]) -> RunArguments:
    """The flags of a run; those of the data are enough."""
    given = {word.split("=")[0].lstrip("-") for word in flags}
    if flags and not given.intersection(("recipe", *MODEL_FLAGS)):
        flags = [*flags, "--model_type", "scratch"]
    return parse_arguments(flags)


def count_tokens(args: RunArguments, examples) -> tuple[statistics.TokenStatistics, int | None]:
    """Token statistics of a sample of the training rows, and how many positions the model has."""
    sample = statistics.sample_rows(examples["train"], statistics.SAMPLE, args.data.split_seed)
    texts = [text for pair in columns.texts_of(sample) for text in pair]
    tokenizer = models.load_tokenizer(args.model, texts, args.data.max_seq_length)
    tokens = statistics.count_tokens(sample, len(examples["train"]), tokenizer, args.data.max_seq_length)
    return tokens, getattr(models.load_config(args.model), "max_position_embeddings", None)

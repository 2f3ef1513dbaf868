"""Which rows train, which choose the checkpoint, and which are reported: never the same for the last two."""

import math
from itertools import chain

from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split

from ..errors import UserError
from .arguments import DataArguments
from .columns import is_labelled, texts_of
from .labels import UNLABELLED

VALIDATION_NAMES = ("validation", "validation_matched", "valid", "val", "dev")


def choose_parts(
    examples: DatasetDict, args: DataArguments, selects: bool, evaluates: bool, predicts: bool = True
) -> DatasetDict:
    """Settle the parts of a run.

    | the data bring | train | validation | test |
    |---|---|---|---|
    | training only | what is left | carved | carved |
    | and a test part | what is left | carved | theirs |
    | and a validation part | all | theirs | theirs, if any |

    With a labelled test part and no evaluation before it, nothing needs to be carved. If the run selects a checkpoint and no
    labelled test part is predicted, the validation part is what is reported, and a part `selection` is carved from training.
    Rows of the validation part that have no label are left out: nothing can be told from them.

    Args:
        examples: splits as `to_examples` makes them.
        args: how much to carve and to sample, and the seed of both.
        selects: whether the run chooses a checkpoint by a metric.
        evaluates: whether it needs a validation part at all.
        predicts: whether the test part is predicted and so reported.

    Raises:
        UserError: if there is no training part, too few rows to carve from, or a sample of one class.
    """
    if "train" not in examples:
        raise UserError(f"the data have the parts {', '.join(examples)}, but training needs one called train; rename it")
    train = examples["train"]
    validation = labelled_rows(next((examples[name] for name in VALIDATION_NAMES if name in examples), None))
    test = examples.get("test")

    missing = []
    if validation is None and test is None:
        missing.append("test")
    reported = predicts and ("test" in missing or (test is not None and is_labelled(test)))
    if validation is None and (evaluates or not reported):
        missing.append("validation")
    if selects and not reported:
        missing.append("selection")
    train, carved = carve(train, missing, args.validation_fraction, args.split_seed)
    held_out = {"selection": None, "validation": validation, "test": test} | carved

    parts = DatasetDict(train=sample(train, args.max_train_samples, args.split_seed))
    for part, rows in held_out.items():
        size = args.max_predict_samples if part == "test" else args.max_eval_samples
        if rows is not None:
            parts[part] = sample(rows, size, args.split_seed)
    if len(set(parts["train"]["label"])) < 2:
        raise UserError(
            f"a sample of {len(parts['train'])} training rows holds one class only, but a classifier needs at least 2; give a "
            "larger --max_train_samples"
        )
    return parts


def labelled_rows(rows: Dataset | None) -> Dataset | None:
    """The rows that can be scored, or None where there are none."""
    labelled = [row for row, label in enumerate(rows["label"][:]) if label != UNLABELLED] if rows else []
    return rows.select(labelled) if labelled else None


def carve(rows: Dataset, names: list[str], fraction: float, seed: int) -> tuple[Dataset, dict[str, Dataset]]:
    """Split off stratified parts of one size; rows with the same text stay together, on one side.

    Args:
        rows: of the training part.
        names: of the parts to split off, one after the other.
        fraction: of the different texts, in each of them.
        seed: of the splits.

    Returns:
        The rest, and the parts by their names.

    Raises:
        UserError: if the parts would leave nothing, or are too small to hold every class.
    """
    if not names:
        return rows, {}
    if not 0 < fraction < 0.5:
        raise UserError(f"--validation_fraction is {fraction:g}, but it must be above 0 and below 0.5; try 0.1")
    groups: dict[tuple[str, str], list[int]] = {}
    for row, text in enumerate(texts_of(rows)):
        groups.setdefault(text, []).append(row)
    labels = rows["label"][:]
    rest = list(groups.values())
    size = math.ceil(fraction * len(rest))
    carved = {}
    for name in names:
        strata = [labels[rows_of_text[0]] for rows_of_text in rest]
        try:
            rest, part = train_test_split(rest, test_size=size, random_state=seed, stratify=strata)
        except ValueError as error:
            raise UserError(
                f"a {name} part of {size} texts cannot be carved from the training part, with {len(groups)} different texts in "
                f"{len(set(labels))} classes ({error}); give files for the parts or more rows, try another "
                "--validation_fraction, or drop the classes with few texts"
            ) from error
        rest.sort()
        carved[name] = rows.select(sorted(chain(*part)))
    return rows.select(sorted(chain(*rest))), carved


def sample(rows: Dataset, size: int | None, seed: int) -> Dataset:
    """A seeded random sample: the first rows of a file sorted by label would be one class."""
    if size is None or size >= len(rows):
        return rows
    if size < 1:
        raise UserError(
            f"a sample of {size} rows was asked for, but it needs at least 1; mend --max_train_samples, --max_eval_samples or "
            "--max_predict_samples"
        )
    return rows.shuffle(seed=seed).select(range(size))

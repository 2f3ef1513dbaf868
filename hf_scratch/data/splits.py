"""Which rows train, which choose the checkpoint, and which are reported: never the same for the last two."""

from itertools import chain

from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split

from ..errors import UserError
from .arguments import DataArguments
from .columns import is_labelled

VALIDATION_NAMES = ("validation", "validation_matched", "valid", "val", "dev")


def choose_parts(examples: DatasetDict, args: DataArguments, selects: bool, evaluates: bool) -> DatasetDict:
    """Settle the parts of a run.

    | the data bring | train | validation | test |
    |---|---|---|---|
    | training only | what is left | carved | carved |
    | and a test part | what is left | carved | theirs |
    | and a validation part | all | theirs | theirs, if any |

    With a labelled test part and no evaluation before it, nothing needs to be carved. If the run selects a checkpoint and no
    test part is labelled, the validation part is what is reported, and a part `selection` is carved from training.

    Args:
        examples: splits as `to_examples` makes them.
        args: how much to carve and to sample, and the seed of both.
        selects: whether the run chooses a checkpoint by a metric.
        evaluates: whether it needs a validation part at all.

    Raises:
        UserError: if there is no training part, or too few rows to carve from.
    """
    if "train" not in examples:
        raise UserError(f"the data have the parts {', '.join(examples)}, but training needs one called train; rename it")
    train = examples["train"]
    validation = next((examples[name] for name in VALIDATION_NAMES if name in examples), None)
    if validation is not None and not is_labelled(validation):
        validation = None
    test = examples.get("test")

    parts = DatasetDict()
    fraction = args.validation_fraction
    if validation is None and test is None:
        train, test = carve(train, fraction, args.split_seed)
        fraction /= 1 - fraction
    reported = test is not None and is_labelled(test)
    if validation is None and (evaluates or not reported):
        train, validation = carve(train, fraction, args.split_seed)
    if selects and not reported:
        train, parts["selection"] = carve(train, fraction, args.split_seed)
    parts["train"] = sample(train, args.max_train_samples, args.split_seed)
    if validation is not None:
        parts["validation"] = sample(validation, args.max_eval_samples, args.split_seed)
    if test is not None:
        parts["test"] = sample(test, args.max_predict_samples, args.split_seed)
    return parts


def carve(rows: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split off a stratified share; rows with the same text stay together, on one side.

    Returns:
        The rest, and the share.

    Raises:
        UserError: if the share would be too small to hold every class.
    """
    if not 0 < fraction < 0.5:
        raise UserError(f"--validation_fraction is {fraction:g}, but it must be above 0 and below 0.5; try 0.1")
    pairs = rows["text_pair"] if "text_pair" in rows.column_names else [""] * len(rows)
    groups: dict[tuple[str, str], list[int]] = {}
    for row, text in enumerate(zip(rows["text"], pairs, strict=True)):
        groups.setdefault(text, []).append(row)
    labels = rows["label"][:]
    members = list(groups.values())
    strata = [labels[rows_of_text[0]] for rows_of_text in members]
    try:
        rest, share = train_test_split(members, test_size=fraction, random_state=seed, stratify=strata)
    except ValueError as error:
        raise UserError(
            f"a share of {fraction:g} cannot be carved from {len(members)} different training texts in {len(set(strata))} "
            f"classes ({error}); give --validation_file or a larger --validation_fraction, or drop classes with a single text"
        ) from error
    return rows.select(sorted(chain(*rest))), rows.select(sorted(chain(*share)))


def sample(rows: Dataset, size: int | None, seed: int) -> Dataset:
    """A seeded random sample: the first rows of a file sorted by label would be one class."""
    if size is None or size >= len(rows):
        return rows
    if size < 1:
        raise UserError(f"a sample of {size} rows was asked for, but it needs at least 1; mend --max_..._samples")
    return rows.shuffle(seed=seed).select(range(size))

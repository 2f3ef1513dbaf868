"""Which rows train, which choose the checkpoint, and which are reported: never the same for the last two, unless asked for."""

import math

import numpy as np
from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split

from ..errors import UserError
from .arguments import DataArguments
from .arrow import contiguous
from .labels import Labels
from .statistics import text_groups

VALIDATION_NAMES = ("validation", "validation_matched", "valid", "val", "dev")
TEST_NAMES = ("test", "test_matched")
FURTHER_NAMES = ("validation_mismatched", "test_mismatched", "ax")  # GLUE's: predicted and told as well, never selected on

FRACTION = 0.1
MOST = 10_000  # rows of a carved part, if no fraction is asked for: they tell an accuracy to a point
BINS = 10  # of a regression's answers


def choose_parts(
    examples: DatasetDict, args: DataArguments, labels: Labels, selects: bool, evaluates: bool, predicts: bool = True
) -> DatasetDict:
    """Settle the parts of a run.

    | the data bring | train | validation | test |
    |---|---|---|---|
    | training only | what is left | carved | carved |
    | and a test part | what is left | carved | theirs |
    | and a validation part | all | theirs | theirs, if any |

    With a labelled test part and no evaluation before it, nothing needs to be carved. If the run selects a checkpoint and no
    labelled test part is predicted, the validation part is what is reported, and a part `selection` is carved from training,
    unless --select_on_reported. With --allow_test_as_validation a missing validation part is not carved, but is the test part.
    Rows of the validation part that have no label are left out: nothing can be told from them.

    Args:
        examples: splits as `to_examples` makes them.
        args: how much to carve and to sample, and the seed of both.
        labels: of the task.
        selects: whether the run chooses a checkpoint by a metric.
        evaluates: whether it needs a validation part at all.
        predicts: whether the test part is predicted and so reported.

    Raises:
        UserError: if there is no training part, too few rows to carve from, or a sample of one class.
    """
    if "train" not in examples:
        raise UserError(
            f"the data have the parts {', '.join(examples)}, but training needs one called train; rename it, or name it with "
            "--train_split_name"
        )
    train = examples["train"]
    validation = labelled_rows(first_of(examples, VALIDATION_NAMES), labels)
    test = first_of(examples, TEST_NAMES)
    if validation is None and args.allow_test_as_validation:
        validation = labelled_rows(test, labels)

    missing = []
    if validation is None and test is None:
        missing.append("test")
    reported = predicts and ("test" in missing or (test is not None and labels.known(test).any()))
    if validation is None and (evaluates or not reported):
        missing.append("validation")
    if selects and not reported and not args.select_on_reported:
        missing.append("selection")
    train, carved = carve(train, missing, labels, args.validation_fraction, args.split_seed)
    parts = {"train": train, "selection": None, "validation": validation, "test": test} | carved
    parts |= {name: examples[name] for name in FURTHER_NAMES if name in examples}
    parts = sampled(parts, args)
    gold = labels.gold(parts["train"])
    if (gold == gold[0]).all():
        raise UserError(
            f"a sample of {len(parts['train'])} training rows holds one {'class' if labels.single else 'answer'} only, but a "
            "classifier needs at least 2; give a larger --max_train_samples"
        )
    return parts


def sampled(parts: dict[str, Dataset | None], args: DataArguments) -> DatasetDict:
    """As many rows of each part as the flags allow, training's in the order that they ask for; parts that are None left out."""
    sizes = dict.fromkeys(("selection", "validation", "validation_mismatched"), args.max_eval_samples)
    sizes["train"] = args.max_train_samples
    few = {
        part: sample(rows, sizes.get(part, args.max_predict_samples), args.split_seed)
        for part, rows in parts.items()
        if rows is not None
    }
    if args.shuffle_train_dataset:
        few["train"] = few["train"].shuffle(seed=args.shuffle_seed)
    return DatasetDict({part: contiguous(rows) for part, rows in few.items()})


def first_of(examples: DatasetDict, names: tuple[str, ...]) -> Dataset | None:
    return next((examples[name] for name in names if name in examples), None)


def marks(parts: DatasetDict, labels: Labels, selects: bool, predicts: bool) -> dict[str, str]:
    """What every file of a run must say of its parts, by key; nothing of a run whose numbers are fair.

    Args:
        parts: as `choose_parts` makes them.
        labels: of the task.
        selects: whether the run chooses a checkpoint by a metric.
        predicts: whether the test part is predicted and so reported.
    """
    validation, test = parts.get("validation"), parts.get("test")
    chooses = parts.get("selection", validation)
    reported = test if predicts and test is not None and labels.known(test).any() else validation
    found = {}
    if selects and share_rows(chooses, reported):
        found["selected_on_reported"] = (
            "The checkpoint was chosen on rows that are reported: the numbers are higher than those on new texts will be."
        )
    if share_rows(validation, test):
        found["test_as_validation"] = "The validation part is the test part: whatever was tuned on it was tuned on the test."
    return found


def share_rows(one: Dataset | None, other: Dataset | None) -> bool:
    return one is not None and other is not None and not set(one["id"]).isdisjoint(other["id"])


def about_carving(examples: DatasetDict, parts: DatasetDict, args: DataArguments, labels: Labels) -> list[str]:
    """That parts carved from many rows are smaller than a tenth of them, and that they lack classes, if so."""
    carved = [part for part in parts if part != "train" and parts[part][0]["id"].startswith("train/")]
    told = []
    if carved and args.validation_fraction is None and FRACTION * len(examples["train"]) > MOST:
        told.append(
            f"carved from training: {' and '.join(carved)}, {MOST:,} texts each, which tell an accuracy to a point; "
            "--validation_fraction takes more"
        )
    for part in carved if labels.single else ():
        ids = np.setdiff1d(labels.gold(parts["train"]), labels.gold(parts[part]))
        lacking = [repr(labels.names[id_]) for id_ in ids if id_ >= 0]
        if lacking:
            told.append(
                f"the carved {part} part has no row of {len(lacking)} of the classes, {', '.join(lacking[:5])}"
                f"{', ...' if len(lacking) > 5 else ''}, so that no number of it tells of them; add rows of them, or join them"
            )
    return told


def labelled_rows(rows: Dataset | None, labels: Labels) -> Dataset | None:
    """The rows that can be scored, or None where there are none."""
    labelled = labels.known(rows).nonzero()[0] if rows else []
    if not len(labelled):
        return None
    return rows if len(labelled) == len(rows) else rows.select(labelled)


def carve(
    rows: Dataset, names: list[str], labels: Labels, fraction: float | None, seed: int
) -> tuple[Dataset, dict[str, Dataset]]:
    """Split off stratified parts of one size; rows with the same text stay together, on one side.

    A class with fewer texts than there are sides stays in training: a part without it tells nothing of it, a training part
    without it learns nothing of it.

    Args:
        rows: of the training part.
        names: of the parts to split off, one after the other.
        labels: of the task.
        fraction: of the different texts, in each of them; by default a tenth, and at most 10,000.
        seed: of the splits.

    Returns:
        The rest, and the parts by their names.

    Raises:
        UserError: if the parts would leave nothing, or are too small to hold every class.
    """
    if not names:
        return rows, {}
    if fraction is not None and not 0 < fraction < 0.5:
        raise UserError(f"--validation_fraction is {fraction:g}, but it must be above 0 and below 0.5; try {FRACTION}")
    first, group = groups_of_texts(rows)
    strata = stratify(rows, labels)[first]
    values, counts = np.unique(strata, return_counts=True)
    few = values[counts <= len(names)]
    rare = np.isin(strata, few if len(values) - len(few) > 1 else [])  # a part of one class tells nothing
    rest = (~rare).nonzero()[0]
    size = min(math.ceil(FRACTION * len(first)), MOST) if fraction is None else math.ceil(fraction * len(first))
    carved = {}
    for name in names:
        try:
            rest, part = train_test_split(rest, test_size=size, random_state=seed, stratify=strata[rest])
        except ValueError as error:
            raise UserError(
                f"a {name} part of {size} texts cannot be carved from the training part, with {len(first)} different texts in "
                f"{len(values)} {'classes' if labels.single else 'groups'} ({error}); give files for the parts or more rows, "
                "or try another --validation_fraction"
            ) from error
        rest.sort()
        carved[name] = rows.select(np.isin(group, part).nonzero()[0])
    rest = np.concatenate([rest, rare.nonzero()[0]])
    return rows.select(np.isin(group, rest).nonzero()[0]), carved


def groups_of_texts(rows: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the same text as one group, the groups in the order of their first rows.

    Returns:
        The first row of each group, `(G,)`, and each row's group, `(N,)`.
    """
    group = text_groups(DatasetDict(train=rows))["train"]
    return np.unique(group, return_index=True)[1], group


def stratify(rows: Dataset, labels: Labels) -> np.ndarray:
    """What each row is counted as when parts are carved, `(N,)`: its class; of several its rarest; of a number its tenth.

    Args:
        rows: with the column `label`.
        labels: of the task.
    """
    gold = labels.gold(rows)
    if labels.single:
        return gold
    if labels.kind == "regression":
        edges = np.unique(np.quantile(gold, np.linspace(0, 1, BINS + 1)[1:-1]))
        return joined_small(np.searchsorted(edges, gold, side="right"))
    frequencies = np.where(gold == 1, gold.sum(axis=0), len(gold) + 1)  # (N, L)
    return joined_small(np.where(gold.any(axis=1), frequencies.argmin(axis=1), labels.num_labels))


def joined_small(strata: np.ndarray, fewest: int = 10) -> np.ndarray:
    """Strata with fewer rows than any of the parts could share are one with the largest."""
    values, counts = np.unique(strata, return_counts=True)
    return np.where(np.isin(strata, values[counts < fewest]), values[counts.argmax()], strata)


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

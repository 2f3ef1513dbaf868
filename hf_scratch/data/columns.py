"""From any table to examples: an id, one text or two, and a class that is known by its name."""

from dataclasses import replace

from datasets import ClassLabel, Dataset, DatasetDict, Value

from ..errors import UserError, closest
from .labels import UNLABELLED, Labels
from .tasks import Task

TEXT_NAMES = ("text", "sentence", "review", "content", "message", "body")
LABEL_NAMES = ("label", "labels")
MISSING = ("", str(UNLABELLED))


def find_columns(splits: DatasetDict, task: Task) -> Task:
    """The task with its text and label columns settled, by the flags, by the table or by their usual names.

    Raises:
        UserError: if there is no training part, a named column is missing, or none can be told to be the text or the label.
    """
    if "train" not in splits:
        raise UserError(
            f"{task.name} has the parts {', '.join(splits)}, but training needs one called train; rename one, or give files"
        )
    columns = splits["train"].column_names
    for name in (*task.text_columns, *filter(None, [task.label_column])):
        if name not in columns:
            raise UserError(
                f"{task.name}: there is no column {name!r}; the columns are {', '.join(columns)}.{closest(name, columns)} "
                "Name them with --text_column_names and --label_column_name"
            )
    label = task.label_column or next((name for name in LABEL_NAMES if name in columns), None)
    if label is None:
        raise UserError(
            f"{task.name}: no label column; it is looked for as {' or '.join(map(repr, LABEL_NAMES))}, and the columns are "
            f"{', '.join(columns)}; name it with --label_column_name"
        )
    texts = task.text_columns or (find_text_column(splits["train"], label, task.name),)
    if len(texts) > 2:
        raise UserError(f"--text_column_names names {len(texts)} columns, but an input is one text or a pair; name 1 or 2")
    if label in texts:
        raise UserError(f"column {label!r} is named as text and as label, but a model must not read the answer; name another")
    return replace(task, text_columns=texts, label_column=label)


def find_text_column(rows: Dataset, label: str, name: str) -> str:
    """The column with a usual name, else the only other column that holds text."""
    usual = [column for column in TEXT_NAMES if column in rows.column_names and column != label]
    strings = [
        column
        for column, feature in rows.features.items()
        if isinstance(feature, Value) and feature.dtype in ("string", "large_string") and column != label
    ]
    if usual:
        return usual[0]
    if len(strings) == 1:
        return strings[0]
    raise UserError(
        f"{name}: the text column cannot be told among {', '.join(strings) or 'no columns of text'}; name it with "
        "--text_column_names (two names, separated by a comma, for a pair of texts)"
    )


def to_examples(splits: DatasetDict, task: Task) -> tuple[DatasetDict, Labels]:
    """Bring every split into one form.

    Args:
        splits: as they were read.
        task: with its columns settled by `find_columns`.

    Returns:
        Splits with the columns `id` ("train/17": split and row), `text`, for pairs `text_pair`, and `label` (int; -1 where a
        held-out row has none); and what the labels are.

    Raises:
        UserError: if a split is empty, a text is no text, or a label is missing in training or unknown outside it.
    """
    for split, rows in splits.items():
        if not len(rows):
            raise UserError(f"{task.name}: the {split} part has no rows; give a file or data set that has some")
    labels = {split: read_labels(rows, task.label_column, task.label_names) for split, rows in splits.items()}
    names = class_names(labels["train"], splits["train"].features[task.label_column], task)
    examples = {}
    for split, rows in splits.items():
        columns = {"id": [f"{split}/{row}" for row in range(len(rows))]}
        for column, source in zip(("text", "text_pair"), task.text_columns, strict=False):
            columns[column] = text_column(rows, source, split)
        columns["label"] = label_ids(labels[split], names, split, task.label_column)
        examples[split] = Dataset.from_dict(columns)
    if task.drop_repeated:
        examples = {split: without_repeated(rows) for split, rows in examples.items()}
    return DatasetDict(examples), Labels("classification", tuple(names))


def text_column(rows: Dataset, column: str, split: str) -> list[str]:
    if column not in rows.column_names:
        raise UserError(f"the {split} part has no column {column!r}, as training has; give its rows the same columns")
    feature = rows.features[column]
    texts = rows[column][:]
    if getattr(feature, "dtype", None) not in ("string", "large_string"):
        blank = all(text is None for text in texts)
        raise UserError(
            f"column {column!r} of the {split} part holds {'nothing' if blank else getattr(feature, 'dtype', feature)}, but a "
            "text column holds strings; name the right one with --text_column_names"
        )
    empty = [row for row, text in enumerate(texts) if not (text or "").strip()]
    if len(empty) == len(texts):
        raise UserError(
            f"column {column!r} of the {split} part is empty in all {len(texts)} rows, but there must be text to learn from; "
            "name the right column with --text_column_names"
        )
    return [text or "" for text in texts]


def read_labels(rows: Dataset, column: str, own_names: tuple[str, ...] = ()) -> list[str | None]:
    """Each row's class by its name, and None where a label is missing: an empty cell, NaN or -1, as the Hub hides labels.

    Args:
        rows: a split as it was read; without the column it is unlabelled.
        column: of the label.
        own_names: of the classes 0, 1, ..., where the data hold numbers only.

    Raises:
        UserError: if a value is no class.
    """
    if column not in rows.column_names:
        return [None] * len(rows)
    feature = rows.features[column]
    if isinstance(feature, ClassLabel):
        own_names = tuple(feature.names)
    labels = [label_name(value, column) for value in rows[column][:]]
    numbers = {str(number): name for number, name in enumerate(own_names)}
    return [None if label in MISSING else numbers.get(label, label) for label in labels]


def label_name(value, column: str) -> str:
    """A cell of the label column as text: 3.0 and 3 are both "3"."""
    if value is None or value != value:
        return ""
    if isinstance(value, list | dict):
        raise UserError(
            f"column {column!r} holds {value!r}, but a class is one name or one whole number a row; name the right column with "
            "--label_column_name"
        )
    if isinstance(value, float):
        if not value.is_integer():
            raise UserError(
                f"column {column!r} holds {value}, but a class is a name or a whole number; name the right column with "
                "--label_column_name, or bin the numbers into classes"
            )
        value = int(value)
    return str(value).strip()


def class_names(labels: list[str | None], feature, task: Task) -> list[str]:
    """The names of the classes, in the order of their ids.

    Kept as they are where the data or the task name them; else the different labels of the training part, numbers in the
    order of numbers ("10" after "9").

    Args:
        labels: of the training part.
        feature: of its label column.
        task: with its columns settled.

    Raises:
        UserError: if a label is missing, or only one class occurs.
    """
    missing = [row for row, label in enumerate(labels) if label is None]
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UserError(
            f"{task.name}: {len(missing)} of {len(labels)} training rows have no label in column {task.label_column!r} (rows "
            f"{some}; an empty cell, NaN or -1 is no label), but each needs one; fill them in, drop them, or name the right "
            "column with --label_column_name"
        )
    found = sorted(set(labels), key=number_then_text)
    if len(found) < 2:
        raise UserError(
            f"{task.name}: the training part holds only the class {found[0]!r} in column {task.label_column!r}, but a "
            "classifier needs at least 2; check the file, or name the right column with --label_column_name"
        )
    return list(feature.names if isinstance(feature, ClassLabel) else task.label_names or found)


def number_then_text(name: str) -> tuple:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def label_ids(labels: list[str | None], names: list[str], split: str, column: str) -> list[int]:
    """Class ids by name, never by position: a part may number its classes in another order; -1 for a missing label."""
    ids = {name: id_ for id_, name in enumerate(names)} | {None: UNLABELLED}
    unknown = sorted(set(labels) - set(ids))
    if unknown:
        raise UserError(
            f"the {split} part holds the label {', '.join(unknown[:5])} in column {column!r}, which training does not "
            f"({', '.join(names[:20])}); a class must be learnt before it is asked for: mend the label, or add training "
            "rows of it"
        )
    return [ids[label] for label in labels]


def renumber(parts: DatasetDict, labels: Labels, order: Labels) -> DatasetDict:
    """The same rows with their class ids in another order of the same names.

    Args:
        parts: with the column `label`.
        labels: in the order of today's ids.
        order: the same, in the order wanted.
    """
    ids = {id_: order.names.index(name) for id_, name in enumerate(labels.names)} | {UNLABELLED: UNLABELLED}
    return DatasetDict(
        {
            part: rows.remove_columns("label").add_column("label", [ids[label] for label in rows["label"][:]])
            for part, rows in parts.items()
        }
    )


def without_repeated(rows: Dataset) -> Dataset:
    first = dict(reversed([(text, row) for row, text in enumerate(texts_of(rows))]))
    return rows.select(sorted(first.values()))


def texts_of(rows: Dataset) -> list[tuple[str, str]]:
    """Each row's text and pair, the pair empty where there is none."""
    pairs = rows["text_pair"][:] if "text_pair" in rows.column_names else [""] * len(rows)
    return list(zip(rows["text"][:], pairs, strict=True))


def is_labelled(rows: Dataset) -> bool:
    return any(label != UNLABELLED for label in rows["label"][:])

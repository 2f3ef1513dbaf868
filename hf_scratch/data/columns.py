"""From any table to examples: an id, one text or two, and a class that is known by its name."""

from dataclasses import replace

import datasets
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Value

from ..errors import UserError, closest
from .tasks import Task

TEXT_NAMES = ("text", "sentence", "review", "content", "message", "body")
LABEL_NAMES = ("label", "labels")
UNLABELLED = -1


def find_columns(splits: DatasetDict, task: Task) -> Task:
    """The task with its text and label columns settled, by the flags, by the table or by their usual names.

    Raises:
        UserError: if a named column is missing, or none can be told to be the text or the label.
    """
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


def to_examples(splits: DatasetDict, task: Task) -> tuple[DatasetDict, list[str]]:
    """Bring every split into one form.

    Args:
        splits: as they were read.
        task: with its columns settled by `find_columns`.

    Returns:
        Splits with the columns `id` ("train/17": split and row), `text`, for pairs `text_pair`, and `label` (int; -1 where a
        held-out row has none); and the names of the classes 0, 1, ....

    Raises:
        UserError: if a split is empty, a text is no text, or a label is missing in training or unknown outside it.
    """
    for split, rows in splits.items():
        if not len(rows):
            raise UserError(f"{task.name}: the {split} part has no rows; give a file or data set that has some")
    names = class_names(splits["train"], task)
    examples = {}
    for split, rows in splits.items():
        columns = {"id": [f"{split}/{row}" for row in range(len(rows))]}
        for column, source in zip(("text", "text_pair"), task.text_columns, strict=False):
            columns[column] = text_column(rows, source, split)
        columns["label"] = label_ids(rows, split, task, names)
        examples[split] = Dataset.from_dict(columns)
    if task.drop_repeated:
        examples = {split: without_repeated(rows) for split, rows in examples.items()}
    return DatasetDict(examples), names


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


def class_names(train: Dataset, task: Task) -> list[str]:
    """The names of the classes, in the order of their ids.

    Kept as they are where the data or the task name them; else the different values of the training part, numbers in the
    order of numbers ("10" after "9").

    Raises:
        UserError: if the values are not classes, or only one occurs.
    """
    feature = train.features[task.label_column]
    values = pd.Series(train[task.label_column][:], dtype=object).dropna()
    values = values[values != UNLABELLED]
    if isinstance(feature, ClassLabel):
        names = feature.names
    elif task.label_names:
        names = list(task.label_names)
    else:
        names = sorted({label_name(value, task.label_column) for value in values}, key=number_then_text)
    if values.nunique() < 2:
        only = f"only the class {values.iloc[0]!r}" if len(values) else "no label"
        raise UserError(
            f"{task.name}: the training part holds {only} in column {task.label_column!r}, but a classifier needs at least 2 "
            "classes; check --label_column_name and the file"
        )
    return names


def label_name(value, column: str) -> str:
    if isinstance(value, float) and not value.is_integer():
        raise UserError(
            f"column {column!r} holds {value}, but a class is a name or a whole number; name the right column with "
            "--label_column_name, or bin the numbers into classes"
        )
    if isinstance(value, list | dict):
        raise UserError(f"column {column!r} holds {value!r}, but a class is one name or one whole number a row")
    return str(int(value)) if isinstance(value, float) else str(value).strip()


def number_then_text(name: str):
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def label_ids(rows: Dataset, split: str, task: Task, names: list[str]) -> list[int]:
    """Class ids by name, never by position; -1 for a held-out row without a label."""
    column = task.label_column
    if column not in rows.column_names:
        return [UNLABELLED] * len(rows)
    feature = rows.features[column]
    values = rows[column][:]
    if isinstance(feature, ClassLabel):
        own = feature.names  # a part may number its classes in another order than training does
        ids = {value: names.index(own[value]) if own[value] in names else None for value in range(len(own))}
    elif task.label_names:
        ids = dict(enumerate(range(len(names))))
    else:
        ids = {value: names.index(name) for value in set(values) - {None} if (name := label_name(value, column)) in names}
    ids |= dict.fromkeys((None, UNLABELLED), UNLABELLED)
    found = [ids.get(value if value == value else None) for value in values]  # NaN is a missing label
    unknown = sorted({str(value) for value, id_ in zip(values, found, strict=True) if id_ is None})
    if unknown:
        raise UserError(
            f"the {split} part holds the label {', '.join(unknown[:5])}, which training does not ({', '.join(names[:20])}); a "
            "class must be learnt before it is asked for: mend the label or add training rows of it"
        )
    missing = [row for row, id_ in enumerate(found) if id_ == UNLABELLED]
    if missing and split == "train":
        raise UserError(
            f"{len(missing)} training rows have no label (rows {', '.join(map(str, missing[:5]))} ...), but each needs one; "
            "fill them in or drop them"
        )
    return found


def without_repeated(rows: Dataset) -> Dataset:
    texts = pd.Series(rows["text"][:])
    return rows.select((~texts.duplicated()).to_numpy().nonzero()[0])


def is_labelled(rows: Dataset) -> bool:
    return any(label != UNLABELLED for label in rows["label"])


datasets.utils.logging.set_verbosity_error()

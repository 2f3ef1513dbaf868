"""From any table to examples: an id, one text or two, and an answer."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Value

from ..errors import UserError, closest
from .answers import check_training, find_answers
from .arrow import TEXT_COLUMNS, arrow_column, iterate_texts, with_column
from .cells import as_lists
from .labels import Labels
from .statistics import text_groups
from .tasks import Task

TEXT_NAMES = ("text", "sentence", "review", "content", "message", "body")
PAIR_NAMES = (
    *(("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence")),
    *(("text1", "text2"), ("text", "text_pair")),
)
LABEL_NAMES = ("label", "labels")
STRINGS = ("string", "large_string", "string_view")


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
    for name in (*task.text_columns, *task.label_columns):
        if name not in columns:
            raise UserError(
                f"{task.name}: there is no column {name!r}; the columns are {', '.join(columns)}.{closest(name, columns)} "
                "Name them with --text_column_names and --label_column_name"
            )
    labels = task.label_columns or tuple(name for name in LABEL_NAMES if name in columns)[:1]
    if not labels:
        raise UserError(
            f"{task.name}: no label column; it is looked for as {' or '.join(map(repr, LABEL_NAMES))}, and the columns are "
            f"{', '.join(columns)}; name it with --label_column_name"
        )
    texts = task.text_columns or find_text_columns(splits["train"], labels, task.name)
    for name in {name for name in texts if name in labels}:
        raise UserError(f"column {name!r} is named as text and as label, but a model must not read the answer; name another")
    for names, flag in ((texts, "--text_column_names"), (labels, "--label_column_name")):
        if len(set(names)) < len(names):
            raise UserError(f"{flag} names a column twice ({', '.join(names)}), but once is enough; leave the repeated away")
    return replace(task, text_columns=texts, label_columns=labels)


def find_text_columns(rows: Dataset, labels: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The columns with the usual names of a pair or a text, else the only other column that holds text."""
    columns = [column for column in rows.column_names if column not in labels]
    usual = usual_text_columns(columns)
    strings = [
        column for column in columns if is_text(rows, column) and not column.startswith(tuple(f"{label}_" for label in labels))
    ]
    if usual:
        return usual[0]
    if len(strings) == 1:
        return (strings[0],)
    raise UserError(
        f"{name}: the text column cannot be told among {', '.join(strings) or 'no columns of text'}; name it with "
        "--text_column_names (two names, separated by a comma, for a pair of texts)"
    )


def usual_text_columns(columns: list[str]) -> list[tuple[str, ...]]:
    """Those that are called as texts usually are, pairs first."""
    return [pair for pair in PAIR_NAMES if set(pair) <= set(columns)] + [(text,) for text in TEXT_NAMES if text in columns]


def is_text(rows: Dataset, column: str) -> bool:
    feature = rows.features[column]
    return isinstance(feature, Value) and feature.dtype in STRINGS


def to_examples(splits: DatasetDict, task: Task) -> tuple[DatasetDict, Labels]:
    """Bring every split into one form; the texts stay where they are, on disk.

    Args:
        splits: as they were read.
        task: with its columns settled by `find_columns`.

    Returns:
        Splits with the columns `id` ("train/17": split and row), `text`, for pairs `text_pair`, and `label` as `Labels`
        describes it; and what the labels are.

    Raises:
        UserError: if a split is empty, a text is no text, or a label is missing in training or unknown outside it.
    """
    for split, rows in splits.items():
        if not len(rows):
            raise UserError(f"{task.name}: the {split} part has no rows; give a file or data set that has some")
    answers = find_answers(splits["train"], task)
    examples = {}
    for split, rows in splits.items():
        ids = pc.binary_join_element_wise(split, pc.cast(pa.array(range(len(rows))), pa.string()), "/")
        part = with_column(text_columns(rows, task, split), "label", answers.read(rows, split))
        examples[split] = with_column(part, "id", ids)
    check_training(examples["train"], answers.labels, task)
    if task.drop_repeated:
        examples = {split: without_repeated(rows) for split, rows in examples.items()}
    return DatasetDict(examples), answers.labels


def text_columns(rows: Dataset, task: Task, split: str) -> Dataset:
    """The rows with nothing but their texts: `text`, or `text` and `text_pair`, or several joined into one."""
    names = task.text_columns
    if len(names) == 1 and names[0] not in rows.column_names and rows.column_names == ["text"]:
        names = ("text",)  # lines of a txt file
    for name in names:
        check_text(rows, name, split)
    texts = rows.select_columns(list(names))
    if len(names) > 2 or (len(names) == 2 and task.text_delimiter is not None):
        cells = [pc.fill_null(arrow_column(rows, name).combine_chunks(), "") for name in names]
        delimiter = " " if task.text_delimiter is None else task.text_delimiter
        joined = pc.binary_join_element_wise(*cells, delimiter)
        return with_column(texts, "text", joined).select_columns("text")
    for name in names:
        cells = arrow_column(rows, name)
        if cells.null_count:
            texts = with_column(texts, name, pc.fill_null(cells, "").combine_chunks())
    new = TEXT_COLUMNS[: len(names)]
    return texts.rename_columns(dict(zip(names, new, strict=True))).select_columns(list(new))


def check_text(rows: Dataset, column: str, split: str):
    """Refuse a column that holds no text.

    Raises:
        UserError: if it is missing, of another type, or empty in all rows.
    """
    if column not in rows.column_names:
        raise UserError(f"the {split} part has no column {column!r}, as training has; give its rows the same columns")
    cells = arrow_column(rows, column)
    if not is_text(rows, column):
        held = "nothing" if cells.null_count == len(cells) else getattr(rows.features[column], "dtype", rows.features[column])
        raise UserError(
            f"column {column!r} of the {split} part holds {held}, but a text column holds strings; name the right one with "
            "--text_column_names"
        )
    blank = (pc.all(pc.equal(pc.utf8_trim_whitespace(chunk.drop_null()), "")).as_py() for chunk in cells.chunks)
    if all(is_blank is not False for is_blank in blank):
        raise UserError(
            f"column {column!r} of the {split} part is empty in all {len(rows)} rows, but there must be text to learn from; "
            "name the right column with --text_column_names"
        )


def renumber(parts: DatasetDict, labels: Labels, order: Labels) -> DatasetDict:
    """The same rows with their class ids in another order of the same names.

    Args:
        parts: with the column `label`.
        labels: in the order of today's ids.
        order: the same, in the order wanted.
    """
    old = [labels.names.index(name) for name in order.names]  # at each new id, the old one
    new = np.argsort(old)

    def renumbered(rows):
        gold = labels.gold(rows)
        return (
            as_lists(gold[:, old].astype(np.float32)) if labels.kind == "multi_label" else np.where(gold < 0, gold, new[gold])
        )

    return DatasetDict({part: with_column(rows, "label", renumbered(rows)) for part, rows in parts.items()})


def without_repeated(rows: Dataset) -> Dataset:
    """The first row of each text."""
    _, first = np.unique(text_groups(DatasetDict(rows=rows))["rows"], return_index=True)
    return rows.select(np.sort(first))


def texts_of(rows: Dataset) -> list[tuple[str, str]]:
    """Each row's text and pair, the pair empty where there is none."""
    return [(*texts, "")[:2] for texts in iterate_texts(rows)]

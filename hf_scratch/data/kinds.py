"""In which form a table holds its labels and of which kind they are: found from the training part, or forced."""

import re

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, LargeList, List

from ..errors import UserError
from .arrow import arrow_column
from .cells import cell_name
from .tasks import Task

LISTS = (List, LargeList)
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")
SCALE_SIZES = (5, 10)  # so many numbers in a row are a scale of ratings; others are mostly ids of classes

# form -> the kind that follows from it, and what the columns hold
FORMS = {
    "classes": ("classification", "names or whole numbers"),
    "numbers": ("regression", "numbers that are not whole"),
    "sets": ("multi_label", "lists of labels"),
    "vectors": ("multi_label", "lists of 0 and 1"),
    "columns": ("multi_label", "several label columns"),
}


def find_form(train: Dataset, task: Task) -> str:
    """How the training part holds its labels, a key of `FORMS`; numbers only if they are asked for, or not whole.

    Args:
        train: as it was read.
        task: with its columns settled.

    Raises:
        UserError: if a kind is asked for that the columns cannot be of.
    """
    form = form_of(train, task.label_columns)
    kind, content = FORMS[form]
    if "multi_label" in (kind, task.kind) and task.kind not in (None, kind):
        raise UserError(
            f"{task.kind} was asked for, but {' and '.join(map(repr, task.label_columns))} holds {content}; several labels a "
            "row are a column of lists, or several columns of 0 and 1: --label_column_name A,B,C; leave --problem_type and "
            "--do_regression away, or name another column"
        )
    if task.kind == "regression":
        return "numbers"
    return "classes" if task.kind in ("classification", "ordinal") else form


def form_of(train: Dataset, columns: tuple[str, ...]) -> str:
    """The form that the columns themselves tell."""
    if len(columns) > 1:
        return "columns"
    cells = arrow_column(train, columns[0])
    if pa.types.is_struct(cells.type):
        cell_name(cells[0].as_py(), f"column {columns[0]!r} of the train part")  # refuses it
    if pa.types.is_nested(cells.type):
        return "vectors" if are_vectors(cells) else "sets"
    if pa.types.is_floating(cells.type):
        fractions = pc.and_(pc.is_finite(cells), pc.not_equal(cells, pc.floor(cells)))
        return "numbers" if pc.any(fractions).as_py() else "classes"
    return "classes"


def are_vectors(cells: pa.ChunkedArray) -> bool:
    """Whether lists hold a 0 or 1 for every class: all of one length, floats or too many to be a set of ids 0 and 1."""
    values = pc.list_flatten(cells)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        return False
    lengths = pc.unique(pc.list_value_length(cells).drop_null()).to_pylist()
    wide = len(lengths) == 1 and (lengths[0] > 2 or pa.types.is_floating(values.type))
    return wide and set(pc.unique(values).to_pylist()) <= {0, 1, -1}


def is_scale(names: list[str]) -> bool:
    """Whether class names are steps of a scale: '1 star', '2 stars', ...; or five or ten numbers in a row.

    Args:
        names: in the order of their ids.
    """
    numbers = [NUMBER.match(name) for name in names]
    if not all(numbers):
        return False
    values = [float(match[0]) for match in numbers]
    if values != [values[0] + step for step in range(len(names))]:
        return False
    units = {name[match.end() :].strip().rstrip("s") for name, match in zip(names, numbers, strict=True)}
    return len(names) in SCALE_SIZES if units == {""} else len(units) == 1 and len(names) > 2


def in_order(names) -> list[str]:
    """Names sorted by the number that they begin with, the others after them: "9 stars" before "10 stars"."""
    return sorted(names, key=lambda name: (0, float(match[0]), name) if (match := NUMBER.match(name)) else (1, 0.0, name))


def find_kind(form: str, task: Task, names: list[str], named: bool) -> tuple[str, str]:
    """The kind of the labels, and why.

    Args:
        form: of `find_form`.
        task: whose kind may be asked for.
        names: in the order of their ids.
        named: whether the data themselves give this order.

    Raises:
        UserError: if an order is asked for that nothing tells.
    """
    if task.kind == "ordinal" and not named and not all(map(NUMBER.match, names)):
        raise UserError(
            f"ordinal was asked for, but the labels {', '.join(names[:10])} are words, and words tell no order; number them "
            "(1, 2, 3 or '1 poor', '2 fair', '3 good'), or give a data set whose features name the classes in order"
        )
    if task.kind:
        return task.kind, "is of that kind by the task or the flags"
    if form == "classes" and is_scale(names):
        return "ordinal", "holds steps of a scale"
    kind, content = FORMS[form]
    return kind, f"holds {content}"


def own_names(rows: Dataset, task: Task) -> dict[str, str]:
    """Names that the data or the task give to numbers: '0' -> 'negative'; none where numbers are all that is known.

    They are the names of a ClassLabel, of the task's row in the table, or of a text column beside the label's that goes with it
    one to one, as `label_text` does in many data sets.
    """
    column = task.label_columns[0]
    names = class_label_names(rows, column) or task.label_names
    if names:
        return {str(id_): name for id_, name in enumerate(names)}
    companion = next((name for name in (f"{column}_text", f"{column}_name") if name in rows.column_names), None)
    if companion is None or not pa.types.is_integer(arrow_column(rows, column).type):
        return {}
    table = pa.table({"id": arrow_column(rows, column), "name": arrow_column(rows, companion)})
    pairs = table.group_by(["id", "name"]).aggregate([]).sort_by("id").to_pylist()
    ids, names = {pair["id"] for pair in pairs}, {pair["name"] for pair in pairs}
    if not len(pairs) == len(ids) == len(names) or None in ids | names:
        return {}
    return {str(pair["id"]): str(pair["name"]).strip() for pair in pairs}


def class_label_names(rows: Dataset, column: str) -> tuple[str, ...]:
    """The names of a column of ClassLabels, or of lists of them; none of any other."""
    feature = rows.features[column]
    feature = feature.feature if isinstance(feature, LISTS) else feature
    return tuple(feature.names) if isinstance(feature, ClassLabel) else ()

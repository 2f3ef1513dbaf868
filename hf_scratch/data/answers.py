"""The answers of every part, by the names that the training part and the data give, never by position."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..errors import UserError, closest
from .arrow import arrow_column
from .cells import HIDDEN, OTHER_COLUMN, as_lists, cell_name, read_indicator, read_numbers
from .kinds import NUMBER, class_label_names, find_form, find_kind, in_order, own_names
from .labels import UNLABELLED, Labels
from .tasks import Task


@dataclass(frozen=True)
class Answers:
    """What the training part tells about the labels, to read every part by.

    Args:
        columns: of the labels.
        form: in which they hold the labels, a key of `kinds.FORMS`.
        labels: kind and names.
        aliases: numbers, as text, to the names that they stand for: '0' -> 'negative'.
        hidden_is_class: whether -1 is a class and no missing label.
    """

    columns: tuple[str, ...]
    form: str
    labels: Labels
    aliases: dict[str, str]
    hidden_is_class: bool = False

    def read(self, rows: Dataset, split: str) -> pa.Array:
        """The column `label` of a part as `Labels` describes it; a part without the label columns is unlabelled.

        Raises:
            UserError: if a cell is no answer of this kind, or names a class that training has not.
        """
        N, L = len(rows), self.labels.num_labels
        if not set(self.columns) <= set(rows.column_names):
            missing = {"numbers": np.full(N, np.nan), "classes": np.full(N, UNLABELLED)}
            return pa.array(missing[self.form]) if self.form in missing else as_lists(np.full((N, L), UNLABELLED, np.float32))
        cells = [arrow_column(rows, name).combine_chunks() for name in self.columns]
        places = [f"column {name!r} of the {split} part" for name in self.columns]
        if self.form == "numbers":
            return pa.array(read_numbers(cells[0], places[0]))
        if self.form == "columns":
            return as_lists(np.stack(list(map(read_indicator, cells, places)), axis=1))
        nested = pa.types.is_nested(cells[0].type)
        if N and nested != (self.form != "classes"):
            wanted = "one name or one whole number" if nested else "a list of labels"
            raise UserError(f"{places[0]} holds {cells[0][0].as_py()!r}, but a row's label here is {wanted}; {OTHER_COLUMN}")
        if self.form == "classes":
            return pa.array(self.ids(cells[0], rows, split))
        return as_lists(self.vectors(cells[0], places[0]) if self.form == "vectors" else self.sets(cells[0], rows, split))

    def ids(self, cells: pa.Array, rows: Dataset, split: str, owners: np.ndarray | None = None) -> np.ndarray:
        """The class of each cell, `(N,)` int64; -1 where there is none. `owners` are the cells' rows, if not one each."""
        different = pc.unique(cells)
        place = f"column {self.columns[0]!r} of the {split} part"
        names = [cell_name(value, place) for value in different.to_pylist()]
        hidden = not self.hidden_is_class or (split != "train" and set(names) <= {"", HIDDEN})
        aliases = {str(id_): name for id_, name in enumerate(class_label_names(rows, self.columns[0]))} or self.aliases
        names = [None if name == "" or (name == HIDDEN and hidden) else aliases.get(name, name) for name in names]
        ids = {name: id_ for id_, name in enumerate(self.labels.names)} | {None: UNLABELLED}
        unknown = in_order(set(names) - set(ids))
        if unknown:
            cells_of = pc.index_in(cells, value_set=different.filter(pa.array([name in unknown for name in names])))
            at = np.asarray(cells_of.is_valid()).nonzero()[0]
            at = np.unique(owners[at]) if owners is not None else at
            some = ", ".join(map(str, at[:5])) + (", ..." if len(at) > 5 else "")
            alike = [name for name in self.labels.names if name.casefold() == unknown[0].casefold()]
            near = closest(alike[0] if alike else unknown[0], self.labels.names)
            rule = "training does not" if split != "train" else "the data or the task do not name"
            raise UserError(
                f"the {split} part holds the label {', '.join(unknown[:5])} in column {self.columns[0]!r} (rows {some}), which "
                f"{rule} ({', '.join(self.labels.names[:20])}).{near} A class must be learnt before it is asked for: mend the "
                "label, or add training rows of it"
            )
        table = np.array([ids[name] for name in names], np.int64)
        return table[np.asarray(pc.index_in(cells, value_set=different))] if len(cells) else table

    def sets(self, cells: pa.Array, rows: Dataset, split: str) -> np.ndarray:
        """Which classes each list names, `(N, L)`; a list of none is an answer, a missing list is not."""
        owners = np.asarray(pc.list_parent_indices(cells))
        ids = self.ids(cells.flatten(), rows, split, owners)
        sets = np.zeros((len(cells), self.labels.num_labels), np.float32)
        sets[owners[ids >= 0], ids[ids >= 0]] = 1
        sets[~np.asarray(cells.is_valid())] = UNLABELLED
        return sets

    def vectors(self, cells: pa.Array, place: str) -> np.ndarray:
        """Lists that hold a 0 or 1 for each class, `(N, L)`."""
        L = self.labels.num_labels
        lengths = set(pc.list_value_length(cells).drop_null().to_pylist())
        if lengths - {L}:
            raise UserError(
                f"{place} holds a list of {min(lengths - {L})} numbers, but each needs one of 0 and 1 for {L} classes; mend it"
            )
        sets = np.full((len(cells), L), UNLABELLED, np.float32)
        sets[np.asarray(cells.is_valid())] = read_indicator(cells.flatten(), place).reshape(-1, L)
        return sets


def find_answers(train: Dataset, task: Task) -> Answers:
    """Look at the training part: which kind of labels, and which names.

    Args:
        train: as it was read.
        task: with its columns settled.
    """
    form, column = find_form(train, task), task.label_columns[0]
    aliases = {} if form in ("numbers", "columns") else own_names(train, task)
    found = list(aliases.values()) or find_names(train, form, task)
    hidden_is_class = HIDDEN in found
    kind, reason = find_kind(form, task, found, named=bool(aliases))
    notes = [f"{kind.replace('_', '-')}: {' and '.join(map(repr, task.label_columns))} {reason}"]
    if hidden_is_class:
        notes.append("-1 stands among other numbers in training, so it is a class, not a missing label")
    if class_label_names(train, column):
        aliases = {}  # a part without its own ClassLabel has names, not the ids of this one
    return Answers(task.label_columns, form, Labels(kind, tuple(found), tuple(notes)), aliases, hidden_is_class)


def find_names(train: Dataset, form: str, task: Task) -> list[str]:
    """The different labels of the training part, in the order of numbers: "10" after "9".

    -1 is a missing label, as the Hub hides labels; but among other numbers it is a class like them.
    """
    if form in ("numbers", "columns"):
        return list(task.label_columns)
    cells = arrow_column(train, task.label_columns[0])
    if form == "vectors":
        return list(map(str, range(pc.max(pc.list_value_length(cells)).as_py())))
    cells = pc.list_flatten(cells) if form == "sets" else cells
    place = f"column {task.label_columns[0]!r} of the train part"
    names = {cell_name(value, place) for value in pc.unique(cells).to_pylist()} - {""}
    others = names - {HIDDEN}
    is_class = others and all(map(NUMBER.fullmatch, others))
    return in_order(names if is_class else others)


def check_training(rows: Dataset, labels: Labels, task: Task):
    """Refuse training rows that nothing can be learnt from.

    Args:
        rows: the training part, with the column `label`.
        labels: of the task.
        task: with its columns settled.

    Raises:
        UserError: if a label is missing, or all rows have the same.
    """
    names = " and ".join(map(repr, task.label_columns))
    missing = (~labels.known(rows)).nonzero()[0]
    if len(missing):
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UserError(
            f"{task.name}: {len(missing)} of {len(rows)} training rows have no label in column {names} (rows {some}; an empty "
            f"cell, NaN or -1 is no label), but each needs one; fill them in, drop them, or {OTHER_COLUMN}"
        )
    gold = labels.gold(rows)
    if (gold == gold[0]).all():
        only = f"the class {labels.names[gold[0]]!r}" if labels.single else f"the answer {gold[0]}"
        rule = "a classifier needs at least 2" if labels.single else "answers that are all the same teach nothing"
        raise UserError(
            f"{task.name}: the training part holds only {only} in column {names}, but {rule}; check the file, or {OTHER_COLUMN}"
        )

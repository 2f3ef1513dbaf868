"""What the labels of a task are: the kind of its answers, and their names."""

from dataclasses import dataclass, field

import numpy as np
from datasets import Dataset

from .arrow import arrow_column

UNLABELLED = -1

# kind -> what a configuration calls its problem; its loss and the meaning of its logits follow from that
PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "ordinal": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


@dataclass(frozen=True)
class Labels:
    """The labels of a task, L of them.

    | kind | a row's answer | the column `label` | unlabelled |
    |---|---|---|---|
    | classification | one class of many | int, the id | -1 |
    | ordinal | one class of many that have an order: stars | int, the id | -1 |
    | multi_label | any number of classes | list of L floats, 0 or 1 | list of L times -1 |
    | regression | a number | float | NaN |

    Args:
        kind: one of the table.
        names: of the classes 0, 1, ...; of a regression one, the label column's.
        notes: how they were found, for the reader.
    """

    kind: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self):
        assert self.kind in PROBLEM_TYPES, f"{self.kind} is no kind of labels; the kinds are {', '.join(PROBLEM_TYPES)}"
        assert self.kind != "regression" or len(self.names) == 1, f"a regression has one name, not {self.names}"

    @property
    def problem_type(self) -> str:
        """What `config.problem_type` holds."""
        return PROBLEM_TYPES[self.kind]

    @property
    def num_labels(self) -> int:
        """How many logits the head has."""
        return len(self.names)

    @property
    def single(self) -> bool:
        """Whether a row belongs to exactly one class."""
        return self.problem_type == "single_label_classification"

    def gold(self, rows: Dataset) -> np.ndarray:
        """The answers of all rows: ids `(N,)` int64, of several labels `(N, L)` int64, or numbers `(N,)` float64.

        Args:
            rows: with the column `label`; who has no answer is marked as in the table above.
        """
        column = arrow_column(rows, "label").combine_chunks()
        if self.kind == "multi_label":
            return np.asarray(column.flatten()).astype(np.int64).reshape(len(rows), self.num_labels)
        return np.asarray(column).astype(np.float64 if self.kind == "regression" else np.int64)

    def known(self, rows: Dataset) -> np.ndarray:
        """Which rows have an answer, `(N,)` bool."""
        gold = self.gold(rows)
        if self.kind == "regression":
            return ~np.isnan(gold)
        return (gold >= 0).reshape(len(rows), -1).all(axis=1)

"""Cells of a label column, whatever a table writes into them, as names, numbers and 0 or 1."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UserError
from .labels import UNLABELLED

HIDDEN = str(UNLABELLED)
OTHER_COLUMN = "name the right column with --label_column_name"


def cell_name(value, place: str) -> str:
    """A cell as the name of a class: 3.0 and 3 are both "3"; "" for an empty cell and for NaN.

    Args:
        value: of the cell.
        place: which column, for the complaint.

    Raises:
        UserError: if it cannot be a class.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, list | dict):
        raise UserError(f"{place} holds {value!r}, but a class is one name or one whole number a row; {OTHER_COLUMN}")
    if isinstance(value, float):
        if not value.is_integer():
            raise UserError(
                f"{place} holds {value}, but a class is a name or a whole number; bin the numbers into classes, "
                f"{OTHER_COLUMN}, or learn the numbers themselves with --do_regression"
            )
        value = int(value)
    return str(value).strip()


def read_numbers(cells: pa.Array, place: str) -> np.ndarray:
    """Float64 `(N,)`, NaN where there is none; -1 in every row is how the Hub hides numbers.

    Raises:
        UserError: if a cell is no number.
    """
    try:
        values = np.asarray(pc.cast(cells, pa.float64()), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = np.array([number_of(value, row, place) for row, value in enumerate(cells.to_pylist())])
    infinite = np.isinf(values).nonzero()[0]
    if len(infinite):
        raise UserError(f"{place} holds {values[infinite[0]]} in row {infinite[0]}, but a number to learn is finite; mend it")
    return np.full(len(values), np.nan) if (values == UNLABELLED).all() else values


def number_of(value, row: int, place: str) -> float:
    """A cell as a number, from text too."""
    try:
        return float(value) if value not in (None, "") else math.nan
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{place} holds {value!r} in row {row}, but a regression learns numbers; mend it, {OTHER_COLUMN}, or leave "
            "--do_regression and --problem_type away"
        ) from error


def read_indicator(cells: pa.Array, place: str) -> np.ndarray:
    """Float32 of 0 and 1, one a cell, and -1 for a missing one or -1.

    Raises:
        UserError: if a cell is anything else.
    """
    different = pc.unique(cells).to_pylist()
    for value in different:
        if cell_name(value, place) not in ("", "0", "1", HIDDEN, "True", "False"):
            raise UserError(
                f"{place} holds {value!r}, but a column that is one of several labels holds 0 or 1; mend it, or name one "
                "column with --label_column_name"
            )
    meanings = {"": UNLABELLED, HIDDEN: UNLABELLED, "0": 0, "1": 1, "False": 0, "True": 1}
    table = np.array([meanings[cell_name(value, place)] for value in different], np.float32)
    return table[np.asarray(pc.index_in(cells, value_set=pc.unique(cells)))] if len(cells) else table


def as_lists(sets: np.ndarray) -> pa.Array:
    """A matrix `(N, L)` as a column of lists; a row with a missing answer has none at all."""
    N, L = sets.shape
    sets = np.where((sets == UNLABELLED).any(axis=1, keepdims=True), np.float32(UNLABELLED), sets)
    return pa.ListArray.from_arrays(pa.array(np.arange(0, N * L + 1, L), pa.int32()), pa.array(sets.ravel()))

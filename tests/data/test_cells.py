"""What tables write into their label columns."""

import numpy as np
import pyarrow as pa
import pytest

from hf_scratch.data.cells import as_lists, cell_name, read_indicator, read_numbers
from hf_scratch.errors import UserError

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "name"),
    [(3, "3"), (3.0, "3"), (" a b ", "a b"), (True, "True"), (None, ""), (NAN, ""), ("", ""), (-1.0, "-1"), ("1.0", "1.0")],
)
def test_a_cell_is_a_name(value, name):
    assert cell_name(value, "here") == name


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "here holds 0.5, but a class is a name or a whole number; bin .* --do_regression"),
        (float("inf"), "here holds inf, but a class"),
        ([1], r"here holds \[1\], but a class is one name or one whole number a row; name the right column"),
    ],
)
def test_a_cell_that_is_no_name(value, message):
    with pytest.raises(UserError, match=message):
        cell_name(value, "here")


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        ([1, 2, None], [1, 2, NAN]),
        ([0.5, NAN, -1.0], [0.5, NAN, -1]),
        (["0.5", "", None, " 3 "], [0.5, NAN, NAN, 3]),
        ([True, False], [1, 0]),
        ([-1.0, -1.0], [NAN, NAN]),
    ],
)
def test_numbers_of_any_type(cells, numbers):
    found = read_numbers(pa.array(cells), "here")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "good"], "here holds 'good' in row 1, but a regression learns numbers; mend it"),
        ([1.0, float("-inf")], "here holds -inf in row 1, but a number to learn is finite"),
        ([[1], [2]], r"here holds \[1\] in row 0, but a regression learns numbers"),
    ],
)
def test_cells_that_are_no_numbers(cells, message):
    with pytest.raises(UserError, match=message):
        read_numbers(pa.array(cells), "here")


@pytest.mark.parametrize(
    "cells", [[0, 1, None], [0.0, 1.0, NAN], [False, True, None], ["0", "1", ""], [0, 1, -1], ["0", "True", ""]]
)
def test_indicators_of_any_type(cells):
    assert read_indicator(pa.array(cells, from_pandas=False), "here").tolist() == [0, 1, -1]


@pytest.mark.parametrize("value", [2, "yes", 0.5])
def test_a_cell_that_is_neither_0_nor_1(value):
    with pytest.raises(UserError, match=r"here holds .* but a (column that is one of several labels holds 0 or 1|class is)"):
        read_indicator(pa.array([value]), "here")


def test_a_row_with_a_missing_answer_has_none_at_all():
    assert as_lists(np.array([[0, 1], [1, -1], [1, 1]], np.float32)).to_pylist() == [[0, 1], [-1, -1], [1, 1]]
    assert as_lists(np.zeros((0, 3), np.float32)).to_pylist() == []

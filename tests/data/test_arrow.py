"""Columns without Python objects, against the slow way with them."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, concatenate_datasets

from hf_scratch.data import arrow
from hf_scratch.data.arrow import arrow_column, as_rows, contiguous, count_tokens, iterate_texts, with_column

TEXTS = ["a", "b", "", "träge", "a", "b", "🙂"]
PAIRS = ["p", "", "p", "q", "p", "b", ""]
ROWS = Dataset.from_dict({"text": TEXTS, "text_pair": PAIRS, "label": list(range(7))})


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch):
    monkeypatch.setattr(arrow, "ROWS_AT_ONCE", 3)


@pytest.mark.parametrize("order", [range(7), [6, 0, 3], []])
def test_a_column_has_the_order_of_the_rows(order):
    assert arrow_column(ROWS.select(order), "text").to_pylist() == [TEXTS[row] for row in order]


def test_texts_come_with_their_pairs():
    assert list(iterate_texts(ROWS.select([3, 1, 2, 0]))) == [(TEXTS[row], PAIRS[row]) for row in (3, 1, 2, 0)]
    assert list(iterate_texts(ROWS.remove_columns("text_pair"))) == [(text,) for text in TEXTS]


@pytest.mark.parametrize("order", [range(3), [2, 0, 1, 2], [1, 2]])
def test_rows_hold_what_python_would_make_of_them(order):
    """Selected, so that they lie in pieces, and not at the beginning of Arrow's memory."""
    columns = {
        "ids": [[3, 5], [], [7]],
        "flags": [[0.5], [1.5, 2.5], [3.5]],
        "none": [[1], None, [2]],
        "gap": [[1, None], [], [3]],
    }
    rows = Dataset.from_dict(columns | {"text": ["a", "", "c"], "label": [1, 0, 4]}).select(order)
    made = as_rows(rows.with_format("arrow")[:])
    assert all(isinstance(row[name], np.ndarray) for row in made for name in ("ids", "flags"))
    plain = [{name: cell.tolist() if isinstance(cell, np.ndarray) else cell for name, cell in row.items()} for row in made]
    assert plain == rows.to_list()
    assert as_rows(rows.with_format("arrow")[[len(rows) - 1]])[0]["ids"].tolist() == rows[len(rows) - 1]["ids"]


@pytest.mark.parametrize("cells", [[3, 5], np.array([3, 5]), pa.array([3, 5])])
def test_a_column_is_added_or_replaced(cells):
    rows = Dataset.from_dict({"text": ["a", "b"]})
    added = with_column(rows, "label", cells)
    assert added.to_dict() == {"text": ["a", "b"], "label": [3, 5]} and added._fingerprint != rows._fingerprint
    assert with_column(added, "label", [7, 8]).to_dict() == {"text": ["a", "b"], "label": [7, 8]}
    assert with_column(rows, "text", ["c", "d"]).to_dict() == {"text": ["c", "d"]}
    assert with_column(added.select([1]), "label", [9]).to_dict() == {"text": ["b"], "label": [9]}


ORDERS = {"few": [6, 0], "mixed": [5, 1, 4, 2, 6], "rising": [0, 2, 3, 6], "repeated": [1, 2, 2, 5], "late": [3, 4, 5, 6]}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_selected_rows_are_written_out_in_their_order(order):
    selected = ROWS.select(order)
    rows = contiguous(selected)
    assert rows._indices is None and rows.to_dict() == selected.to_dict()
    assert rows.features == ROWS.features and rows.format == ROWS.format
    assert contiguous(rows) is rows
    assert rows.data.column("text").num_chunks < len(order)


def test_what_is_written_out_is_the_same_twice_and_for_rows_of_two_files():
    two = concatenate_datasets([ROWS.select(range(5)), ROWS]).cast_column("label", ClassLabel(num_classes=7))
    selected = two.select([1, 3, 4, 5, 9, 11])
    rows = contiguous(selected)
    assert rows.to_dict() == contiguous(selected).to_dict() == selected.to_dict()
    assert rows.features == two.features


def test_no_row_is_fetched_alone_if_they_stand_in_the_order_of_the_file(monkeypatch):
    monkeypatch.setattr(Dataset, "flatten_indices", None)
    assert contiguous(ROWS.select([0, 2, 3, 6]))["label"][:] == [0, 2, 3, 6]


def test_tokens_are_counted():
    assert count_tokens(Dataset.from_dict({"input_ids": [[1, 2], [], [3]]})) == 3
    assert count_tokens(Dataset.from_dict({"input_ids": [[1]]}).select([])) == 0

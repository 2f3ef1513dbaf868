"""The four kinds of labels, against numpy arrays written by hand."""

import numpy as np
import pytest
from datasets import Dataset
from transformers import BertConfig

from hf_scratch.data.labels import PROBLEM_TYPES, Labels

NAN = float("nan")
CASES = {
    "classification": (("a", "b", "c"), [2, -1, 0, 1, 1], np.int64),
    "ordinal": (("1 star", "2 star", "3 stars"), [0, 2, -1, 2, 1], np.int64),
    "multi_label": (("a", "b", "c"), [[0.0, 1.0, 1.0], [-1.0] * 3, [0.0] * 3, [1.0] * 3, [1.0, 0.0, 0.0]], np.int64),
    "regression": (("score",), [2.5, NAN, -1.0, 0.0, 5.0], np.float64),
}
UNKNOWN = {"classification": [1], "ordinal": [2], "multi_label": [1], "regression": [1]}


@pytest.fixture(params=CASES)
def case(request):
    names, cells, dtype = CASES[request.param]
    return Labels(request.param, names), cells, dtype


def test_answers_of_all_rows(case):
    labels, cells, dtype = case
    gold = labels.gold(Dataset.from_dict({"label": cells}))
    assert gold.dtype == dtype
    np.testing.assert_array_equal(gold, np.array(cells))


def test_who_has_an_answer(case):
    labels, cells, _ = case
    known = labels.known(Dataset.from_dict({"label": cells}))
    assert known.dtype == bool and (~known).nonzero()[0].tolist() == UNKNOWN[labels.kind]


def test_rows_may_be_a_selection_in_another_order(case):
    labels, cells, _ = case
    order = [4, 1, 3]
    rows = Dataset.from_dict({"text": list("vwxyz"), "label": cells}).select(order)
    np.testing.assert_array_equal(labels.gold(rows), np.array([cells[row] for row in order]))
    assert len(labels.known(rows)) == 3


def test_no_rows_have_no_answers(case):
    labels, cells, _ = case
    assert len(labels.gold(Dataset.from_dict({"label": cells}).select([]))) == 0


@pytest.mark.parametrize("kind", PROBLEM_TYPES)
def test_a_configuration_takes_the_problem_type(kind):
    labels = Labels(kind, CASES[kind][0])
    assert BertConfig(problem_type=labels.problem_type, num_labels=labels.num_labels).problem_type == labels.problem_type
    assert labels.single == (kind in ("classification", "ordinal"))


def test_an_unknown_kind_and_a_regression_of_two_names_are_our_own_mistakes():
    with pytest.raises(AssertionError, match="stars is no kind of labels; the kinds are classification, ordinal"):
        Labels("stars", ("a", "b"))
    with pytest.raises(AssertionError, match="a regression has one name"):
        Labels("regression", ("a", "b"))

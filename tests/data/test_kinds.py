"""The kind of labels, found from tables of all forms."""

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_scratch.data.kinds import find_form, find_kind, in_order, is_scale, own_names
from hf_scratch.data.tasks import Task
from hf_scratch.errors import UserError

NAN = float("nan")


def table(feature=None, **columns):
    features = Features({"label": feature}) if feature else None
    return Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["a", "b"], "classes"),
        ([0, 1], "classes"),
        ([0.0, 1.0, NAN, None], "classes"),
        ([0.5, 1.0], "numbers"),
        ([float("inf"), 1.0], "classes"),
        ([True, False], "classes"),
        ([["a"], ["a", "b"], []], "sets"),
        ([[3], [5, 7]], "sets"),
        ([[0, 1], [1, 2]], "sets"),
        ([[0, 1, 1], [1, 0, 0]], "vectors"),
        ([[0.0, 1.0], [1.0, 1.0]], "vectors"),
        ([[False, True, True], None], "vectors"),
        ([[1, 2, 3], [1, 2, 4]], "sets"),
    ],
)
def test_the_form_is_found(cells, form):
    assert find_form(table(label=cells), Task("t", label_columns=("label",))) == form


def test_several_columns_are_a_form():
    assert find_form(table(a=[0, 1], b=[1, 1]), Task("t", label_columns=("a", "b"))) == "columns"


@pytest.mark.parametrize(("kind", "form"), [("regression", "numbers"), ("ordinal", "classes"), ("classification", "classes")])
def test_numbers_are_what_they_are_asked_to_be(kind, form):
    assert find_form(table(label=[1, 2, 3]), Task("t", label_columns=("label",), kind=kind)) == form
    assert find_form(table(label=[0.5, 2.0]), Task("t", label_columns=("label",), kind=kind)) == form


@pytest.mark.parametrize(
    ("cells", "kind", "message"),
    [
        (
            ["a", "b"],
            "multi_label",
            "multi_label was asked for, but 'label' holds names or whole numbers; several labels a row",
        ),
        ([[1], [2]], "classification", "classification was asked for, but 'label' holds lists of labels"),
        ([[1], [2]], "regression", "regression was asked for, but 'label' holds lists of labels"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(cells, kind, message):
    with pytest.raises(UserError, match=message):
        find_form(table(label=cells), Task("t", label_columns=("label",), kind=kind))


@pytest.mark.parametrize(
    ("names", "scale"),
    [
        (["1 star", "2 star", "3 stars", "4 stars", "5 stars"], True),
        (["0", "1", "2", "3", "4"], True),
        ([str(number) for number in range(1, 11)], True),
        (["0", "1", "2"], False),
        ([str(number) for number in range(6)], False),
        (["1", "2", "3", "4", "6"], False),
        (["5", "4", "3", "2", "1"], False),
        (["1 star", "2 dogs", "3 stars"], False),
        (["1 star", "2 stars"], False),
        (["a", "b", "c", "d", "e"], False),
        (["0.5", "1.5", "2.5", "3.5", "4.5"], True),
    ],
)
def test_a_scale_is_told_from_ids(names, scale):
    assert is_scale(names) == scale
    assert find_kind("classes", Task("t"), names, named=False)[0] == ("ordinal" if scale else "classification")


def test_the_kind_that_is_asked_for_counts():
    stars = ["1", "2", "3", "4", "5"]
    assert find_kind("classes", Task("t", kind="classification"), stars, named=False)[0] == "classification"
    assert find_kind("classes", Task("t", kind="ordinal"), ["1", "2"], named=False)[0] == "ordinal"
    assert find_kind("classes", Task("t", kind="ordinal"), ["bad", "good"], named=True)[0] == "ordinal"
    with pytest.raises(UserError, match="ordinal was asked for, but the labels bad, good are words, and words tell no order"):
        find_kind("classes", Task("t", kind="ordinal"), ["bad", "good"], named=False)


def test_numbers_come_in_their_order():
    assert in_order({"10 stars", "9 stars", "b", "a"}) == ["9 stars", "10 stars", "a", "b"]


@pytest.mark.parametrize("feature", [ClassLabel(names=["z", "y"]), List(ClassLabel(names=["z", "y"]))])
def test_names_of_features(feature):
    cells = [0, 1] if isinstance(feature, ClassLabel) else [[0], [1, 0]]
    assert own_names(table(feature, label=cells), Task("t", label_columns=("label",))) == {"0": "z", "1": "y"}


@pytest.mark.parametrize(
    ("companion", "names"),
    [
        (["b", "a", "b", "c"], {"0": "b", "4": "a", "10": "c"}),
        (["b", "a", "a", "c"], {}),  # an id with two names
        (["b", "a", "b", "b"], {}),  # a name with two ids
        (["b", "a", "b", None], {}),
    ],
)
def test_a_column_of_names_beside_the_ids(companion, names):
    rows = table(label=[0, 4, 0, 10], label_text=companion)
    assert own_names(rows, Task("t", label_columns=("label",))) == names


def test_names_of_the_task_and_of_nobody():
    rows = table(label=[0, 1])
    assert own_names(rows, Task("t", label_columns=("label",), label_names=("no", "yes"))) == {"0": "no", "1": "yes"}
    assert own_names(rows, Task("t", label_columns=("label",))) == {}
    assert own_names(rows.cast(Features({"label": Value("string")})), Task("t", label_columns=("label",))) == {}

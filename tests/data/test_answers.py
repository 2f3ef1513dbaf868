"""Every kind of labels from the table to the column `label`, and which of them training may lack."""

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_scratch.data.answers import check_training, find_answers
from hf_scratch.data.tasks import Task
from hf_scratch.errors import UserError

NAN = float("nan")
TASK = Task("t", label_columns=("label",))
NAMED = List(ClassLabel(names=["z", "y", "x"]))


def table(cells, feature=None):
    return Dataset.from_dict({"label": cells}, features=Features({"label": feature}) if feature else None)


def read(train, held_out=None, task=TASK, split="test"):
    """Labels, and the answers of training or of the other part."""
    answers = find_answers(train, task)
    return answers.labels, answers.read(*((held_out, split) if held_out else (train, "train"))).to_pylist()


# Several labels


def test_lists_of_names():
    labels, answers = read(table([["b", "a"], [], ["c"]]))
    assert (labels.kind, labels.names) == ("multi_label", ("a", "b", "c"))
    assert answers == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_lists_of_ids_in_the_order_of_numbers():
    labels, answers = read(table([[10, 9], [2]]))
    assert labels.names == ("2", "9", "10") and answers == [[0, 1, 1], [1, 0, 0]]


def test_lists_of_classes_with_names():
    labels, answers = read(table([[0, 2], [1]], NAMED))
    assert labels.names == ("z", "y", "x") and answers == [[1, 0, 1], [0, 1, 0]]


def test_lists_of_0_and_1():
    labels, answers = read(table([[0, 1, 1], [1, 0, 0]]))
    assert labels.names == ("0", "1", "2") and answers == [[0, 1, 1], [1, 0, 0]]


def test_a_missing_list_is_no_answer_and_an_empty_one_is():
    train = table([["a"], ["b"]])
    assert read(train, table([None, [], ["b"]], List(Value("string"))))[1] == [[-1, -1], [0, 0], [0, 1]]
    assert read(train, Dataset.from_dict({"text": ["x"]}))[1] == [[-1, -1]]


def test_columns_of_0_and_1():
    train = Dataset.from_dict({"toxic": [0, 1, 1], "rude": [1.0, None, 0.0]})
    labels, answers = read(train, task=Task("t", label_columns=("toxic", "rude")))
    assert (labels.kind, labels.names) == ("multi_label", ("toxic", "rude"))
    assert answers == [[0, 1], [-1, -1], [1, 0]]
    one_column = train.remove_columns("rude")
    assert read(train, one_column, Task("t", label_columns=("toxic", "rude")))[1] == [[-1, -1]] * 3


def test_vectors_of_another_length_are_refused():
    with pytest.raises(UserError, match="test part holds a list of 2 numbers, but each needs one of 0 and 1 for 3 classes"):
        read(table([[0, 1, 1], [1, 0, 0]]), table([[0, 1]]))


# Numbers


def test_numbers_that_are_not_whole_are_a_regression():
    labels, answers = read(table([0.5, 3.0, 5.0]))
    assert (labels.kind, labels.names, answers) == ("regression", ("label",), [0.5, 3, 5])
    assert labels.notes == ("regression: 'label' holds numbers that are not whole",)


def test_stars_are_a_regression_if_asked_for():
    labels, answers = read(table(["1", "5"]), task=Task("t", label_columns=("label",), kind="regression"))
    assert labels.kind == "regression" and answers == [1, 5]


def test_hidden_numbers_of_the_hub():
    hidden = read(table([0.5, 3.0]), table([-1.0, -1.0]))[1]
    assert all(value != value for value in hidden)
    assert read(table([0.5, 3.0]), table([-1.0, 2.0]))[1] == [-1, 2]


# Stars


def test_stars_with_names_are_ordinal():
    names = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]
    labels, _ = read(table([4, 0, 2], ClassLabel(names=names)))
    assert (labels.kind, labels.names) == ("ordinal", tuple(names))
    assert read(table(["10 stars", "9 stars", "8 stars"]))[0].names == ("8 stars", "9 stars", "10 stars")


# -1


def test_minus_one_among_numbers_is_a_class_and_the_reader_is_told():
    labels, answers = read(table([1, -1, 0]))
    assert labels.names == ("-1", "0", "1") and answers == [2, 0, 1]
    assert labels.notes[1] == "-1 stands among other numbers in training, so it is a class, not a missing label"


def test_a_class_of_minus_one_is_read_in_other_parts_unless_it_stands_alone():
    train = table([1, -1, 0])
    assert read(train, table([-1, 1]))[1] == [0, 2]
    assert read(train, table([-1, -1]))[1] == [-1, -1]
    assert read(train, table([-1, None]))[1] == [-1, -1]


@pytest.mark.parametrize("cells", [["-1", "a", "b"], [-1, -1]])
def test_minus_one_is_a_missing_label_elsewhere(cells):
    train = table(cells)
    with pytest.raises(UserError, match="training rows have no label in column 'label'"):
        answers = find_answers(train, TASK)
        check_training(Dataset.from_dict({"label": answers.read(train, "train").to_pylist()}), answers.labels, TASK)


def test_minus_one_of_a_named_class_is_hidden():
    assert read(table([0, 1], ClassLabel(names=["a", "b"])), table([-1, 1], ClassLabel(names=["a", "b"])))[1] == [-1, 1]


# Names


def test_names_beside_the_ids_are_taken_and_serve_every_part():
    train = Dataset.from_dict({"label": [2, 0, 1], "label_text": ["hum", "abbr", "loc"]})
    labels, answers = read(train)
    assert labels.names == ("abbr", "loc", "hum") and answers == [2, 0, 1]
    assert read(train, table([1, 2]))[1] == [1, 2] and read(train, table(["hum", "abbr"]))[1] == [2, 0]


def test_an_id_without_a_name_is_refused():
    task = Task("t", label_columns=("label",), label_names=("no", "yes"))
    with pytest.raises(
        UserError, match=r"train part holds the label 2 in column 'label' \(rows \d.*\), which the data or the task do not name"
    ):
        read(table([0, 1, 2]), task=task)

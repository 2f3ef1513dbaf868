"""Any table to examples: which column is which, and which class is which."""

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_scratch.data.columns import find_columns, texts_of, to_examples
from hf_scratch.data.tasks import Task
from hf_scratch.errors import UserError


def splits(**parts):
    return DatasetDict({name: part if isinstance(part, Dataset) else Dataset.from_dict(part) for name, part in parts.items()})


def examples(task=None, **parts):
    parts = splits(**parts)
    return to_examples(parts, find_columns(parts, task or Task("t")))


def rows(labels, **columns):
    return {"text": [f"text {row}" for row in range(len(labels))], "label": labels} | columns


def with_names(labels, names):
    return Dataset.from_dict(rows(labels), features=Features({"text": Value("string"), "label": ClassLabel(names=names)}))


# Columns


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("text", "label", "title"), "text"),
        (("title", "review", "label"), "review"),
        (("words", "label"), "words"),  # the only one of strings
        (("body", "text", "label"), "text"),
    ],
)
def test_the_text_column_is_found(columns, text):
    train = {name: ["a", "b"] for name in columns} | {"label": [0, 1]}
    assert find_columns(splits(train=train), Task("t")).text_columns == (text,)


def test_a_column_called_labels_will_do():
    assert find_columns(splits(train={"text": ["a", "b"], "labels": [0, 1]}), Task("t")).label_columns == ("labels",)


def test_named_columns_come_before_usual_names():
    train = rows([0, 1], review=["c", "d"], stars=[3, 5])
    task = find_columns(splits(train=train), Task("t", text_columns=("review", "text"), label_columns=("stars",)))
    assert (task.text_columns, task.label_columns) == (("review", "text"), ("stars",))


@pytest.mark.parametrize(
    ("task", "train", "message"),
    [
        (
            Task("t"),
            {"text": ["a"]},
            "t: no label column; it is looked for as 'label' or 'labels', and the columns are text; name",
        ),
        (
            Task("t"),
            {"a": ["x"], "b": ["y"], "label": [1]},
            "t: the text column cannot be told among a, b; name it with --text",
        ),
        (Task("t"), {"a": [3], "label": [1]}, "cannot be told among no columns of text"),
        (Task("t", text_columns=("txt",)), rows([1]), "no column 'txt'; the columns are text, label. Did you mean text"),
        (Task("t", label_columns=("lable",)), rows([1]), "no column 'lable'; .* Did you mean label"),
        (
            Task("t", text_columns=("text",) * 2),
            rows([1]),
            r"--text_column_names names a column twice \(text, text\), but once",
        ),
        (Task("t", label_columns=("a", "a")), rows([1], a=[0]), r"--label_column_name names a column twice \(a, a\)"),
        (Task("t", text_columns=("label",)), rows(["a"]), "'label' is named as text and as label, but a model must not read"),
    ],
)
def test_columns_that_cannot_be_told_are_refused(task, train, message):
    with pytest.raises(UserError, match=message):
        find_columns(splits(train=train), task)


# Texts


def test_examples_have_an_id_a_text_and_a_class():
    parts, labels = examples(train=rows(["b", "a", "b"]), test=rows(["a"]))
    assert list(labels.names) == ["a", "b"]
    assert parts["train"].to_dict() == {
        "id": ["train/0", "train/1", "train/2"],
        "text": ["text 0", "text 1", "text 2"],
        "label": [1, 0, 1],
    }
    assert parts["test"].to_dict() == {"id": ["test/0"], "text": ["text 0"], "label": [0]}


def test_pairs_keep_their_order():
    task = Task("t", text_columns=("question", "text"))
    parts, labels = examples(task, train=rows([0, 1], question=["q", "r"]))
    assert parts["train"]["text"][:] == ["q", "r"] and parts["train"]["text_pair"][:] == ["text 0", "text 1"]
    assert texts_of(parts["train"]) == [("q", "text 0"), ("r", "text 1")]


def test_three_columns_are_joined_and_two_if_asked_to_be():
    train = rows([0, 1], a=["p", "q"], b=["x", None])
    three = Task("t", text_columns=("b", "a", "text"))
    assert examples(three, train=train)[0]["train"].to_dict() | {"id": 0} == {
        "text": ["x p text 0", " q text 1"],
        "label": [0, 1],
        "id": 0,
    }
    two = Task("t", text_columns=("a", "b"), text_delimiter=" | ")
    assert examples(two, train=train)[0]["train"]["text"][:] == ["p | x", "q | "]


def test_the_columns_of_usual_pairs_are_found():
    train = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]}
    assert find_columns(splits(train=train), Task("t")).text_columns == ("premise", "hypothesis")


def test_lines_of_text_are_predicted_by_a_model_of_one_text():
    parts, _ = examples(
        train=rows([0, 1], review=["c", "d"]), test={"text": ["a", "b"]}, task=Task("t", text_columns=("review",))
    )
    assert parts["test"]["text"][:] == ["a", "b"]


def test_a_missing_text_is_an_empty_one():
    parts, labels = examples(train=rows([0, 1, 1], text=["a", None, " "]))
    assert parts["train"]["text"][:] == ["a", "", " "]
    parts, _ = examples(train=rows([0, 1]), test={"text": [None, "b"]})
    assert parts["test"]["text"][:] == ["", "b"]


def test_repeated_texts_are_dropped_where_the_task_says_so_and_ids_stay():
    train = rows([0, 1, 1, 0], text=["x", "y", "x", "y"], question=["p", "p", "p", "q"])
    assert examples(Task("t", drop_repeated=True, text_columns=("text",)), train=train)[0]["train"]["id"][:] == [
        "train/0",
        "train/1",
    ]
    pairs = Task("t", drop_repeated=True, text_columns=("text", "question"))
    assert examples(pairs, train=train)[0]["train"]["id"][:] == ["train/0", "train/1", "train/3"]
    assert len(examples(Task("t", text_columns=("text",)), train=train)[0]["train"]) == 4


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": rows([0, 1], text=["", None])}, "'text' of the train part is empty in all 2 rows, but there must be text"),
        ({"train": rows([0, 1], text=[None, None])}, "'text' of the train part holds nothing, but a text column holds strings"),
        ({"train": rows([0, 1], text=[3, 5])}, "'text' of the train part holds int64, but a text column holds strings; name"),
        ({"train": rows([0, 1]), "test": {"label": [1]}}, "the test part has no column 'text', as training has"),
        ({"train": rows([0, 1]), "test": rows([])}, "t: the test part has no rows; give a file or data set that has some"),
        ({"train": rows([])}, "t: the train part has no rows"),
    ],
)
def test_texts_that_are_none_are_refused(parts, message):
    with pytest.raises(UserError, match=message):
        examples(Task("t", text_columns=("text",)), **parts)


# Classes


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 2, 9], ["2", "9", "10"]),
        (["10", "9", "2"], ["2", "9", "10"]),
        ([2.0, 1.0, 1.0], ["1", "2"]),
        ([True, False], ["False", "True"]),
        (["no", "Yes", "yes "], ["Yes", "no", "yes"]),
        (["b", "10", "-3", "9", "a"], ["-3", "9", "10", "a", "b"]),
        ([-2, 3], ["-2", "3"]),
        (["nan", "x"], ["nan", "x"]),
        (["1e1", "9"], ["9", "1e1"]),
    ],
)
def test_classes_are_the_labels_in_the_order_of_numbers(labels, names):
    parts, found = examples(train=rows(labels))
    assert list(found.names) == names
    assert [found.names[label] for label in parts["train"]["label"]] == [
        str(int(label)) if isinstance(label, float) else str(label).strip() for label in labels
    ]


def test_names_that_the_data_carry_are_kept_even_of_classes_that_do_not_occur():
    parts, labels = examples(train=with_names([2, 0, 2], ["z", "y", "x", "w"]))
    assert list(labels.names) == ["z", "y", "x", "w"] and parts["train"]["label"][:] == [2, 0, 2]


def test_a_part_that_numbers_its_classes_otherwise_is_matched_by_name():
    train = with_names([0, 1, 2], ["bad", "fair", "good"])
    parts, labels = examples(train=train, test=with_names([0, 1], ["good", "bad"]), validation=rows(["fair", "bad"]))
    assert parts["test"]["label"][:] == [2, 0] and parts["validation"]["label"][:] == [1, 0]


def test_names_that_the_task_gives_stand_for_0_1_and_so_on():
    task = Task("t", text_columns=("text",), label_columns=("label",), label_names=("worse", "better", "best"))
    parts, labels = examples(task, train=rows([1, 0, 1]), test=rows(["1", "worse"]))
    assert list(labels.names) == ["worse", "better", "best"]
    assert parts["train"]["label"][:] == [1, 0, 1] and parts["test"]["label"][:] == [1, 0]


@pytest.mark.parametrize("labels", [[1, 2, None], [1.0, float("nan"), 2.0], [-1, 1, 2], ["-1", "1", "2"], ["", "1", " 2"]])
def test_a_missing_label_is_none_in_a_held_out_part(labels):
    parts, found = examples(train=rows([1, 2]), test=rows(labels))
    expected = {"-1": -1, "": -1, "1": 0, "2": 1}
    keys = ["" if label is None or label != label else str(label).strip().removesuffix(".0") for label in labels]
    assert parts["test"]["label"][:] == [expected[key] for key in keys]
    assert found.known(parts["test"]).any()


def test_a_hidden_class_of_the_hub_is_no_label():
    parts, labels = examples(train=with_names([0, 1], ["a", "b"]), test=with_names([-1, -1], ["a", "b"]))
    assert parts["test"]["label"][:] == [-1, -1] and not labels.known(parts["test"]).any()


def test_a_part_without_the_label_column_is_unlabelled():
    parts, labels = examples(train=rows([3, 5]), test={"text": ["a", "b"]})
    assert parts["test"]["label"][:] == [-1, -1] and list(labels.names) == ["3", "5"]
    assert labels.known(parts["train"]).any() and not labels.known(parts["test"]).any()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": rows(["a", "a"])}, "holds only the class 'a' in column 'label', but a classifier needs at least 2"),
        ({"train": with_names([1, 1], ["x", "y"])}, "holds only the class 'y'"),
        ({"train": rows([0, None, 1, 1])}, r"t: 1 of 4 training rows have no label .*\(rows 1; .*fill them in, drop them"),
        ({"train": rows([None] * 7)}, r"7 of 7 training rows have no label .*\(rows 0, 1, 2, 3, 4, \.\.\.; "),
        ({"train": rows(["-1", "a", "b"])}, "1 of 3 training rows have no label .*-1 is no label"),
        ({"train": with_names([0, -1, 1], ["x", "y"])}, "1 of 3 training rows have no label"),
        ({"train": rows([float("inf"), 1.0])}, "'label' of the train part holds inf, but a class is a name or a whole number"),
        (
            {"train": rows([{"a": 1}, {"a": 2}])},
            "'label' of the train part holds {'a': 1}, but a class is one name or one whole",
        ),
        (
            {"train": rows([0, 1]), "test": rows([[1], [0]])},
            r"holds \[1\], but a row's label here is one name or one whole number",
        ),
        ({"train": rows([[0], [1]]), "test": rows([1, 0])}, r"test part holds 1, but a row's label here is a list of labels"),
        ({"train": rows([0.5, 0.5])}, "holds only the answer 0.5 in column 'label', but answers that are all the same teach"),
        ({"train": rows([["a"], ["a"]])}, "holds only the answer .* in column 'label', but answers that are all the same"),
        ({"train": rows([0.5, None, float("nan")])}, r"2 of 3 training rows have no label in column 'label' \(rows 1, 2; "),
        (
            {"train": rows(["a", "b"]), "validation": rows(["c"])},
            r"validation part holds the label c .*does not \(a, b\)\. A class",
        ),
        ({"train": with_names([0, 1], ["a", "b"]), "test": with_names([0], ["c"])}, "the test part holds the label c"),
        ({"train": with_names([0, 1], ["a", "b"]), "test": rows([0, 1])}, "the test part holds the label 0, 1"),
    ],
)
def test_labels_that_are_none_are_refused(parts, message):
    with pytest.raises(UserError, match=message):
        examples(**parts)

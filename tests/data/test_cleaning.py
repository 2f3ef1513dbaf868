import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.cleaning import clean
from hf_scratch.data.labels import Labels
from hf_scratch.errors import UserError

XY = Labels("classification", ("x", "y"))


def rows_of(texts, labels):
    return Dataset.from_dict({"id": [str(row) for row in range(len(texts))], "text": texts, "label": labels})


EXAMPLES = DatasetDict(
    train=rows_of(["a", "b", "", "a", "b", "c", "d", "e"], [0, 0, 1, 1, 0, 1, 0, 1]),
    test=rows_of(["c", "d", "d", ""], [1, 1, 0, -1]),
)


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ({}, "01234567"),
        ({"drop_empty": True}, "0134567"),
        ({"drop_repeated": True}, "012567"),
        ({"drop_shared": True}, "01347"),
        ({"drop_contradictory": True}, "12457"),
        ({"drop_empty": True, "drop_repeated": True, "drop_contradictory": True}, "157"),
    ],
)
def test_each_flag_leaves_its_training_rows_out_and_no_held_out_one(flags, kept):
    examples, labels = clean(EXAMPLES, XY, DataArguments(**flags))
    assert "".join(examples["train"]["id"]) == kept
    assert examples["test"]["text"][:] == EXAMPLES["test"]["text"][:] and labels == XY


def test_flags_that_leave_one_class_are_refused():
    examples = DatasetDict(train=rows_of(["a", "a", "b", "c"], [0, 1, 0, 0]))
    with pytest.raises(UserError, match=r"leave 2 of 4 training rows, but two classes are needed .*; leave one of"):
        clean(examples, XY, DataArguments(drop_contradictory=True))


def test_spellings_are_joined_under_the_most_frequent_one():
    labels = Labels("classification", ("Bad", "GOOD", "bad", "fair", "good"))
    examples = DatasetDict(train=rows_of(list("abcdefg"), [0, 1, 2, 2, 3, 4, 4]), test=rows_of(["t", "u", "v"], [1, 0, -1]))
    merged, names = clean(examples, labels, DataArguments(merge_spellings=True))
    assert names == Labels("classification", ("bad", "fair", "good"))
    assert merged["train"]["label"][:] == [0, 2, 0, 0, 1, 2, 2]
    assert merged["test"]["label"][:] == [2, 0, -1]


def test_names_that_differ_stay_as_they_are():
    merged, names = clean(EXAMPLES, XY, DataArguments(merge_spellings=True))
    assert names == XY and merged["train"]["label"][:] == EXAMPLES["train"]["label"][:]

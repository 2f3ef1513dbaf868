import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data.doctor import describe, examine, truncated
from hf_scratch.data.labels import Labels


def part(texts, labels, name="train", **columns):
    return Dataset.from_dict({"id": [f"{name}/{row}" for row in range(len(texts))], "text": texts, "label": labels} | columns)


HEALTHY = {"train": part(["a", "b", "c"], [0, 1, 1]), "test": part(["d", "e"], [0, 1], "test")}


def classes(*names):
    return Labels("classification", names)


def test_healthy_data_have_no_findings():
    assert examine(DatasetDict(HEALTHY), classes("x", "y")) == []


@pytest.mark.parametrize(
    ("changes", "names", "finding"),
    [
        ({"train": part(["a", "b", "a", "a"], [0, 1, 0, 1])}, ["x", "y"], "2 training rows repeat the text of another one"),
        ({"train": part(["a", " ", ""], [0, 1, 1])}, ["x", "y"], "2 rows of train have an empty text (train/1, train/2)"),
        (
            {"test": part(["a", "b", "e"], [0, 1, 1], "test")},
            ["x", "y"],
            "2 of 3 test rows have a text that training has too: numbers on them flatter",
        ),
        ({}, ["x", "y", "z", "w"], "training has no row of the classes z, w"),
    ],
)
def test_each_ailment_is_named(changes, names, finding):
    assert examine(DatasetDict(HEALTHY | changes), classes(*names)) == [finding]


def test_pairs_repeat_only_as_pairs():
    train = part(["a", "a", "a"], [0, 1, 1], text_pair=["p", "q", "p"])
    assert examine(DatasetDict(train=train), classes("x", "y")) == ["1 training rows repeat the text of another one"]


def test_the_parts_and_the_shares_of_the_classes_are_told_in_one_line():
    train = part([str(row) for row in range(1013)], [0] * 304 + [1] * 709)
    told = describe(DatasetDict(HEALTHY | {"train": train}), classes("x", "y"))
    assert told == "1,013 train, 2 test rows; 2 classes: x 30%, y 70%"


def test_of_many_classes_the_ten_most_frequent_are_told():
    names = [f"class{id_}" for id_ in range(13)]
    labels = [*range(13), *range(3, 13)]
    told = describe(DatasetDict(train=part([""] * 23, labels)), classes(*names))
    assert told.startswith("23 train rows; 13 classes: class3 9%, class4 9%") and told.endswith("class12 9%, ...")


def test_the_share_of_cut_texts_is_told():
    rows = Dataset.from_dict({"input_ids": [[1] * length for length in (3, 5, 7, 7)]})
    assert truncated(rows, 7) == "50% of the training texts reach 7 tokens and are cut there; see --max_seq_length"
    assert truncated(rows, 11) is None

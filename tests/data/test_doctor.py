import re

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data.doctor import describe, examine, examine_tokens, is_sorted, refuse
from hf_scratch.data.labels import Labels
from hf_scratch.data.statistics import TokenStatistics
from hf_scratch.errors import UserError


def part(texts, labels, name="train", **columns):
    return Dataset.from_dict({"id": [f"{name}/{row}" for row in range(len(texts))], "text": texts, "label": labels} | columns)


def words(count, name="word"):
    """Different texts with letters in them."""
    return [f"{name} {row}" for row in range(count)]


HEALTHY = {"train": part(words(40), [0, 1] * 20), "test": part(words(20, "held out"), [0, 1] * 10, "test")}


def classes(*names):
    return Labels("classification", names)


def train_part(first=(), labels=()):
    """The healthy training part with other rows before it."""
    return {"train": part([*first, *words(40)], [*labels, *[0, 1] * 20])}


def test_healthy_data_have_no_findings():
    assert examine(DatasetDict(HEALTHY), classes("x", "y"), strict=True) == []


# Ailment -> parts, class names, what is found
AILMENTS = {
    "repeated": (
        train_part(["a", "a", "a"], [1, 1, 1]),
        ("x", "y"),
        "2 of 43 training rows repeat the text of an earlier one (train/1, train/2); --drop_repeated keeps the first of each",
    ),
    "shared": (
        {"test": part(["word 3", "new", "word 0"], [1, 1, 0], "test")},
        ("x", "y"),
        "2 of 3 test rows have a text that training has too (test/0, test/2), and numbers on them flatter; --drop_shared "
        "leaves these texts out of training",
    ),
    "contradictory": (
        {"test": part(["word 3"], [0], "test")},
        ("x", "y"),
        "1 of 40 training rows have a text that has another label elsewhere (train/3); mend the labels, or leave them out with "
        "--drop_contradictory",
    ),
    "empty": (
        {"test": part(["", "new"], [0, 1], "test")},
        ("x", "y"),
        "1 of 2 test rows have no text (test/0), and are answered blindly; fill them in",
    ),
    "wordless": (
        train_part(["17", "nan"], [0, 1]),
        ("x", "y"),
        "2 of 42 training rows hold no word (train/0, train/1), such as '17'; look at them, or name another column with "
        "--text_column_names",
    ),
    "spelling": (
        {},
        ("Good", "good "),
        "the classes 'Good' and 'good ' differ by case or space only; --merge_spellings makes them one",
    ),
    "absent": ({}, ("x", "y", "z", "w"), "training has no row of the classes 'z', 'w'; add some"),
    "few": (
        train_part(["a", "b", "c", "d"], [2, 2, 2, 2]),
        ("x", "y", "z"),
        "fewer than 10 training rows for the classes 'z' (4); add rows, or join them with others",
    ),
    "uneven": (
        {"train": part(words(220), ([0] * 10 + [1]) * 20)},
        ("x", "y"),
        "'x' has 10 times as many training rows as 'y'; --class_weights balanced gives each class the same weight",
    ),
    "sorted": (
        {"train": part(words(40), [0] * 20 + [1] * 20)},
        ("x", "y"),
        "the training rows are sorted by class, and read so they would show one class at a time; any "
        "--train_sampling_strategy but sequential mixes them",
    ),
}


@pytest.mark.parametrize(
    ("kind", "changes", "names", "message"), [(kind, *case) for kind, case in AILMENTS.items()], ids=AILMENTS
)
def test_each_ailment_is_a_warning_with_what_mends_it(kind, changes, names, message):
    findings = examine(DatasetDict(HEALTHY | changes), classes(*names))
    (finding,) = [finding for finding in findings if finding.kind == kind]
    assert finding.message == message and not finding.is_error
    assert list(finding.rows) == re.findall(r"\b(?:train|test)/\d+", message)
    assert {finding.kind for finding in findings} <= {kind, "shared"}  # a text with two labels in two parts is shared, too


def test_training_rows_without_text_are_an_error_with_their_numbers():
    found = examine(DatasetDict(HEALTHY | train_part(["", "a", " "], [0, 1, 1])), classes("x", "y"))
    assert [finding.is_error for finding in found] == [True]
    with pytest.raises(UserError, match=r"2 of 43 training rows have no text \(train/0, train/2\), but .* --drop_empty"):
        refuse(found)


def test_strict_refuses_held_out_texts_that_training_has():
    parts = DatasetDict(HEALTHY | {"test": part(["word 3", "new"], [1, 0], "test")})
    assert refuse(examine(parts, classes("x", "y")))
    with pytest.raises(UserError, match=r"1 of 2 test rows have a text that training has too \(test/0\)"):
        refuse(examine(parts, classes("x", "y"), strict=True))


def test_all_errors_are_told_errors_before_warnings():
    parts = DatasetDict(HEALTHY | train_part(["a", "a", ""], [0, 0, 1]) | {"test": part(["a"], [0], "test")})
    found = examine(parts, classes("x", "y"), strict=True)
    assert [finding.kind for finding in found] == ["empty", "shared", "repeated"]
    with pytest.raises(UserError, match=r"no text(.|\n)*\nerror: .*training has too"):
        refuse(found)


def test_unlabelled_rows_contradict_nobody():
    parts = DatasetDict(HEALTHY | {"test": part(["word 3"], [-1], "test")})
    assert [finding.kind for finding in examine(parts, classes("x", "y"))] == ["shared"]


def test_pairs_repeat_only_as_pairs():
    train = part(["a", "a", "a", *words(40)], [0, 1, 0, *[0, 1] * 20], text_pair=["p", "q", "p", *words(40)])
    (finding,) = examine(DatasetDict(train=train), classes("x", "y"))
    assert finding.kind == "repeated" and finding.rows == ("train/2",)


def test_no_more_than_five_rows_are_named():
    (finding,) = examine(DatasetDict(HEALTHY | train_part(["a"] * 9, [0] * 9)), classes("x", "y"))
    assert finding.message.startswith("8 of 49 training rows") and "train/5, ...)" in finding.message
    assert finding.rows == tuple(f"train/{row}" for row in range(1, 6))


def test_several_labels_and_numbers_are_examined_too():
    several = part(["a", "a", *words(40)], [[0.0, 1.0], [1.0, 1.0], *[[1.0, 0.0], [1.0, 1.0]] * 20])
    kinds = [finding.kind for finding in examine(DatasetDict(train=several), Labels("multi_label", ("x", "y")))]
    assert kinds == ["repeated", "contradictory"]
    numbers = part(["a", "a", *words(40)], [0.5, 1.5, *np.linspace(0, 5, 40)])
    kinds = [finding.kind for finding in examine(DatasetDict(train=numbers), Labels("regression", ("score",)))]
    assert kinds == ["repeated", "contradictory"]


def test_shuffled_and_alternating_labels_are_not_sorted():
    rng = np.random.default_rng(0)
    assert not is_sorted(rng.integers(0, 3, 997)) and not is_sorted(np.arange(100) % 2)
    assert is_sorted(np.sort(rng.integers(0, 3, 997))) and not is_sorted(np.array([0, 1]))
    assert not is_sorted((rng.random(997) < 0.02).astype(int))  # rare is not sorted


def tokens(lengths, limit, of=None, unknown=0.0):
    return TokenStatistics(len(lengths), of or len(lengths), np.sort(lengths), limit, unknown)


def test_what_a_length_costs_is_told_with_the_length_that_keeps_nearly_all():
    lengths = [100] * 90 + [203] * 10
    (finding,) = examine_tokens(tokens(lengths, 153, of=9973), positions=512)
    assert finding.message == (
        "10.0% of the training texts (of a sample of 100) are longer than 153 tokens, and 4.5% of all tokens are lost; "
        "--max_seq_length 208 keeps 100.0% of the texts whole"
    )
    (finding,) = examine_tokens(tokens(lengths, 153), positions=153)
    assert finding.message.endswith("the model takes no longer input, and --long_text chooses what it reads")
    assert examine_tokens(tokens(lengths, 203), None) == examine_tokens(tokens([100] * 100 + [999], 128), None) == []


def test_a_vocabulary_that_does_not_know_the_texts_is_told():
    (finding,) = examine_tokens(tokens([7], 11, unknown=0.31), None)
    assert finding.kind == "unknown" and finding.message.startswith("31.0% of the tokens are unknown to the vocabulary; ")


def test_the_parts_and_the_shares_of_the_classes_are_told_in_one_line():
    train = part(words(1013), [0] * 304 + [1] * 709)
    told = describe(DatasetDict(HEALTHY | {"train": train}), classes("x", "y"))
    assert told == "1,013 train, 20 test rows; 2 classes: x 30%, y 70%"
    numbers = describe(DatasetDict(train=part(["a", "b"], [0.5, 2.0])), Labels("regression", ("score",)))
    assert numbers == "2 train rows; a number from 0.5 to 2, mean 1.25"


def test_of_many_classes_the_ten_most_frequent_are_told():
    names = [f"class{id_}" for id_ in range(13)]
    labels = [*range(13), *range(3, 13)]
    told = describe(DatasetDict(train=part([""] * 23, labels)), classes(*names))
    assert told.startswith("23 train rows; 13 classes: class3 9%, class4 9%") and told.endswith("class12 9%, ...")

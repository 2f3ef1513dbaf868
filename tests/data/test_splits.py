"""Which rows train, which choose the checkpoint, which are reported."""

from collections import Counter

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data import splits
from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.labels import Labels
from hf_scratch.data.splits import carve, choose_parts, sample
from hf_scratch.errors import UserError

LABELS = Labels("classification", ("a", "b"))


def rows(count, split="train", classes=2, labelled=True):
    return Dataset.from_dict(
        {
            "id": [f"{split}/{row}" for row in range(count)],
            "text": [f"{split} text {row}" for row in range(count)],
            "label": [row % classes if labelled else -1 for row in range(count)],
        }
    )


def choose(selects=True, evaluates=True, flags=None, labels=LABELS, **parts):
    return choose_parts(DatasetDict(parts), DataArguments(**flags or {}), labels, selects, evaluates)


def origin(part):
    return {id_.split("/")[0] for id_ in part["id"]}


def sizes(parts):
    return {name: len(part) for name, part in parts.items()}


# The table of cases


def test_training_only_is_carved_80_10_10():
    parts = choose(train=rows(1013))
    assert sizes(parts) == {"train": 809, "validation": 102, "test": 102}
    ids = [id_ for part in parts.values() for id_ in part["id"]]
    assert len(ids) == len(set(ids)) == 1013


def test_a_test_part_is_theirs_and_validation_is_carved():
    parts = choose(train=rows(211), test=rows(53, "test"))
    assert sizes(parts) == {"train": 189, "validation": 22, "test": 53}
    assert origin(parts["validation"]) == {"train"} and origin(parts["test"]) == {"test"}


@pytest.mark.parametrize("name", ["validation", "validation_matched", "valid", "val", "dev"])
def test_a_validation_part_is_theirs_and_all_of_training_trains(name):
    parts = choose(selects=False, **{"train": rows(211), name: rows(31, name)})
    assert sizes(parts) == {"train": 211, "validation": 31} and origin(parts["validation"]) == {name}


def test_three_parts_are_taken_as_they_are():
    parts = choose(train=rows(211), validation=rows(31, "validation"), test=rows(53, "test"), extra=rows(7, "extra"))
    assert sizes(parts) == {"train": 211, "validation": 31, "test": 53}


def test_nothing_is_carved_for_a_run_that_needs_no_validation():
    parts = choose(selects=False, evaluates=False, train=rows(211), test=rows(53, "test"))
    assert sizes(parts) == {"train": 211, "test": 53}


def test_without_labels_in_the_test_part_a_validation_part_is_needed_all_the_same():
    parts = choose(selects=False, evaluates=False, train=rows(211), test=rows(53, "test", labelled=False))
    assert sizes(parts) == {"train": 189, "validation": 22, "test": 53}


def test_a_validation_part_without_labels_does_not_count():
    parts = choose(train=rows(211), validation=rows(31, "validation", labelled=False))
    assert sizes(parts) == {"train": 167, "validation": 22, "test": 22} and origin(parts["validation"]) == {"train"}


def test_rows_without_a_label_cannot_validate_but_are_predicted():
    half = Dataset.from_dict({"id": ["x/0", "x/1", "x/2"], "text": ["a", "b", "c"], "label": [1, -1, 0]})
    parts = choose(train=rows(211), validation=half, test=half)
    assert parts["validation"]["id"][:] == ["x/0", "x/2"] and len(parts["test"]) == 3


# The part that selects is never the part that is reported


@pytest.mark.parametrize(
    "held_out",
    [
        {},
        {"test": rows(53, "test")},
        {"test": rows(53, "test", labelled=False)},
        {"validation": rows(31, "validation")},
        {"validation": rows(31, "validation"), "test": rows(53, "test")},
        {"validation": rows(31, "validation"), "test": rows(53, "test", labelled=False)},
        {"validation": rows(31, "validation", labelled=False), "test": rows(53, "test", labelled=False)},
    ],
    ids=lambda held_out: "+".join(held_out) or "none",
)
def test_the_part_that_selects_is_not_the_part_that_is_reported(held_out):
    parts = choose(train=rows(211), **held_out)
    selecting = "selection" if "selection" in parts else "validation"
    reported = "test" if -1 not in parts.get("test", {"label": [-1]})["label"] else "validation"
    assert selecting != reported and set(parts[reported]["label"]) == {0, 1}
    for name, part in parts.items():
        for other, rest in parts.items():
            assert name == other or not set(part["id"]) & set(rest["id"])


def test_all_carved_parts_are_of_one_size():
    parts = choose(train=rows(211), test=rows(53, "test", labelled=False))
    assert sizes(parts) == {"train": 167, "selection": 22, "validation": 22, "test": 53}


def test_no_selection_without_a_choice_to_make():
    assert "selection" not in choose(selects=False, train=rows(211), validation=rows(31, "validation"))


# Carving


def test_carved_parts_are_stratified():
    part = rows(1013)
    labels = [0] * 701 + [1] * 211 + [2] * 101
    part = part.remove_columns("label").add_column("label", labels)
    parts = choose(train=part)
    for name in ("validation", "test"):
        assert Counter(parts[name]["label"]) == pytest.approx({0: 70.6, 1: 21.2, 2: 10.2}, abs=1)


def test_equal_texts_stay_on_one_side():
    part = rows(307)
    texts = [f"text {row // 3}" for row in range(307)]
    part = part.remove_columns("text").add_column("text", texts)
    parts = choose(train=part)
    owners = [set(rows_["text"]) for rows_ in parts.values()]
    assert sum(map(len, owners)) == len(set().union(*owners)) == len(set(texts))


def test_pairs_are_equal_only_if_both_texts_are():
    part = rows(211)
    part = part.rename_column("text", "text_pair").add_column("text", ["the same"] * 211)
    assert sizes(choose(train=part)) == {"train": 167, "validation": 22, "test": 22}


def test_rows_keep_their_order():
    for part in choose(train=rows(211)).values():
        numbers = [int(id_.split("/")[1]) for id_ in part["id"]]
        assert numbers == sorted(numbers)


def test_one_seed_one_split_whatever_else_is_asked_for():
    first = choose(train=rows(211))
    again = choose(train=rows(211), flags={"max_train_samples": 17, "max_seq_length": 31})
    assert first["test"]["id"][:] == again["test"]["id"][:]
    assert first["validation"]["id"][:] == again["validation"]["id"][:]
    assert set(again["train"]["id"]) < set(first["train"]["id"])
    assert choose(selects=False, train=rows(211))["test"]["id"][:] == first["test"]["id"][:]


def test_another_seed_another_split():
    assert choose(train=rows(211))["test"]["id"][:] != choose(train=rows(211), flags={"split_seed": 43})["test"]["id"][:]


@pytest.mark.parametrize("fraction", [0.2, 0.4, 0.45])
def test_the_fraction_is_of_all_training_rows_for_each_part(fraction):
    size = round(fraction * 200)
    assert sizes(choose(train=rows(200), flags={"validation_fraction": fraction})) == {
        "train": 200 - 2 * size,
        "validation": size,
        "test": size,
    }


@pytest.mark.parametrize("fraction", [-0.1, 0, 0.5, 1, 17, float("nan")])
def test_a_fraction_that_leaves_no_training_rows_is_refused(fraction):
    with pytest.raises(
        UserError, match=f"--validation_fraction is {fraction:g}, but it must be above 0 and below 0.5; try 0.1"
    ):
        choose(train=rows(211), flags={"validation_fraction": fraction})


@pytest.mark.parametrize(("count", "classes"), [(2, 2), (5, 2), (31, 31), (13, 5)])
def test_too_few_rows_to_carve_from(count, classes):
    with pytest.raises(UserError, match=f"cannot be carved from the training part, with {count} different texts in {classes}"):
        choose(train=rows(count, classes=classes))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_class_with_too_few_texts_for_all_parts_stays_in_training(count, seed):
    rare = [{"id": f"train/{211 + row}", "text": f"odd {row}", "label": 2} for row in range(count)]
    train = Dataset.from_list([*rows(211), *rare])
    labels = Labels("classification", ("a", "b", "odd"))
    parts = choose(train=train, labels=labels, flags={"split_seed": seed, "validation_fraction": 0.3})
    assert Counter(parts["train"]["label"])[2] == count and sum(map(len, parts.values())) == 211 + count
    told = splits.about_carving(DatasetDict(train=train), parts, DataArguments(), labels)
    assert told == [
        f"the carved {part} part has no row of 1 of the classes, 'odd', so that no number of it tells of them; add rows of "
        "them, or join them"
        for part in ("validation", "test")
    ]


def test_data_without_training_rows():
    with pytest.raises(UserError, match="the data have the parts test, but training needs one called train; rename it"):
        choose(test=rows(53))


def test_each_part_is_carved_from_what_the_one_before_left():
    part = rows(200)
    rest, carved = carve(part, ["test", "validation"], LABELS, fraction=0.1, seed=42)
    first_rest, first = carve(part, ["test"], LABELS, fraction=0.1, seed=42)
    second_rest, second = carve(first_rest, ["validation"], LABELS, fraction=20 / 180, seed=42)
    assert carved["test"]["id"][:] == first["test"]["id"][:]
    assert carved["validation"]["id"][:] == second["validation"]["id"][:]
    assert rest["id"][:] == second_rest["id"][:]


def test_carving_nothing_changes_nothing():
    part = rows(7)
    assert carve(part, [], LABELS, fraction=17, seed=0) == (part, {})


# Samples


def test_samples_are_the_courses_way_to_draw_them():
    part = rows(211)
    expected = part.shuffle(seed=42).select(range(17))["id"][:]
    assert sample(part, 17, seed=42)["id"][:] == expected
    assert sample(part, 17, seed=43)["id"][:] != expected


@pytest.mark.parametrize("size", [None, 211, 307])
def test_a_sample_of_all_rows_is_the_rows(size):
    part = rows(211)
    assert sample(part, size, seed=42) is part


@pytest.mark.parametrize("size", [0, -3])
def test_a_sample_of_nothing_is_refused(size):
    with pytest.raises(
        UserError, match=f"a sample of {size} rows was asked for, but it needs at least 1; mend --max_train_samples"
    ):
        sample(rows(7), size, seed=42)


def test_each_part_has_its_own_sample_size():
    flags = {"max_train_samples": 17, "max_eval_samples": 13, "max_predict_samples": 11}
    assert sizes(choose(train=rows(211), flags=flags)) == {"train": 17, "validation": 13, "test": 11}
    test = rows(53, "test", labelled=False)
    assert sizes(choose(train=rows(211), test=test, flags=flags))["selection"] == 13


def test_a_sample_of_sorted_rows_holds_all_classes():
    part = rows(211).remove_columns("label").add_column("label", [0] * 107 + [1] * 104)
    assert set(choose(train=part, flags={"max_train_samples": 17})["train"]["label"]) == {0, 1}


def test_a_training_sample_of_one_class_is_refused():
    with pytest.raises(UserError, match=r"a sample of 1 training rows holds one class only, .* larger --max_train_samples"):
        choose(train=rows(211), flags={"max_train_samples": 1})


# Other kinds of labels


def with_labels(part, cells):
    return part.remove_columns("label").add_column("label", cells)


def test_numbers_are_stratified_by_their_tenths():
    labels = Labels("regression", ("score",))
    part = with_labels(rows(1009), [(row * 7919 % 1009) ** 2 / 1009 for row in range(1009)])
    parts = choose(train=part, labels=labels)
    whole = np.quantile(labels.gold(part), np.linspace(0.1, 0.9, 9))
    for name in ("validation", "test"):
        counts = np.bincount(np.searchsorted(whole, labels.gold(parts[name])), minlength=10)
        assert len(parts[name]) == 101 and counts.min() >= 9 and counts.max() <= 12


def test_each_of_several_labels_keeps_its_share():
    labels = Labels("multi_label", ("a", "b", "c"))
    cells = [[float(row % 2 == 0), float(row % 11 == 0), float(row % 41 == 0)] for row in range(2003)]
    parts = choose(train=with_labels(rows(2003), cells), labels=labels)
    for name in ("validation", "test"):
        assert labels.gold(parts[name]).sum(axis=0) == pytest.approx([100, 18, 5], rel=0.2)


def test_kinds_of_few_rows_are_carved_all_the_same():
    few = with_labels(rows(23), [float(row == 3) for row in range(23)])
    assert sizes(choose(train=few, labels=Labels("regression", ("score",)))) == {"train": 17, "validation": 3, "test": 3}
    few = with_labels(rows(23), [[float(row == 3), 0.0] for row in range(23)])
    assert sizes(choose(train=few, labels=Labels("multi_label", ("a", "b")))) == {"train": 17, "validation": 3, "test": 3}


def test_rows_without_an_answer_cannot_validate_whatever_the_kind():
    test = with_labels(rows(53, "test"), [float("nan")] * 53)
    train = with_labels(rows(211), [row / 2 for row in range(211)])
    parts = choose(selects=False, train=train, test=test, validation=test, labels=Labels("regression", ("score",)))
    assert origin(parts["validation"]) == {"train"}


# Much data


def test_of_many_rows_ten_thousand_are_enough(monkeypatch):
    monkeypatch.setattr(splits, "MOST", 17)
    examples = DatasetDict(train=rows(211))
    parts = choose(train=examples["train"])
    assert sizes(parts) == {"train": 177, "validation": 17, "test": 17}
    (told,) = splits.about_carving(examples, parts, DataArguments(), LABELS)
    assert told.startswith("carved from training: validation and test, 17 texts each, which tell an accuracy to a point")
    asked = {"validation_fraction": 0.1}
    assert sizes(choose(train=rows(211), flags=asked)) == {"train": 167, "validation": 22, "test": 22}
    assert splits.about_carving(examples, parts, DataArguments(**asked), LABELS) == []
    given = choose(train=rows(211), validation=rows(31, "validation"), selects=False)
    assert splits.about_carving(examples, given, DataArguments(), LABELS) == []


# Selecting on what is reported


def marked(parts, selects=True, predicts=True):
    return list(splits.marks(parts, LABELS, selects, predicts))


def test_the_test_part_validates_only_if_allowed_and_the_run_is_marked():
    allowed = {"allow_test_as_validation": True}
    parts = choose(train=rows(211), test=rows(53, "test"), flags=allowed)
    assert sizes(parts) == {"train": 211, "validation": 53, "test": 53}
    assert marked(parts) == ["selected_on_reported", "test_as_validation"]
    assert marked(parts, selects=False) == ["test_as_validation"]
    given = choose(train=rows(211), test=rows(53, "test"), validation=rows(31, "validation"), flags=allowed)
    assert marked(given) == [] and origin(given["validation"]) == {"validation"}
    unlabelled = choose(train=rows(211), test=rows(53, "test", labelled=False), flags=allowed)
    assert origin(unlabelled["validation"]) == {"train"}


def test_the_reported_part_selects_only_if_asked_to_and_the_run_is_marked():
    data = {"train": rows(211), "validation": rows(31, "validation")}
    fair = choose(**data)
    assert sizes(fair) == {"train": 189, "selection": 22, "validation": 31} and marked(fair) == []
    unfair = choose(**data, flags={"select_on_reported": True})
    assert sizes(unfair) == {"train": 211, "validation": 31} and marked(unfair) == ["selected_on_reported"]
    assert marked(unfair, selects=False) == []


def test_a_run_that_reports_a_test_part_of_its_own_is_fair():
    parts = choose(train=rows(211), validation=rows(31, "validation"), test=rows(53, "test"))
    assert marked(parts) == [] and marked(parts, predicts=False) == ["selected_on_reported"]


# Order and further parts


def test_training_rows_are_shuffled_once_if_asked():
    flags = {"shuffle_train_dataset": True, "shuffle_seed": 3}
    plain, shuffled = (choose(train=rows(211), flags=given)["train"]["id"][:] for given in ({}, flags))
    assert plain != shuffled and sorted(plain) == sorted(shuffled)
    assert choose(train=rows(211), flags=flags)["train"]["id"][:] == shuffled


def test_further_parts_of_mnli_are_sampled_as_the_others():
    names = ("validation_matched", "validation_mismatched", "test_matched", "test_mismatched", "ax")
    parts = choose(
        selects=False,
        train=rows(211),
        **{name: rows(53, name, labelled="test" not in name) for name in names},
        flags={"max_eval_samples": 13, "max_predict_samples": 11},
    )
    expected = {"validation": 13, "validation_mismatched": 13, "test": 11, "test_mismatched": 11, "ax": 11}
    assert sizes(parts) == {"train": 211} | expected

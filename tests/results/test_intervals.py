"""Drawing counts is drawing examples: against a loop over examples, and against the truth."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from hf_scratch.results import intervals as module
from hf_scratch.results.intervals import differences, intervals, macro_f1_of_counts, resample
from hf_scratch.results.metrics import METRICS


def answers(count, classes, accuracy, seed):
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, count)
    return gold, np.where(rng.random(count) < accuracy, gold, rng.integers(0, classes, count))


def example_by_example(gold, systems, draws, seed):
    """The bootstrap as the book has it: N examples with replacement, scored by scikit-learn."""
    rng = np.random.default_rng(seed)
    values = {name: np.empty((len(systems), draws)) for name in METRICS}
    for draw in range(draws):
        rows = rng.integers(0, len(gold), len(gold))
        for row, system in enumerate(systems):
            values["accuracy"][row, draw] = accuracy_score(gold[rows], system[rows])
            values["macro_f1"][row, draw] = f1_score(gold[rows], system[rows], average="macro", zero_division=0)
    return values


def test_drawing_counts_equals_drawing_examples():
    gold, first = answers(61, 3, 0.7, seed=1)
    _, second = answers(61, 3, 0.5, seed=2)
    slow = example_by_example(gold, [first, second], draws=701, seed=3)
    fast = resample(gold, [first, second], seed=4)
    for name in METRICS:
        assert fast[name].shape == (2, module.RESAMPLES)
        for ours, theirs in ((fast[name][0], slow[name][0]), (fast[name][0] - fast[name][1], slow[name][0] - slow[name][1])):
            error = theirs.std() / np.sqrt(701)  # Monte Carlo error of the loop's mean; a quantile's is about twice that
            assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * error)
            assert ours.std() == pytest.approx(theirs.std(), rel=4 / np.sqrt(2 * 701))
            np.testing.assert_allclose(np.quantile(ours, [0.1, 0.9]), np.quantile(theirs, [0.1, 0.9]), atol=8 * error)


def test_each_row_of_counts_has_scikit_learns_macro_f1():
    """Also where a resample lacks a class in gold, in the predictions, or in both."""
    gold, predicted = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 3, 2])
    drawn = np.random.default_rng(0).multinomial(7, [0.2] * 5, size=101)
    assert (drawn == 0).any(axis=1).mean() > 0.5
    expected = [
        f1_score(np.repeat(gold, counts), np.repeat(predicted, counts), average="macro", zero_division=0) for counts in drawn
    ]
    np.testing.assert_allclose(macro_f1_of_counts(drawn, gold, predicted), expected, rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_the_interval_holds_the_truth_as_often_as_it_says(name, monkeypatch):
    """400 tests of n = 200 with a known truth; 95% of 400 is 380, give or take 4.4."""
    monkeypatch.setattr(module, "RESAMPLES", 499)
    confusion = np.array([[0.36, 0.09, 0.05], [0.04, 0.2, 0.06], [0.02, 0.03, 0.15]])
    hits = np.diag(confusion)
    truth = {"accuracy": hits.sum(), "macro_f1": (2 * hits / (confusion.sum(0) + confusion.sum(1))).mean()}[name]
    rng = np.random.default_rng(0)
    held = 0
    for test in range(400):
        cells = rng.choice(9, size=200, p=confusion.ravel())
        low, high = intervals(cells // 3, cells % 3, seed=test)[name]
        held += low <= truth <= high
    assert 0.92 < held / 400 < 0.98


def test_the_interval_of_a_difference_is_of_the_same_examples():
    gold, first = answers(211, 3, 0.7, seed=1)
    assert differences(gold, first, first) == dict.fromkeys(METRICS, (0, 0))
    second = first.copy()
    wrong = (first == gold).nonzero()[0][:13]
    second[wrong] = (gold[wrong] + 1) % 3
    low, high = differences(gold, first, second)["accuracy"]
    assert 0 < low < 13 / 211 < high
    ours, theirs = intervals(gold, first)["accuracy"], intervals(gold, second)["accuracy"]
    assert high - low < ours[1] - ours[0] and ours[0] < theirs[1]  # paired, they are told apart; unpaired, they would not be
    swapped = differences(gold, second, first)["accuracy"]
    assert swapped == (pytest.approx(-high), pytest.approx(-low))


def test_the_interval_narrows_with_rows_and_level():
    def width(count, level):
        gold, predicted = answers(count, 2, 0.6, seed=5)
        low, high = intervals(gold, predicted, level)["accuracy"]
        return high - low

    assert width(211, 0.8) < width(211, 0.95) < width(211, 0.99)
    assert width(211 * 16, 0.95) == pytest.approx(width(211, 0.95) / 4, rel=0.1)
    assert width(211, 0.95) == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 211), rel=0.1)


def test_the_same_seed_gives_the_same_interval():
    gold, predicted = answers(101, 3, 0.6, seed=7)
    assert intervals(gold, predicted, seed=1) == intervals(gold, predicted, seed=1)
    assert intervals(gold, predicted, seed=1)["macro_f1"] != intervals(gold, predicted, seed=2)["macro_f1"]


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([1, 1, 1], [1, 1, 1], {"accuracy": (1, 1), "macro_f1": (1, 1)}),
        ([0, 0, 0], [1, 1, 1], {"accuracy": (0, 0), "macro_f1": (0, 0)}),
        ([5], [5], {"accuracy": (1, 1), "macro_f1": (1, 1)}),
    ],
)
def test_answers_without_variation_have_intervals_without_width(gold, predicted, expected):
    assert intervals(np.array(gold), np.array(predicted)) == expected


def test_one_class_predicted_for_all_rows():
    gold = np.array([0] * 71 + [1] * 30)
    found = intervals(gold, np.zeros(101, dtype=int))
    assert found["accuracy"][0] < 71 / 101 < found["accuracy"][1]
    f1 = 2 * 71 / (71 + 101) / 2
    assert found["macro_f1"][0] < f1 < found["macro_f1"][1]


def test_77_classes_stay_within_a_tenth_of_a_gigabyte():
    gold, predicted = answers(3083, 77, 0.6, seed=11)
    assert len(np.unique(gold * 77 + predicted)) > 1000
    tracemalloc.start()
    try:
        found = intervals(gold, predicted)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    for name, value in (("accuracy", (gold == predicted).mean()), ("macro_f1", f1_score(gold, predicted, average="macro"))):
        assert found[name][0] < value < found[name][1]
    assert found["accuracy"][1] - found["accuracy"][0] == pytest.approx(2 * 1.96 * np.sqrt(0.61 * 0.39 / 3083), rel=0.1)


def test_draws_in_several_portions_are_as_good(monkeypatch):
    gold, predicted = answers(101, 3, 0.6, seed=7)
    whole = intervals(gold, predicted)
    monkeypatch.setattr(module, "CELLS_AT_ONCE", 9 * 997)
    assert resample(gold, [predicted], seed=0)["accuracy"].shape == (1, module.RESAMPLES)
    for name in METRICS:
        np.testing.assert_allclose(intervals(gold, predicted)[name], whole[name], atol=0.02)

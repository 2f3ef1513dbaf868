"""Drawing counts is drawing examples: against a loop over examples, and against the truth."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from hf_scratch.data.labels import Labels
from hf_scratch.results import intervals as module
from hf_scratch.results.intervals import differences, intervals, percentile, resample
from hf_scratch.results.metrics import KINDS, scoring_for
from tests.results.answers import drawn, scoring, sure

COUNTED = ("accuracy", "macro_f1")


def answers(count, classes, accuracy, seed):
    """Gold ids, and probabilities that name the right class with a given accuracy."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, count)
    return gold, sure(np.where(rng.random(count) < accuracy, gold, rng.integers(0, classes, count)), classes)


def example_by_example(task, gold, systems, names, draws, seed):
    """The bootstrap as the book has it: N examples with replacement, each sample scored as if it were the test part."""
    rng = np.random.default_rng(seed)
    chosen = [rng.integers(0, len(gold), len(gold)) for _ in range(draws)]
    task = replace(task, measures={name: task.measures[name] for name in names})
    scores = [[task.score(gold[rows], system[rows]) for rows in chosen] for system in systems]
    return {name: np.array([[score[name] for score in row] for row in scores]) for name in names}


@pytest.mark.parametrize(("kind", "names"), [("ordinal", ("mae", "log_loss")), ("regression", ("mse", "pearson"))])
def test_drawing_counts_equals_drawing_examples(kind, names):
    """That each draw is scored rightly is tested beside the metrics; here, that the draws are the bootstrap's, and paired."""
    task, (gold, first) = scoring(kind, 3), drawn(kind, 61, 3)
    second = (first + first[::-1]) / 2
    slow = example_by_example(task, gold, [first, second], names, draws=701, seed=3)
    fast = resample(task, gold, [first, second], seed=4, names=names)
    for name in names:
        for ours, theirs in ((fast[name][0], slow[name][0]), (fast[name][0] - fast[name][1], slow[name][0] - slow[name][1])):
            error = theirs.std() / np.sqrt(701)  # Monte Carlo error of the loop's mean; a quantile's is about twice that
            assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * error)
            assert ours.std() == pytest.approx(theirs.std(), rel=4 / np.sqrt(2 * 701))
            np.testing.assert_allclose(np.quantile(ours, [0.1, 0.9]), np.quantile(theirs, [0.1, 0.9]), atol=8 * error)


def test_ten_thousand_resamples_of_counts_and_a_thousand_of_rows():
    gold, probabilities = drawn("ordinal")
    shapes = {name: values.shape for name, values in resample(scoring("ordinal"), gold, [probabilities] * 2).items()}
    of_rows = {"roc_auc", "average_precision", "log_loss", "brier_score", "expected_calibration_error"}
    assert shapes == {name: (2, 1000 if name in of_rows else 10_000) for name in scoring("ordinal").names}


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch):
    """1,000 test sets of n = 200 with a known truth: 95% of the intervals hold it, give or take 2."""
    monkeypatch.setattr(module, "RESAMPLES", 599)
    confusion = np.array([[0.36, 0.09, 0.05], [0.04, 0.2, 0.06], [0.02, 0.03, 0.15]])
    hits, task, rng = np.diag(confusion), scoring("classification", 3), np.random.default_rng(0)
    truth = {"accuracy": hits.sum(), "macro_f1": (2 * hits / (confusion.sum(0) + confusion.sum(1))).mean()}
    one_hot, held = np.eye(3), dict.fromkeys(truth, 0)
    for test in range(1000):
        cells = rng.choice(9, size=200, p=confusion.ravel())
        found = module.count_draws(task, cells // 3, [one_hot[cells % 3]], np.random.default_rng(test), truth, False)
        for name, value in truth.items():
            low, high = percentile(found[name][0], 0.95)
            held[name] += low <= value <= high
    assert all(0.93 <= count / 1000 <= 0.97 for count in held.values()), held


def test_the_interval_of_a_difference_is_of_the_same_examples():
    task, (gold, first) = scoring("classification", 3), answers(211, 3, 0.7, seed=1)
    assert set(differences(task, gold, first, first).values()) == {(0, 0)}
    predicted = first.argmax(1)
    wrong = (predicted == gold).nonzero()[0][:13]
    predicted[wrong] = (gold[wrong] + 1) % 3
    second = sure(predicted, 3)
    low, high = differences(task, gold, first, second)["accuracy"]
    assert 0 < low < 13 / 211 < high
    ours, theirs = intervals(task, gold, first)["accuracy"], intervals(task, gold, second)["accuracy"]
    assert high - low < ours[1] - ours[0] and ours[0] < theirs[1]  # paired, they are told apart; unpaired, they would not be
    swapped = differences(task, gold, second, first)["accuracy"]
    assert swapped == (pytest.approx(-high), pytest.approx(-low))


def test_the_interval_narrows_with_rows_and_level():
    def width(count, level):
        low, high = intervals(scoring("classification", 2), *answers(count, 2, 0.6, seed=5), level, names=COUNTED)["accuracy"]
        return high - low

    assert width(211, 0.8) < width(211, 0.95) < width(211, 0.99)
    assert width(211 * 16, 0.95) == pytest.approx(width(211, 0.95) / 4, rel=0.1)
    assert width(211, 0.95) == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 211), rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_interval(kind):
    task, (gold, probabilities) = scoring(kind), drawn(kind, 101)
    assert intervals(task, gold, probabilities, seed=1) == intervals(task, gold, probabilities, seed=1)
    assert intervals(task, gold, probabilities, seed=1) != intervals(task, gold, probabilities, seed=2)


@pytest.mark.parametrize(("gold", "predicted", "value"), [([1, 1, 1], [1, 1, 1], 1), ([0, 0, 0], [1, 1, 1], 0), ([1], [1], 1)])
def test_answers_without_variation_have_intervals_without_width(gold, predicted, value):
    found = intervals(scoring("classification", 2), gold, sure(predicted, 2))
    assert found["accuracy"] == found["macro_f1"] == (value, value) and "roc_auc" not in found


def test_one_row_of_numbers_has_intervals_too():
    found = intervals(scoring("regression"), [2.0], [[3.5]])
    assert found["rmse"] == (1.5, 1.5) and found["pearson"] == (0, 0) and "r2" not in found


def test_each_class_has_intervals_under_its_name():
    gold, probabilities = drawn("classification", 211, 2)
    labels = Labels("classification", ("equivalent", "not_equivalent"))  # the positive class first
    task = scoring_for(labels, "mrpc")
    found, values = intervals(task, gold, probabilities, per_class=True), task.score_classes(gold, probabilities)
    assert len(values) == 6
    for name, value in values.items():
        assert found[name][0] < value < found[name][1]
    assert found["class_equivalent_f1"] == found["f1"] != found["class_not_equivalent_f1"]


def test_only_the_metrics_asked_for_are_resampled():
    gold, probabilities = drawn("classification")
    assert tuple(resample(scoring("classification"), gold, [probabilities], names=["roc_auc"])) == ("roc_auc",)
    assert resample(scoring("classification"), gold, [probabilities], names=[]) == {}


@pytest.mark.parametrize(("kind", "rows", "labels"), [("classification", 3083, 77), ("multi_label", 499, 41)])
def test_many_classes_stay_within_a_tenth_of_a_gigabyte(kind, rows, labels, monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 499)  # memory does not grow with them
    monkeypatch.setattr(module, "ROW_RESAMPLES", 53)
    gold, probabilities = drawn(kind, rows, labels)
    tracemalloc.start()
    try:
        found = intervals(scoring(kind, labels), gold, probabilities)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    for name, value in scoring(kind, labels).score(gold, probabilities).items():
        assert found[name][0] <= value <= found[name][1], name


def test_more_rows_times_labels_than_a_minute_can_bear_are_resampled_less(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROW_WORK", 61 * 4 * 307)
    gold, probabilities = drawn("classification")
    assert resample(scoring("classification"), gold, [probabilities])["roc_auc"].shape == (1, 307)
    monkeypatch.setattr(module, "MOST_ROW_WORK", 61 * 4)
    assert resample(scoring("classification"), gold, [probabilities])["roc_auc"].shape == (1, module.FEWEST_RESAMPLES)


def test_of_many_rows_in_many_cells_fewer_resamples_are_drawn(monkeypatch):
    monkeypatch.setattr(module, "ROWS_A_CELL", 1_000_000)
    task, (gold, probabilities) = scoring("classification"), drawn("classification")
    for most, drawn_ in ((61 * 2003, 2003), (61, module.ROW_RESAMPLES)):
        monkeypatch.setattr(module, "MOST_DRAWS", most)
        assert resample(task, gold, [probabilities], names=["accuracy"])["accuracy"].shape == (1, drawn_)


@pytest.mark.parametrize("rows_a_cell", [1, 1_000_000], ids=["cell by cell", "row by row"])
def test_either_way_of_drawing_in_portions_is_as_good(monkeypatch, rows_a_cell):
    task, (gold, probabilities) = scoring("classification", 3), answers(101, 3, 0.6, seed=7)
    whole = intervals(task, gold, probabilities, names=COUNTED)
    monkeypatch.setattr(module, "AT_ONCE", 101 * 997)
    monkeypatch.setattr(module, "ROWS_A_CELL", rows_a_cell)
    assert resample(task, gold, [probabilities], names=COUNTED)["accuracy"].shape == (1, module.RESAMPLES)
    for name in COUNTED:
        np.testing.assert_allclose(intervals(task, gold, probabilities, names=COUNTED)[name], whole[name], atol=0.02)

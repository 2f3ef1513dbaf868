"""Each row of counts has the metric that scikit-learn gives to the rows that it counts."""

import numpy as np
import pytest
from sklearn import metrics as sk

from hf_scratch.results.counts import OF_CLASSES, OF_COUNTS, Cells, Counts

GOLD, PREDICTED = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 3, 2])
FLAGS, ANSWERED = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1]]), np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]])

# Name -> scikit-learn's, of gold and predicted.
SINGLE = {
    "accuracy": sk.accuracy_score,
    "macro_f1": lambda gold, predicted: sk.f1_score(gold, predicted, average="macro", zero_division=0),
    "weighted_f1": lambda gold, predicted: sk.f1_score(gold, predicted, average="weighted", zero_division=0),
    "matthews_correlation": sk.matthews_corrcoef,
    "quadratic_weighted_kappa": lambda *pair: sk.cohen_kappa_score(*pair, labels=range(4), weights="quadratic"),
    "mae": sk.mean_absolute_error,
    "off_by_one_accuracy": lambda gold, predicted: (np.abs(gold - predicted) <= 1).mean(),
    "f1": lambda gold, predicted: sk.f1_score(gold == 1, predicted == 1, zero_division=0),
}
SEVERAL = {
    "exact_match": sk.accuracy_score,
    "micro_f1": lambda gold, predicted: sk.f1_score(gold, predicted, average="micro", zero_division=0),
    "macro_f1": lambda gold, predicted: sk.f1_score(gold, predicted, average="macro", zero_division=0),
    "samples_f1": lambda gold, predicted: sk.f1_score(gold, predicted, average="samples", zero_division=0),
}
CASES = [(name, function, GOLD, PREDICTED, 4) for name, function in SINGLE.items()]
CASES += [(name, function, FLAGS, ANSWERED, 3) for name, function in SEVERAL.items()]


def draw(cells, rows=7):
    return np.random.default_rng(0).multinomial(rows, [1 / cells] * cells, size=101)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's own, where a draw lacks something
@pytest.mark.parametrize(("name", "function", "gold", "predicted", "labels"), CASES)
def test_each_draw_has_scikit_learns_value(name, function, gold, predicted, labels):
    """Also where a draw lacks a class in gold, in the predictions, or in both."""
    drawn = draw(len(gold))
    assert (drawn == 0).any(axis=1).mean() > 0.4
    found = OF_COUNTS[name](Counts(Cells(gold, predicted, labels), drawn.T.astype(float)))
    expected = [function(np.repeat(gold, counts, axis=0), np.repeat(predicted, counts, axis=0)) for counts in drawn]
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize(("gold", "predicted", "labels"), [(GOLD, PREDICTED, 4), (FLAGS, ANSWERED, 3)])
def test_each_class_of_a_draw_has_scikit_learns_value(name, gold, predicted, labels):
    drawn, function = draw(len(gold)), getattr(sk, f"{name}_score")
    found = OF_CLASSES[name](Counts(Cells(gold, predicted, labels), drawn.T.astype(float)))
    for counts, values in zip(drawn, found.T, strict=True):
        rows = np.repeat(gold, counts, axis=0), np.repeat(predicted, counts, axis=0)
        np.testing.assert_allclose(values, function(*rows, labels=range(labels), average=None, zero_division=0))

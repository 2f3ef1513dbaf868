import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from hf_scratch.results.answers import class_scores, confusion, likely_label_errors, losses, most_wrong, top_confusions

RNG = np.random.default_rng(0)
GOLD = RNG.integers(0, 5, 211)
PREDICTED = np.where(RNG.random(211) < 0.6, GOLD, RNG.integers(0, 5, 211))


def test_the_matrix_is_scikit_learns():
    np.testing.assert_array_equal(confusion(GOLD, PREDICTED, 5), confusion_matrix(GOLD, PREDICTED))
    assert confusion(np.array([0]), np.array([2]), 3).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("flags", [False, True])
def test_the_classes_are_scikit_learns(flags):
    gold, predicted = (np.eye(5, dtype=int)[ids] for ids in (GOLD, PREDICTED)) if flags else (GOLD, PREDICTED)
    expected = np.array(precision_recall_fscore_support(gold, predicted)).T
    found = class_scores(gold, predicted, 5)
    np.testing.assert_allclose([(score.precision, score.recall, score.f1, score.rows) for score in found], expected)


def test_a_class_that_is_never_named_has_no_precision_and_an_absent_one_no_score():
    never, _, absent = class_scores(np.array([0, 1, 1]), np.array([1, 1, 1]), 3)
    assert (never.precision, never.recall, never.f1) == (None, 0, 0)
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)


def test_the_most_frequent_mistakes_come_first():
    counts = np.array([[5, 2, 0], [1, 9, 0], [4, 0, 0]])
    assert top_confusions(counts) == [(2, 0, 4, 1.0), (0, 1, 2, 2 / 7), (1, 0, 1, 0.1)]
    assert top_confusions(counts, most=1) == [(2, 0, 4, 1.0)] and top_confusions(np.eye(3, dtype=int)) == []


def test_the_loss_is_scikit_learns():
    probabilities = RNG.dirichlet(np.ones(5), 211)
    assert losses("classification", GOLD, probabilities).mean() == pytest.approx(log_loss(GOLD, probabilities))
    flags = (RNG.random((97, 3)) < 0.4).astype(int)
    stated = RNG.random((97, 3))
    expected = sum(log_loss(flags[:, id_], stated[:, id_]) for id_ in range(3))
    assert losses("multi_label", flags, stated).mean() == pytest.approx(expected)
    assert losses("regression", np.array([1.0, 2.0]), np.array([[3.0], [1.5]])).tolist() == [2, 0.5]


def test_a_turned_label_is_suspected_and_an_unsure_mistake_is_not():
    """Three sure rows of each class: the thresholds are means of their own rows' probabilities."""
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3 + [[0.02, 0.98], [0.45, 0.55]])
    gold = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    assert likely_label_errors(gold, probabilities).tolist() == [False] * 6 + [True, False]
    assert most_wrong("classification", gold, probabilities, 5) == [(6, True), (7, False)]


def test_the_suspects_come_first_and_then_the_highest_loss():
    probabilities = np.array([[0.96, 0.04, 0.0], [0.9, 0.05, 0.05], [0.1, 0.6, 0.3], [0.02, 0.03, 0.95], [0.5, 0.1, 0.4]])
    gold = np.array([0, 0, 1, 1, 2])
    assert [row for row, _ in most_wrong("classification", gold, probabilities, 9)] == [3, 4]
    assert most_wrong("regression", np.array([1.0, 2, 3]), np.array([[1.0], [5], [4]]), 1) == [(1, False)]

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from transformers import EvalPrediction

from hf_scratch.results.metrics import HEADLINE, METRICS, Accuracy, MacroF1, class_logits, compute_metrics, probabilities, score

# Gold, predicted, and what comes out by hand.
CASES = {
    "all right": ([0, 1, 2], [0, 1, 2], 1, 1),
    "all wrong": ([0, 0, 1], [1, 1, 0], 0, 0),
    "one class predicted": ([0, 0, 0, 1], [0, 0, 0, 0], 3 / 4, (6 / 7 + 0) / 2),
    "a class that gold lacks": ([0, 0, 1], [0, 2, 1], 2 / 3, (2 / 3 + 1 + 0) / 3),
    "a class that nobody has": ([0, 3, 3], [0, 3, 0], 2 / 3, (2 / 3 + 2 / 3) / 2),
    "three classes": ([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], 3 / 5, (1 / 2 + 4 / 5 + 0) / 3),
}


@pytest.mark.parametrize(("gold", "predicted", "accuracy", "macro_f1"), CASES.values(), ids=CASES)
def test_the_metrics_by_hand_and_by_scikit_learn(gold, predicted, accuracy, macro_f1):
    values = score(np.array(predicted), np.array(gold))
    assert values == {"accuracy": pytest.approx(accuracy), "macro_f1": pytest.approx(macro_f1)}
    assert values["accuracy"] == accuracy_score(gold, predicted)
    assert values["macro_f1"] == f1_score(gold, predicted, average="macro", zero_division=0)
    assert tuple(values) == METRICS and HEADLINE in METRICS
    assert {type(value) for value in values.values()} == {float}  # JSON takes no numpy scalars


def test_evaluates_own_interface_works():
    for metric, expected in ((Accuracy(keep_in_memory=True), 3 / 4), (MacroF1(keep_in_memory=True), 3 / 7)):
        metric.add_batch(predictions=[0, 0], references=[0, 0])
        metric.add_batch(predictions=[0, 0], references=[0, 1])
        assert list(metric.compute().values()) == [pytest.approx(expected)]


@pytest.mark.parametrize(
    "wrap", [lambda logits: logits, lambda logits: (logits, np.zeros((3, 5)))], ids=["alone", "first of two"]
)
def test_trainer_gets_the_metrics_of_its_logits(wrap):
    logits = np.array([[0.1, 0.3, -2], [5, 4, 3], [0, 0, 7]])
    assert class_logits(wrap(logits)) is logits
    values = compute_metrics(EvalPrediction(predictions=wrap(logits), label_ids=np.array([1, 0, 0])))
    assert values == {"accuracy": pytest.approx(2 / 3), "macro_f1": pytest.approx((2 / 3 + 1 + 0) / 3)}


def test_probabilities_are_a_softmax_that_does_not_overflow():
    found = probabilities(np.array([[0, np.log(3)], [1000, 1000], [-1e4, 0]], dtype=np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4], [1 / 2, 1 / 2], [0, 1]], atol=1e-7)

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve

from hf_scratch.results.calibration import at_temperature, fit_temperature, reliability


def drawn(temperature: float, N: int = 20011, L: int = 5, seed: int = 0):
    """Classes drawn from softmax(z), and the probabilities of a model that says softmax(z * temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(N, L))
    gold = (softmax(logits, -1).cumsum(-1) < rng.random((N, 1))).sum(-1)
    return gold, softmax(logits * temperature, -1)


def test_two_bins_by_hand():
    """Two rows of 0.9, one right; two of 0.6, both right: (2/4)·|0.5 - 0.9| + (2/4)·|1 - 0.6| = 0.4."""
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    result = reliability(np.array([0, 0, 0, 1]), probabilities)
    assert result.counts.tolist() == [2, 2] and result.error == pytest.approx(0.4)


def test_the_bins_are_scikit_learns():
    gold, probabilities = drawn(1.7)
    result = reliability(gold, probabilities)
    right = probabilities.argmax(-1) == gold
    accuracy, confidence = calibration_curve(right, probabilities.max(-1), n_bins=15, strategy="uniform")
    np.testing.assert_allclose(result.accuracy, accuracy)
    np.testing.assert_allclose(result.confidence, confidence)
    assert result.counts.sum() == len(gold)


def test_all_that_is_certain_and_right_has_no_error():
    assert reliability(np.array([1, 0]), np.array([[0.0, 1.0], [1.0, 0.0]])).error == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_draw_is_found_again(temperature):
    gold, probabilities = drawn(temperature)
    fitted = fit_temperature(gold, probabilities)
    assert fitted == pytest.approx(temperature, rel=0.04)
    calibrated = at_temperature(gold, probabilities, fitted)
    assert reliability(gold, calibrated).error < 0.012
    np.testing.assert_array_equal(calibrated.argmax(-1), probabilities.argmax(-1))


def test_no_other_temperature_is_likelier():
    gold, probabilities = drawn(2.3, N=997)
    fitted = fit_temperature(gold, probabilities)
    losses = [
        -log_softmax(np.log(probabilities) / (fitted * factor), -1)[np.arange(len(gold)), gold].mean()
        for factor in (0.99, 1, 1.01)
    ]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_labels_of_their_own_have_a_temperature_too():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(5003, 3))
    gold = (rng.random(logits.shape) < expit(logits)).astype(int)
    stated = expit(logits * 2.5)
    fitted = fit_temperature(gold, stated)
    assert fitted == pytest.approx(2.5, rel=0.04)
    calibrated = at_temperature(gold, stated, fitted)
    np.testing.assert_allclose(calibrated, expit(logits * 2.5 / fitted), rtol=1e-9)
    assert reliability(gold, calibrated).error < 0.015 < reliability(gold, stated).error


@pytest.mark.parametrize("probabilities", [np.eye(3), np.eye(3)[[1, 2, 0]]])
def test_probabilities_of_zero_and_one_stay_finite(probabilities):
    """A model that is never wrong, or always, asks for no end of certainty, or of doubt."""
    gold = np.arange(3)
    fitted = fit_temperature(gold, probabilities)
    assert 0.009 < fitted < 101 and np.isfinite(at_temperature(gold, probabilities, fitted)).all()

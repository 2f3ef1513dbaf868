"""Every metric by hand and by scikit-learn or scipy, and what it is where it is undefined."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from tests.results.answers import drawn, scoring, sure

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
def test_accuracy_and_macro_f1_by_hand(gold, predicted, accuracy, macro_f1):
    values = scoring("classification").score(gold, sure(predicted))
    assert values["accuracy"] == pytest.approx(accuracy) and values["macro_f1"] == pytest.approx(macro_f1)


def test_stars_and_losses_by_hand():
    gold, probabilities = [0, 4, 2, 2], sure([1, 4, 4, 2], count=5, share=0.6)
    values = scoring("ordinal", 5).score(gold, probabilities)
    assert values["mae"] == pytest.approx((1 + 0 + 2 + 0) / 4)
    assert values["off_by_one_accuracy"] == 3 / 4
    assert values["log_loss"] == pytest.approx(-(2 * np.log(0.6) + 2 * np.log(0.1)) / 4)
    right, wrong = 0.4**2 + 4 * 0.1**2, 0.6**2 + 0.9**2 + 3 * 0.1**2
    assert values["brier_score"] == pytest.approx((right + wrong) / 2)
    assert values["expected_calibration_error"] == pytest.approx(abs(0.5 - 0.6))


def test_classes_have_scikit_learns_values():
    gold, probabilities = drawn("ordinal")
    predicted, values = probabilities.argmax(1), scoring("ordinal").score(gold, probabilities)
    flags = np.eye(4)[gold]
    expected = {
        "accuracy": sk.accuracy_score(gold, predicted),
        "macro_f1": sk.f1_score(gold, predicted, average="macro"),
        "weighted_f1": sk.f1_score(gold, predicted, average="weighted"),
        "matthews_correlation": sk.matthews_corrcoef(gold, predicted),
        "roc_auc": sk.roc_auc_score(gold, probabilities, multi_class="ovr", average="macro"),
        "average_precision": sk.average_precision_score(flags, probabilities, average="macro"),
        "log_loss": sk.log_loss(gold, probabilities),
        "brier_score": ((probabilities - flags) ** 2).sum(1).mean(),
        "mae": sk.mean_absolute_error(gold, predicted),
        "quadratic_weighted_kappa": sk.cohen_kappa_score(gold, predicted, weights="quadratic"),
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert (
        set(values)
        == set(scoring("ordinal").names)
        == set(expected)
        | {
            "off_by_one_accuracy",
            "expected_calibration_error",
        }
    )


def test_two_classes_have_scikit_learns_values():
    gold, probabilities = drawn("classification", count=2)
    values = scoring("classification", 2).score(gold, probabilities)
    assert values["f1"] == pytest.approx(sk.f1_score(gold, probabilities.argmax(1)))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(gold, probabilities[:, 1]))
    assert values["average_precision"] == pytest.approx(sk.average_precision_score(gold, probabilities[:, 1]))
    assert values["brier_score"] == pytest.approx(sk.brier_score_loss(gold, probabilities[:, 1]))


def test_several_labels_have_scikit_learns_values():
    gold, probabilities = drawn("multi_label")
    predicted = (probabilities >= 0.5).astype(int)
    averages = ("micro", "macro", "samples")
    expected = {f"{average}_f1": sk.f1_score(gold, predicted, average=average, zero_division=0) for average in averages}
    expected["exact_match"] = (gold == predicted).all(1).mean()
    expected["mean_average_precision"] = sk.average_precision_score(gold, probabilities, average="macro")
    expected["roc_auc"] = sk.roc_auc_score(gold, probabilities, average="macro")
    assert scoring("multi_label").score(gold, probabilities) == pytest.approx(expected)


def test_numbers_have_scikit_learns_and_scipys_values():
    gold, predicted = drawn("regression")
    expected = {
        "rmse": sk.root_mean_squared_error(gold, predicted),
        "mse": sk.mean_squared_error(gold, predicted),
        "mae": sk.mean_absolute_error(gold, predicted),
        "r2": sk.r2_score(gold, predicted),
        "pearson": stats.pearsonr(gold, predicted[:, 0]).statistic,
        "spearmanr": stats.spearmanr(gold, predicted[:, 0]).statistic,
    }
    assert scoring("regression").score(gold, predicted) == pytest.approx(expected)


def test_the_scale_of_kappa_keeps_the_places_of_classes_without_rows():
    gold, predicted = np.array([0, 0, 1, 4, 4]), np.array([0, 1, 1, 4, 0])
    five = sk.cohen_kappa_score(gold, predicted, weights="quadratic", labels=range(5))
    assert five != pytest.approx(sk.cohen_kappa_score(gold, predicted, weights="quadratic"))
    assert scoring("ordinal", 5).score(gold, sure(predicted, 5))["quadratic_weighted_kappa"] == pytest.approx(five)


UNDEFINED = {
    "one row": ("classification", [2], [2], {"roc_auc", "average_precision"}),
    "one class in gold": ("classification", [1, 1, 1], [1, 0, 1], {"roc_auc", "average_precision"}),
    "one class in gold and predictions": ("ordinal", [1, 1], [1, 1], {"roc_auc", "average_precision"}),
    "one class predicted": ("ordinal", [0, 1, 2], [1, 1, 1], set()),
    "one row of numbers": ("regression", [2.5], [[2.0]], {"r2"}),
    "equal numbers in gold": ("regression", [2.0, 2.0], [[1.0], [3.0]], {"r2"}),
    "equal predictions": ("regression", [2.0, 3.0], [[1.0], [1.0]], set()),
    "no label at all": ("multi_label", [[0, 0], [0, 0]], [[0.1, 0.2], [0.3, 0.1]], {"roc_auc", "mean_average_precision"}),
}


@pytest.mark.parametrize(("kind", "gold", "predicted", "left_out"), UNDEFINED.values(), ids=UNDEFINED)
def test_what_is_undefined_is_left_out_or_zero_and_never_warns(kind, gold, predicted, left_out):
    probabilities = np.array(predicted) if np.ndim(predicted) == 2 else sure(predicted)
    count = probabilities.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = scoring(kind, count).score(gold, probabilities)
    assert set(scoring(kind, count).names) - set(values) == left_out
    assert all(type(value) is float and np.isfinite(value) for value in values.values())  # JSON takes neither NaN nor numpy
    correlations = {"matthews_correlation", "quadratic_weighted_kappa", "pearson", "spearmanr"} & set(values)
    assert all(values[name] == 0 for name in correlations)

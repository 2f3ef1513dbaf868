"""Every metric, by scikit-learn and scipy: what it takes, which direction is better, and what it is where it is undefined.

Where a metric is not defined it has a value by convention, or is left out; it is never NaN and never a warning:

- F1, precision and recall with nothing to divide by are 0; macro F1 is over the classes that gold or predictions have.
- Correlations (Matthews, kappa, Pearson, Spearman) of what does not vary are 0: nothing is known of the order.
- ROC AUC and average precision need rows inside and outside a class; classes without are left out of their mean, and a part
  with no such class has neither. R² needs gold values that vary.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from .calibration import BINS, reliability

SMALLEST = np.finfo(np.float64).eps  # a probability of 0 costs -log(eps) = 36, as in scikit-learn


@dataclass(frozen=True)
class Measure:
    """How a metric is computed and read.

    Args:
        compute: of gold and answers to a number, or to None where it is not defined.
        takes: the answers: "decisions" (class ids `(N,)`, flags `(N, L)` or numbers `(N,)`) or "probabilities" `(N, L)`.
        greater_is_better: False for losses and errors.
        percent: whether tables show it times 100.
    """

    compute: Callable[[np.ndarray, np.ndarray], float | None]
    takes: str = "decisions"
    greater_is_better: bool = True
    percent: bool = True


def f1(average: str) -> Measure:
    return Measure(lambda gold, decided: sk.f1_score(gold, decided, average=average, zero_division=0))


def matthews(gold, decided) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004)."""
    return sk.matthews_corrcoef(gold, decided) if np.ptp(gold) and np.ptp(decided) else 0.0


def kappa(gold, decided) -> float:
    """1 - Σ (g - p)² / its expectation if gold and predictions were independent (Cohen 1968), over class ids."""
    if not np.ptp(gold) and not np.ptp(decided):
        return 0.0
    # All ids up to the highest: scikit-learn would close the gap that a class without rows leaves in the scale.
    labels = range(max(np.max(gold), np.max(decided)) + 1)
    return sk.cohen_kappa_score(gold, decided, labels=labels, weights="quadratic")


def correlation(function) -> Measure:
    def compute(gold, predicted):
        if not np.ptp(gold) or not np.ptp(predicted):
            return 0.0
        with warnings.catch_warnings():  # of numbers that hardly vary
            warnings.simplefilter("ignore")
            return np.nan_to_num(function(gold, predicted).statistic)

    return Measure(compute)


def one_against_the_rest(function) -> Measure:
    """The mean over classes of a metric of flags and scores; of two classes, that of the class with id 1."""

    def compute(gold, probabilities):
        flags = as_flags(gold, probabilities.shape[1])
        binary = gold.ndim == 1 and probabilities.shape[1] == 2
        classes = [id_ for id_ in ([1] if binary else range(flags.shape[1])) if np.ptp(flags[:, id_])]
        if not classes:
            return None
        return np.mean([function(flags[:, id_], probabilities[:, id_]) for id_ in classes])

    return Measure(compute, "probabilities")


def row_log_losses(gold, probabilities) -> np.ndarray:
    """-log p(gold) of each row, `(N,)`."""
    return -np.log(np.clip(probabilities[np.arange(len(gold)), gold], SMALLEST, 1))


def row_brier_scores(gold, probabilities) -> np.ndarray:
    """Σ over classes (p - [gold])² of each row (Brier 1950), halved for two classes as in scikit-learn, `(N,)`."""
    halves = 0.5 if probabilities.shape[1] == 2 else 1.0
    return halves * ((probabilities - as_flags(gold, probabilities.shape[1])) ** 2).sum(-1)


def row_calibration(gold, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Each row's bin by the probability of its answer, and [right] less that probability, each `(N,)`."""
    confidence, right = probabilities.max(-1), probabilities.argmax(-1) == gold
    return np.minimum((confidence * BINS).astype(int), BINS - 1), right - confidence


def calibration_error(gold, probabilities) -> float:
    """Of the class that is named, over 15 bins of equal width."""
    return reliability(gold, probabilities).error


def r2(gold, predicted) -> float | None:
    return sk.r2_score(gold, predicted) if np.ptp(gold) else None


def error(function) -> Measure:
    return Measure(function, greater_is_better=False, percent=False)


def loss(function, percent: bool) -> Measure:
    return Measure(function, "probabilities", greater_is_better=False, percent=percent)


def as_flags(gold: np.ndarray, num_labels: int) -> np.ndarray:
    """Class ids `(N,)` as flags `(N, L)`; flags as they are."""
    return gold if gold.ndim == 2 else (gold[:, None] == np.arange(num_labels)).astype(np.int64)


CLASSES = {
    "accuracy": Measure(sk.accuracy_score),
    "macro_f1": f1("macro"),
    "weighted_f1": f1("weighted"),
    "matthews_correlation": Measure(matthews),
    "roc_auc": one_against_the_rest(sk.roc_auc_score),
    "average_precision": one_against_the_rest(sk.average_precision_score),
    "log_loss": loss(lambda gold, probabilities: row_log_losses(gold, probabilities).mean(), percent=False),
    "brier_score": loss(lambda gold, probabilities: row_brier_scores(gold, probabilities).mean(), percent=False),
    "expected_calibration_error": loss(calibration_error, percent=True),
}
BINARY = {"f1": f1("binary")}
STARS = {
    "mae": error(lambda gold, decided: np.abs(gold - decided).mean()),
    "off_by_one_accuracy": Measure(lambda gold, decided: (np.abs(gold - decided) <= 1).mean()),
    "quadratic_weighted_kappa": Measure(kappa),
}
FLAGS = {
    "micro_f1": f1("micro"),
    "macro_f1": f1("macro"),
    "samples_f1": f1("samples"),
    "exact_match": Measure(sk.accuracy_score),
    "mean_average_precision": one_against_the_rest(sk.average_precision_score),
    "roc_auc": one_against_the_rest(sk.roc_auc_score),
}
NUMBERS = {
    "rmse": error(lambda gold, predicted: np.sqrt(sk.mean_squared_error(gold, predicted))),
    "mse": error(sk.mean_squared_error),
    "mae": error(sk.mean_absolute_error),
    "r2": Measure(r2, percent=False),
    "pearson": correlation(pearsonr),
    "spearmanr": correlation(spearmanr),
}
KINDS = {"classification": CLASSES, "ordinal": CLASSES | STARS, "multi_label": FLAGS, "regression": NUMBERS}
METRICS = tuple(dict.fromkeys([*CLASSES, *BINARY, *STARS, *FLAGS, *NUMBERS]))

"""Do the probabilities mean what they say? Expected calibration error, the reliability diagram, and one temperature."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax, logit, softmax

BINS = 15  # as Guo et al. 2017
WIDEST = 100.0  # a temperature is looked for between its inverse and this
SURE = 1e-12  # probabilities of exactly 0 or 1 have no logit


@dataclass(frozen=True)
class Reliability:
    """The bins of a reliability diagram, those without rows left out.

    Args:
        confidence: mean stated probability of each bin, `(bins,)`.
        accuracy: share of each bin's answers that are right, `(bins,)`.
        counts: answers in each bin, `(bins,)`.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error Σ n_b / N · |accuracy_b - confidence_b| (Guo et al. 2017, equation 3)."""
        return float(np.abs(self.accuracy - self.confidence) @ self.counts / self.counts.sum())


def reliability(gold: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Sort the answers by how sure they are, into 15 bins of equal width.

    Args:
        gold: class ids `(N,)`, judged by the class that is named; or zeros and ones `(N, L)`, each label judged by itself.
        probabilities: `(N, L)`.
    """
    if gold.ndim == 2:
        stated, right = probabilities.ravel(), gold.ravel() == 1
    else:
        stated, right = probabilities.max(-1), probabilities.argmax(-1) == gold
    bins = np.minimum((stated * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    held = counts > 0
    sums = (np.bincount(bins, weights=values, minlength=BINS)[held] for values in (stated, right))
    confidence, accuracy = (total / counts[held] for total in sums)
    return Reliability(confidence, accuracy, counts[held])


def fit_temperature(gold: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature T whose softmax(z / T), for several labels sigmoid(z / T), makes the true answers likeliest.

    The likelihood is concave in 1/T, so that there is one best (Guo et al. 2017, 4.2). Ever the same class is named: only how
    surely changes. Fit it on rows that are not reported.

    Args:
        gold: class ids `(N,)`, or zeros and ones `(N, L)`.
        probabilities: `(N, L)`, at T = 1; their logarithms are the logits up to a constant that falls out.
    """
    logits = logits_of(gold, probabilities)

    def loss(log_temperature):
        scaled = logits / np.exp(log_temperature)
        if gold.ndim == 2:
            return -np.where(gold == 1, log_expit(scaled), log_expit(-scaled)).mean()
        return -np.take_along_axis(log_softmax(scaled, -1), gold[:, None], -1).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-np.log(WIDEST), np.log(WIDEST)), method="bounded").x))


def at_temperature(gold: np.ndarray, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities that the same model states at another temperature, `(N, L)`."""
    scaled = logits_of(gold, probabilities) / temperature
    return np.exp(log_expit(scaled)) if gold.ndim == 2 else softmax(scaled, -1)


def logits_of(gold: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities.astype(np.float64), SURE, 1 - SURE)
    return logit(inside) if gold.ndim == 2 else np.log(inside)

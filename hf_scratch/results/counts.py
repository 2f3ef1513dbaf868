"""The metrics that follow from counts, of many resamples at once.

A resample is how often each cell was drawn; a cell is a gold answer with a predicted one. Nothing here loops over rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse


class Cells:
    """The different pairs of a gold and a predicted answer of one system.

    Args:
        gold, predicted: class ids `(cells,)`, or flags `(cells, L)` where a row may have several.
        num_labels: L.
    """

    def __init__(self, gold: np.ndarray, predicted: np.ndarray, num_labels: int):
        self.gold, self.predicted = gold, predicted
        self.gold_flags, self.predicted_flags = sparse_flags(gold, num_labels), sparse_flags(predicted, num_labels)
        self.hit_flags = self.gold_flags * self.predicted_flags


@dataclass(frozen=True)
class Counts:
    """One system's counts.

    Args:
        cells: of the system.
        drawn: how often each was drawn, `(cells, R)`; every resample draws the same number of rows.
    """

    cells: Cells
    drawn: np.ndarray

    @cached_property
    def rows(self) -> int:
        """How many rows a resample draws."""
        return int(self.drawn[:, 0].sum())

    @cached_property
    def of_gold(self) -> np.ndarray:
        """Rows of each class, `(L, R)`."""
        return self.cells.gold_flags @ self.drawn

    @cached_property
    def of_predicted(self) -> np.ndarray:
        """Rows that are predicted to be of each class, `(L, R)`."""
        return self.cells.predicted_flags @ self.drawn

    @cached_property
    def hits(self) -> np.ndarray:
        """Rows of each class that are predicted to be of it, `(L, R)`."""
        return self.cells.hit_flags @ self.drawn

    def mean(self, values) -> np.ndarray:
        """The mean over a resample's rows of a number that each cell has, `(R,)`."""
        return np.asarray(values, dtype=np.float64) @ self.drawn / self.rows


def sparse_flags(answers: np.ndarray, num_labels: int) -> sparse.csr_array:
    """`(L, cells)`."""
    if answers.ndim == 2:
        return sparse.csr_array(answers.T.astype(np.float64))
    cells = np.arange(len(answers))
    return sparse.csr_array((np.ones(len(answers)), (answers, cells)), shape=(num_labels, len(answers)))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


def class_f1(counts: Counts) -> np.ndarray:
    """F1 = 2·hits / (gold + predicted) of each class, `(L, R)`."""
    return ratio(2 * counts.hits, counts.of_gold + counts.of_predicted)


def class_precision(counts: Counts) -> np.ndarray:
    """`(L, R)`."""
    return ratio(counts.hits, counts.of_predicted)


def class_recall(counts: Counts) -> np.ndarray:
    """`(L, R)`."""
    return ratio(counts.hits, counts.of_gold)


def accuracy(counts: Counts) -> np.ndarray:
    same = counts.cells.gold == counts.cells.predicted
    return counts.mean(same if same.ndim == 1 else same.all(axis=1))


def macro_f1(counts: Counts) -> np.ndarray:
    """A class that a resample lacks altogether is left out, as scikit-learn does; of several labels none is."""
    if counts.cells.gold.ndim == 2:
        return class_f1(counts).mean(axis=0)
    return class_f1(counts).sum(axis=0) / (counts.of_gold + counts.of_predicted > 0).sum(axis=0)


def weighted_f1(counts: Counts) -> np.ndarray:
    return (class_f1(counts) * counts.of_gold).sum(axis=0) / counts.rows


def micro_f1(counts: Counts) -> np.ndarray:
    return ratio(2 * counts.hits.sum(axis=0), (counts.of_gold + counts.of_predicted).sum(axis=0))


def samples_f1(counts: Counts) -> np.ndarray:
    gold, predicted = counts.cells.gold, counts.cells.predicted
    return counts.mean(ratio(2.0 * (gold & predicted).sum(axis=1), gold.sum(axis=1) + predicted.sum(axis=1)))


def positive_f1(counts: Counts) -> np.ndarray:
    return class_f1(counts)[1]


def matthews_correlation(counts: Counts) -> np.ndarray:
    """(N·hits - Σ gold·predicted) / √((N² - Σ gold²)(N² - Σ predicted²)) (Gorodkin 2004, equation 8)."""
    N, gold, predicted = counts.rows, counts.of_gold, counts.of_predicted
    covariance = N * counts.hits.sum(axis=0) - (gold * predicted).sum(axis=0)
    return ratio(covariance, np.sqrt((N**2 - (gold**2).sum(axis=0)) * (N**2 - (predicted**2).sum(axis=0))))


def quadratic_weighted_kappa(counts: Counts) -> np.ndarray:
    """1 - mean (g - p)² / (mean g² + mean p² - 2·mean g·mean p) (Cohen 1968)."""
    g, p = counts.cells.gold, counts.cells.predicted
    expected = counts.mean(g**2) + counts.mean(p**2) - 2 * counts.mean(g) * counts.mean(p)
    return np.where(expected > 1e-12, 1 - ratio(counts.mean((g - p) ** 2), expected), 0)


def mae(counts: Counts) -> np.ndarray:
    return counts.mean(np.abs(counts.cells.gold - counts.cells.predicted))


def off_by_one_accuracy(counts: Counts) -> np.ndarray:
    return counts.mean(np.abs(counts.cells.gold - counts.cells.predicted) <= 1)


OF_COUNTS = {
    "accuracy": accuracy,
    "exact_match": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "micro_f1": micro_f1,
    "samples_f1": samples_f1,
    "f1": positive_f1,
    "matthews_correlation": matthews_correlation,
    "quadratic_weighted_kappa": quadratic_weighted_kappa,
    "mae": mae,
    "off_by_one_accuracy": off_by_one_accuracy,
}
OF_CLASSES = {"precision": class_precision, "recall": class_recall, "f1": class_f1}

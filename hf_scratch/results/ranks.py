"""The metrics that need each row's probability or number, of many resamples at once.

A resample is how often each row was drawn: a column of `drawn`, `(N, R)`. What does not depend on it, above all the order of
the rows, is found once: `of_classes`, `of_flags` and `of_numbers` take the answers and return a function of `drawn`.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from .calibration import BINS
from .measures import as_flags, row_brier_scores, row_calibration, row_log_losses


class Curve:
    """The order of rows by score, for the areas under the ROC curve and under the precision-recall curve.

    Args:
        flags: which rows are positive, `(N,)`; at least one is, and one is not.
        scores: `(N,)`; rows of one score are tied.
    """

    def __init__(self, flags: np.ndarray, scores: np.ndarray):
        order = np.argsort(-scores, kind="stable").astype(np.int32)
        positive = flags[order].nonzero()[0]
        first, last = tied(scores[order])
        first, until = first[positive], last[positive] + 1
        self.positive = order[positive]
        self.first_positive, self.until_positive = np.searchsorted(positive, first), np.searchsorted(positive, until)
        # Rows are counted between the places that are asked for alone: of a rare class few.
        places = np.unique([0, *first, *until, len(order)])
        self.between = sparse.csr_array((np.ones(len(order), np.int32), order, places), shape=(len(places) - 1, len(order)))
        self.first, self.until = np.searchsorted(places, first), np.searchsorted(places, until)

    def areas(self, drawn: np.ndarray) -> np.ndarray:
        """ROC AUC and average precision as scikit-learn has them, `(2, R)`; NaN where a resample lacks one kind of row.

        ROC AUC is the share of pairs of a positive and a negative row in which the positive one has the higher score, ties
        half; average precision the mean over positive rows of the precision at their score.
        """
        rows, hits = from_the_top(self.between @ drawn), drawn[self.positive]
        positives = from_the_top(hits)
        before, until = positives[self.first_positive], positives[self.until_positive]
        all_before, all_until = rows[self.first], rows[self.until]
        beaten_by = (all_before - before + all_until - until) / 2  # negative rows with a higher score, ties half
        of_one_kind = (positives[-1] == 0) | (positives[-1] == rows[-1])
        pairs = np.where(of_one_kind, np.nan, positives[-1] * (rows[-1] - positives[-1]).astype(np.float64))
        auc = 1 - np.einsum("pr,pr->r", hits, beaten_by) / pairs
        precision = np.einsum("pr,pr->r", hits, until / np.maximum(all_until, 1)) / np.maximum(positives[-1], 1)
        return np.stack([auc, np.where(of_one_kind, np.nan, precision)])


def tied(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the first and of the last equal value, for each of some ordered values, `(N,)`."""
    begins = np.append(True, np.diff(ordered) != 0)
    group = begins.cumsum() - 1
    first = begins.nonzero()[0]
    return first[group], np.append(first[1:], len(ordered))[group] - 1


def from_the_top(drawn: np.ndarray) -> np.ndarray:
    """How many rows were drawn before each place, `(N + 1, R)`."""
    counts = np.zeros((len(drawn) + 1, drawn.shape[1]), dtype=np.int32)
    np.cumsum(drawn, axis=0, out=counts[1:])
    return counts


def ranker(values: np.ndarray) -> Callable:
    """A function of `drawn` to the rank of each row in each resample, `(N, R)`; equal values share the middle one."""
    order = np.argsort(values, kind="stable")
    first, last = tied(values[order])

    def ranks(drawn):
        above = from_the_top(drawn[order])
        ranked = np.empty(drawn.shape)
        ranked[order] = (above[first] + above[last + 1] + 1) / 2
        return ranked

    return ranks


def correlation(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Pearson's, of the drawn rows, `(R,)`; 0 where one side does not vary.

    Args:
        x, y: `(N, R)`, or `(N, 1)` where they are the same in every resample.
        drawn: `(N, R)`.
    """

    def mean(values):
        return np.einsum("nr,nr->r", drawn, np.broadcast_to(values, drawn.shape)) / len(drawn)

    x, y = x - mean(x), y - mean(y)
    spread = np.sqrt(mean(x * x) * mean(y * y))
    return np.divide(mean(x * y), spread, out=np.zeros_like(spread), where=spread > 1e-12)


def mean_areas(flags: np.ndarray, probabilities: np.ndarray, classes) -> Callable:
    """A function of `drawn` to the two areas, `(2, R)`: their mean over the classes that a resample defines them for."""
    curves = [Curve(flags[:, id_], probabilities[:, id_]) for id_ in classes if np.ptp(flags[:, id_])]

    def areas(drawn):
        total, defined = np.zeros((2, drawn.shape[1])), np.zeros(drawn.shape[1])
        for curve in curves:
            found = curve.areas(drawn)
            total += np.nan_to_num(found)
            defined += ~np.isnan(found[0])
        return np.divide(total, defined, out=np.full_like(total, np.nan), where=defined > 0)

    return areas


def of_classes(gold: np.ndarray, probabilities: np.ndarray) -> Callable:
    """Of class ids `(N,)` and probabilities `(N, L)`, a function of `drawn` to name -> `(R,)`."""
    L = probabilities.shape[1]
    areas = mean_areas(as_flags(gold, L), probabilities, [1] if L == 2 else range(L))
    bins, gaps = row_calibration(gold, probabilities)
    gaps = np.where(bins[:, None] == np.arange(BINS), gaps[:, None], 0)  # (N, bins)
    rows = np.column_stack([row_log_losses(gold, probabilities), row_brier_scores(gold, probabilities), gaps])

    def metrics(drawn):
        auc, precision = areas(drawn)
        losses, briers, *gaps = (rows.T @ drawn) / len(drawn)
        error = np.abs(gaps).sum(axis=0)
        named = {"roc_auc": auc, "average_precision": precision, "log_loss": losses, "brier_score": briers}
        return named | {"expected_calibration_error": error}

    return metrics


def of_flags(gold: np.ndarray, probabilities: np.ndarray) -> Callable:
    """Of flags and probabilities, each `(N, L)`, a function of `drawn` to name -> `(R,)`."""
    areas = mean_areas(gold, probabilities, range(gold.shape[1]))
    return lambda drawn: dict(zip(("roc_auc", "mean_average_precision"), areas(drawn), strict=True))


def of_numbers(gold: np.ndarray, predicted: np.ndarray) -> Callable:
    """Of numbers, gold and predicted, each `(N,)`, a function of `drawn` to name -> `(R,)`."""
    error, centred = gold - predicted, gold - gold.mean()
    rows = np.stack([error**2, np.abs(error), centred, centred**2])
    of_gold, of_predicted = ranker(gold), ranker(predicted)

    def metrics(drawn):
        mse, mae, shift, square = (rows @ drawn) / len(drawn)
        variance = square - shift**2
        return {
            "mse": mse,
            "rmse": np.sqrt(mse),
            "mae": mae,
            "r2": 1 - np.divide(mse, variance, out=np.full_like(mse, np.nan), where=variance > 1e-12 * rows[3].max()),
            "pearson": correlation(gold[:, None], predicted[:, None], drawn),
            "spearmanr": correlation(of_gold(drawn), of_predicted(drawn), drawn),
        }

    return metrics

"""Percentile bootstrap over examples (Efron and Tibshirani 1993, chapter 13), for metrics that follow from counts.

Drawing N examples with replacement is drawing counts of the different (true, predicted) pairs from a multinomial
distribution, so ten thousand resamples cost a few matrix products and no loop over examples.
"""

import numpy as np

RESAMPLES = 10_000
CELLS_AT_ONCE = 4_000_000


def intervals(gold, predicted, level: float = 0.95, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The interval of each metric of `metrics.METRICS` on one system.

    Args:
        gold, predicted: class ids, each `(N,)`.
        level: share of the resamples inside the interval.
        seed: of the resampling.

    Returns:
        Metric name to (low, high).
    """
    draws = resample(gold, [predicted], seed)
    return {name: percentile(values[0], level) for name, values in draws.items()}


def differences(gold, first, second, level: float = 0.95, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The interval of each metric's difference, first system less second, on the same resampled examples.

    Args:
        gold, first, second: class ids, each `(N,)`.
        level: share of the resamples inside the interval.
        seed: of the resampling.

    Returns:
        Metric name to (low, high).
    """
    draws = resample(gold, [first, second], seed)
    return {name: percentile(values[0] - values[1], level) for name, values in draws.items()}


def percentile(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(gold, systems, seed: int) -> dict[str, np.ndarray]:
    """The metrics of every system on every resample, each `(systems, RESAMPLES)`."""
    cells, counts = np.unique(np.stack([gold, *systems]), axis=1, return_counts=True)  # (1 + systems, cells)
    N = counts.sum()
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS_AT_ONCE // len(counts))
    accuracy, macro_f1 = [], []
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = rng.multinomial(N, counts / N, size=size).astype(np.float64)  # (size, cells)
        accuracy.append([drawn @ (cells[0] == system) / N for system in cells[1:]])
        macro_f1.append([macro_f1_of_counts(drawn, cells[0], system) for system in cells[1:]])
    return {"accuracy": np.concatenate(accuracy, axis=1), "macro_f1": np.concatenate(macro_f1, axis=1)}


def macro_f1_of_counts(drawn: np.ndarray, gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Macro F1 of each row of counts; a class that a resample lacks altogether is left out, as scikit-learn does.

    Args:
        drawn: how often each cell was drawn, `(R, cells)`.
        gold, predicted: the cells' classes, `(cells,)`.

    Returns:
        `(R,)`.
    """
    classes = np.union1d(gold, predicted)
    is_gold = (gold[:, None] == classes).astype(np.float64)  # (cells, classes)
    is_predicted = (predicted[:, None] == classes).astype(np.float64)
    hits = drawn @ (is_gold * is_predicted)  # (R, classes)
    total = drawn @ (is_gold + is_predicted)  # true plus predicted: F1 = 2·hits / total
    f1 = np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return f1.sum(axis=1) / (total > 0).sum(axis=1)

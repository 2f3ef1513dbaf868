"""Percentile bootstrap over examples (Efron and Tibshirani 1993, chapter 13), for every metric of a task.

A metric that follows from counts is resampled by drawing how often each different (gold, predicted) pair occurs: ten thousand
resamples cost a few matrix products. One that needs each row's probability is resampled a thousand times by drawing how often
each row occurs. Several systems are resampled together, on the same rows.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from . import ranks
from .counts import OF_CLASSES, OF_COUNTS, Cells, Counts
from .metrics import Scoring, decide

RESAMPLES = 10_000
ROW_RESAMPLES = 1_000
FEWEST_RESAMPLES = 100
MOST_ROW_WORK = 1_000_000_000  # resamples times rows times labels times systems; beyond, fewer resamples are drawn
MOST_DRAWS = 200_000_000  # resamples times rows, where cells are drawn row by row; beyond, fewer, but not below ROW_RESAMPLES
# A row drawn twice is tied with itself, and a bin with fewer different rows strays further: their resamples lie too high.
BIASED = ("average_precision", "mean_average_precision", "expected_calibration_error")
AT_ONCE = 1_000_000  # numbers drawn at once
ROWS_A_CELL = 16  # drawing a cell's count costs as much as drawing so many rows


def intervals(scoring: Scoring, gold, probabilities, level: float = 0.95, seed: int = 0, **wanted) -> dict:
    """The interval of each metric of one system.

    Args:
        scoring: of the task.
        gold: as `Scoring.score` takes it, with no row unlabelled.
        probabilities: `(N, L)`.
        level: share of the resamples inside the interval.
        seed: of the resampling.
        wanted: `names` or `per_class` of `resample`.

    Returns:
        Metric name to (low, high).
    """
    return {
        name: percentile(values[0], level) for name, values in resample(scoring, gold, [probabilities], seed, **wanted).items()
    }


def differences(scoring: Scoring, gold, first, second, level: float = 0.95, seed: int = 0, **wanted) -> dict:
    """The interval of each metric's difference, first system less second, on the same resampled rows; arguments as above."""
    draws = resample(scoring, gold, [first, second], seed, **wanted)
    return {name: percentile(values[0] - values[1], level) for name, values in draws.items()}


def percentile(values: np.ndarray, level: float) -> tuple[float, float]:
    """The middle `level` of the resamples, those apart in which the metric is not defined."""
    low, high = np.quantile(values[~np.isnan(values)], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(
    scoring: Scoring,
    gold,
    systems: Sequence,
    seed: int = 0,
    names: Collection[str] | None = None,
    per_class: bool = False,
) -> dict[str, np.ndarray]:
    """The metrics of every system on every resample.

    Args:
        scoring: of the task.
        gold: as `Scoring.score` takes it.
        systems: the probabilities of each, `(N, L)`.
        seed: of the resampling.
        names: the metrics to resample; all by default.
        per_class: whether precision, recall and F1 of each class of the first system are resampled too, under
            `class_<name>_<metric>`.

    Returns:
        Metric name to `(systems, resamples)`, NaN where a resample does not define it; what these rows do not define is left
        out.
    """
    turned = [scoring.turned(gold, system) for system in systems]
    names = scoring.names if names is None else names
    gold, systems = turned[0][0], [system for _, system in turned]
    rng = np.random.default_rng(seed)
    counted = [name for name in names if scoring.kind != "regression" and name in OF_COUNTS]
    rest = [name for name in names if name not in counted]
    draws = count_draws(scoring, gold, systems, rng, counted, per_class) if counted or per_class else {}
    draws |= row_draws(scoring, gold, systems, rng, rest) if rest else {}
    ordered = {name: draws[name] for name in [*names, *(name for name in draws if name not in names)]}
    return {name: values for name, values in ordered.items() if not np.isnan(values).all(axis=1).any()}


def count_draws(scoring, gold, systems, rng, names, per_class) -> dict[str, np.ndarray]:
    """Metrics that follow from counts, `(systems, RESAMPLES)` each; per class of the first system only, `(1, RESAMPLES)`."""
    decided = [decide(scoring.kind, system) for system in systems]
    row_of, cell_of, sizes = cells_of([gold, *decided])
    classes = scoring.classes if scoring.positive else scoring.classes[::-1]
    cells, portions = [Cells(gold[row_of], answers[row_of], systems[0].shape[1]) for answers in decided], []
    for drawn in drawn_cells(cell_of, sizes, rng):
        counts = [Counts(of_system, drawn) for of_system in cells]
        portion = {name: np.stack([OF_COUNTS[name](of_system) for of_system in counts]) for name in names}
        for metric, function in OF_CLASSES.items() if per_class else ():
            values = function(counts[0])
            portion |= {f"class_{name}_{metric}": values[None, id_] for id_, name in enumerate(classes)}
        portions.append(portion)
    return {name: np.concatenate([portion[name] for portion in portions], axis=1) for name in portions[0]}


def cells_of(answers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with the same gold and predicted answers are one cell.

    Args:
        answers: each ids `(N,)` or flags `(N, L)`.

    Returns:
        A row of each cell, each row's cell `(N,)`, and the cells' sizes.
    """
    keys = [np.packbits(answer.astype(np.uint8), axis=1) if answer.ndim == 2 else answer[:, None] for answer in answers]
    _, row_of, cell_of, sizes = np.unique(
        np.concatenate(keys, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return row_of, cell_of.reshape(-1), sizes


def drawn_cells(cell_of: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cell is drawn, `(cells, some resamples)` at a time: cell by cell where they are few, else row by row."""
    N, cells = len(cell_of), len(sizes)
    few = cells * ROWS_A_CELL < N
    resamples = RESAMPLES if few else min(RESAMPLES, max(ROW_RESAMPLES, MOST_DRAWS // N))
    at_once = max(1, AT_ONCE // (cells if few else N))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        if few:
            drawn = rng.multinomial(N, sizes / N, size=size)
        else:
            drawn = [np.bincount(cell_of.take(rng.integers(0, N, N, np.uint32)), minlength=cells) for _ in range(size)]
        yield np.ascontiguousarray(np.transpose(drawn), dtype=np.float64)


def row_draws(scoring, gold, systems, rng, names) -> dict[str, np.ndarray]:
    """Metrics that need every row, `(systems, resamples)` each."""
    prepare = {"multi_label": ranks.of_flags, "regression": ranks.of_numbers}.get(scoring.kind, ranks.of_classes)
    functions = [prepare(gold, decide(scoring.kind, system) if scoring.kind == "regression" else system) for system in systems]
    portions = [[function(drawn) for function in functions] for drawn in drawn_rows(len(gold), sum(map(np.size, systems)), rng)]
    draws = {
        name: np.concatenate([np.stack([values[name] for values in portion]) for portion in portions], axis=1) for name in names
    }
    biased = set(BIASED).intersection(names)
    whole = [function(np.ones((len(gold), 1), np.int32)) for function in functions] if biased else []
    for name in biased:
        values = np.concatenate([found[name] for found in whole])  # (systems,)
        draws[name] = draws[name] if np.isnan(values).any() else centred(draws[name], values)
    return draws


def centred(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Resamples `(systems, R)` of a share, moved so that their mean is the value that all rows give, `(systems,)`."""
    return np.clip(draws - np.nanmean(draws, axis=1, keepdims=True) + values[:, None], 0, 1)


def drawn_rows(N: int, work: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each row is drawn, `(N, some resamples)` at a time."""
    resamples = min(ROW_RESAMPLES, max(FEWEST_RESAMPLES, MOST_ROW_WORK // work))
    at_once = max(1, AT_ONCE // N)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        places = rng.integers(0, N, (N, size)) * size + np.arange(size)
        yield np.bincount(places.ravel(), minlength=N * size).reshape(N, size).astype(np.int32)

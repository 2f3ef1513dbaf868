"""One table at the end of a run, and one plain sentence."""

from dataclasses import dataclass

import numpy as np

from .baselines import Baseline
from .intervals import differences, intervals
from .metrics import HEADLINE, METRICS, score

FEWEST = 30  # rows; below, a bootstrap's interval is far too narrow


@dataclass(frozen=True)
class Row:
    """A system's metrics on the reported part.

    Args:
        name: of the system.
        values: metric name to value.
        bounds: metric name to (low, high).
    """

    name: str
    values: dict[str, float]
    bounds: dict[str, tuple[float, float]]

    def flat(self, prefix: str) -> dict[str, float]:
        """`{prefix_accuracy: ..., prefix_accuracy_low: ..., prefix_accuracy_high: ...}` and so on."""
        results = {}
        for name, value in self.values.items():
            low, high = self.bounds[name]
            results |= {f"{prefix}_{name}": value, f"{prefix}_{name}_low": low, f"{prefix}_{name}_high": high}
        return results


def judge(name: str, gold: np.ndarray, predicted: np.ndarray, level: float) -> Row:
    """Score one system, with intervals."""
    return Row(name, score(predicted, gold), intervals(gold, predicted, level))


def table(rows: list[Row], title: str) -> str:
    """The systems one below the other; percent, each value with its interval."""
    width = max(len(row.name) for row in rows)
    lines = [title, " " * width + "".join(f"  {name.replace('_', ' '):<20}" for name in METRICS)]
    for row in rows:
        cells = (f"  {100 * row.values[name]:5.1f} {bracket(row.bounds[name]):<14}" for name in METRICS)
        lines.append(f"{row.name:<{width}}" + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def bracket(bounds: tuple[float, float]) -> str:
    low, high = (100 * bound for bound in bounds)
    return f"[{low:.1f}, {high:.1f}]"


def verdict(name: str, gold: np.ndarray, predicted: np.ndarray, baselines: list[Baseline], level: float) -> str:
    """Say plainly whether the model beats the best baseline, on the same rows."""
    best = max(baselines, key=lambda baseline: score(baseline.predicted, gold)[HEADLINE])
    gap = 100 * (score(predicted, gold)[HEADLINE] - score(best.predicted, gold)[HEADLINE])
    low, high = (100 * bound for bound in differences(gold, predicted, best.predicted, level)[HEADLINE])
    interval = f"({100 * level:g}% interval of the difference {low:+.1f} to {high:+.1f} points)"
    rank = f"{abs(gap):.1f} points {'better' if gap > 0 else 'worse'} than" if gap else "as good as"
    sentence = f"{name} is {rank} {best.name} in {HEADLINE}"
    if len(gold) < FEWEST:
        return f"{sentence}, but {len(gold)} test rows are too few to tell anything; {FEWEST} or more give an interval."
    if low <= 0 <= high:
        return f"{sentence}, but {len(gold):,} rows do not tell them apart {interval}."
    return f"{sentence} {interval}."

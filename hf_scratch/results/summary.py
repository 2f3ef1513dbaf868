"""One table at the end of a run, and one plain sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.labels import Labels
from .baselines import Baseline
from .counts import OF_COUNTS
from .intervals import percentile, resample
from .metrics import Scoring

FEWEST = 30  # rows; below, a bootstrap's interval is far too narrow


@dataclass(frozen=True)
class Row:
    """A system's metrics on the reported part.

    Args:
        name: of the system.
        values: metric name to value.
        bounds: metric name to (low, high), where it was resampled.
        lead: metric name to (low, high) of the first system's value less this one's, on the same resampled rows.
        seconds: that a baseline took to fit and to predict.
    """

    name: str
    values: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    lead: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float | None = None

    def flat(self, prefix: str) -> dict[str, float]:
        """`{prefix_accuracy: ..., prefix_accuracy_low: ..., prefix_accuracy_high: ...}` and so on."""
        results = {} if self.seconds is None else {f"{prefix}_seconds": round(self.seconds, 3)}
        for name, value in self.values.items():
            results[f"{prefix}_{name}"] = value
            if name in self.bounds:
                results[f"{prefix}_{name}_low"], results[f"{prefix}_{name}_high"] = self.bounds[name]
        return results


def judge(
    scoring: Scoring, name: str, gold, probabilities, level: float, baselines: Sequence[Baseline] = ()
) -> tuple[Row, ...]:
    """Score a model with the interval of every metric, of each class too, and baselines on the same resampled rows.

    Of a baseline, the metrics that follow from counts or are printed: the others would take as long again.

    Args:
        scoring: of the task.
        name: of the model.
        gold: as `Scoring.score` takes it, with no row unlabelled.
        probabilities: the model's, `(N, L)`.
        level: share of the resamples inside an interval.
        baselines: on the same rows.
    """
    systems = [probabilities, *(baseline.probabilities for baseline in baselines)]
    together = [metric for metric in scoring.names if metric in OF_COUNTS or metric in scoring.shown]
    alone = [metric for metric in scoring.names if metric not in together]
    has_classes = scoring.kind != "regression"
    values = scoring.score(gold, probabilities) | (scoring.score_classes(gold, probabilities) if has_classes else {})
    draws = resample(scoring, gold, systems, names=together, per_class=has_classes)
    own = resample(scoring, gold, [probabilities], names=alone)
    rows = [Row(name, values, {metric: percentile(drawn[0], level) for metric, drawn in (draws | own).items()})]
    draws = {metric: draws[metric] for metric in together if metric in draws}
    for place, baseline in enumerate(baselines, 1):
        values = scoring.score(gold, baseline.probabilities, together)
        bounds = {metric: percentile(drawn[place], level) for metric, drawn in draws.items()}
        lead = {metric: percentile(drawn[0] - drawn[place], level) for metric, drawn in draws.items()}
        rows.append(Row(baseline.name, values, bounds, lead, baseline.seconds))
    return tuple(rows)


def table(rows: Sequence[Row], title: str, scoring: Scoring) -> str:
    """The systems one below the other, each value of the headline and its companion with its interval."""
    width = max(len(row.name) for row in rows)
    timed = any(row.seconds is not None for row in rows)
    shown = [name for name in scoring.shown if name in rows[0].values]
    columns = {name: max(20, len(name)) for name in shown}
    heads = "".join(f"  {name.replace('_', ' '):<{columns[name]}}" for name in shown)
    lines = [title, " " * width + heads + ("  seconds" if timed else "")]
    for row in rows:
        cells = "".join(f"  {cell(scoring, name, row):<{columns[name]}}" for name in shown)
        lines.append(f"{row.name:<{width}}" + cells + (f"  {row.seconds:7.1f}" if row.seconds is not None else ""))
    return "\n".join(line.rstrip() for line in lines)


def cell(scoring: Scoring, name: str, row: Row) -> str:
    """' 77.1 [74.5, 80.0]', or of a metric that is no share '0.771 [0.745, 0.800]'."""
    numbers = (row.values[name], *row.bounds[name])
    if scoring.measures[name].percent:
        value, low, high = (round(100 * number, 1) + 0.0 for number in numbers)  # no -0.0
        return f"{value:5.1f} [{low:.1f}, {high:.1f}]"
    value, low, high = (round(number, 3) + 0.0 for number in numbers)
    return f"{value:5.3f} [{low:.3f}, {high:.3f}]"


def verdict(scoring: Scoring, rows: Sequence[Row], count: int, level: float) -> str:
    """Say plainly whether the model, the first row, beats the best baseline in the headline: better, worse, or not told apart.

    Args:
        scoring: of the task.
        rows: the model's and at least one baseline's, from `judge`.
        count: of the examples.
        level: of the intervals.
    """
    headline, measure = scoring.headline, scoring.measures[scoring.headline]
    model, *baselines = rows
    if headline not in model.bounds:
        return f"{headline.replace('_', ' ')} is not defined on these {count:,} rows."
    sign = 1 if measure.greater_is_better else -1
    best = max(baselines, key=lambda row: sign * row.values[headline])
    gap = model.values[headline] - best.values[headline]
    size, low, high = written(measure.percent, abs(gap), *best.lead[headline])
    interval = f"({100 * level:g}% interval of the difference {low} to {high}{' points' if measure.percent else ''})"
    rank = f"{size.lstrip('+')}{' points' if measure.percent else ''} {'better' if sign * gap > 0 else 'worse'} than"
    sentence = f"{model.name} is {rank if gap else 'as good as'} {best.name} in {headline.replace('_', ' ')}"
    if count < FEWEST:
        return f"{sentence}, but {count} test rows are too few to tell anything; {FEWEST} or more give an interval."
    if gap and best.lead[headline][0] <= 0 <= best.lead[headline][1]:
        return f"{sentence}, but {count:,} rows do not tell them apart {interval}."
    return f"{sentence} {interval}."


def written(percent: bool, *numbers: float) -> list[str]:
    """Differences as text, in points or as they are."""
    return [f"{100 * number:+.1f}" if percent else f"{number:+.3f}" for number in numbers]


def one_answer(predicted: np.ndarray, labels: Labels) -> str | None:
    """That every row gets the same class, if so: some metrics flatter that.

    Args:
        predicted: class ids of the labelled rows, `(N,)`.
        labels: of the task.
    """
    if not labels.single or len(predicted) < FEWEST or np.ptp(predicted):
        return None
    return (
        f"every row is answered {labels.names[predicted[0]]!r}; train longer, or try another learning rate or --class_weights"
    )

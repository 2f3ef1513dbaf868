"""Runs against each other on the same rows: a paired bootstrap, McNemar's test, and the rows that tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ..data.labels import Labels
from ..errors import UserError
from .calibration import reliability
from .intervals import percentile, resample
from .metrics import Scoring, scoring_for
from .run import Run, read_run


@dataclass(frozen=True)
class Contestant:
    """One run, or the runs of one command with several seeds.

    Args:
        name: that tells it from the others.
        runs: one for each seed; their predictions stand in one order of rows, with one order of classes.
    """

    name: str
    runs: tuple[Run, ...]

    def right(self) -> np.ndarray:
        """Which rows each run has right, `(runs, N)`; of several labels all of them."""
        same = np.stack([run.predicted == run.gold for run in self.runs])
        return same.all(axis=-1) if same.ndim == 3 else same

    def mean(self, key: str) -> float | None:
        """The mean over the runs of an entry of all_results.json or run.json."""
        values = [run.results.get(key, run.record.get(key)) for run in self.runs]
        return float(np.mean(values)) if all(isinstance(value, int | float) for value in values) else None

    def marks(self) -> list[str]:
        """What is to be known of how the runs used their rows, each sentence once."""
        return list(dict.fromkeys(mark for run in self.runs for mark in run.marks.values()))

    def calibration(self) -> float | None:
        """Mean expected calibration error; None for numbers."""
        if self.runs[0].kind == "regression":
            return None
        return float(np.mean([reliability(run.gold, run.probabilities).error for run in self.runs]))


@dataclass(frozen=True)
class Duel:
    """What tells two contestants apart.

    Args:
        gap: of the headline, first less second, mean over the seeds; `low` and `high` of its interval, rows drawn anew.
        p: of McNemar's exact test; None for numbers and for several seeds.
        only_first: rows that every run of the first and no run of the second has right; `only_second` the other way round.
    """

    gap: float
    low: float
    high: float
    p: float | None
    only_first: np.ndarray
    only_second: np.ndarray

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out zero."""
        return not self.low <= 0 <= self.high


def read_contestants(folders: Sequence[str]) -> list[Contestant]:
    """Read runs, and bring their rows into one order.

    Raises:
        UserError: if a folder holds no predictions with labels, or two of them other rows.
    """
    read = [(folder, runs_of(read_run(folder))) for folder in folders]
    for folder, runs in read:
        for run in runs or [None]:
            if run is None or not len(run.labelled):
                raise UserError(
                    f"{folder}: holds no labelled predictions, but runs are compared row by row; train it with --do_predict on "
                    "a part that has labels"
                )
    first = read[0][1][0]
    contestants = [tuple(aligned(first, run, read[0][0], folder) for run in runs) for folder, runs in read]
    names = [runs[0].name for runs in contestants]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    return [Contestant(name, runs) for name, runs in zip(names, contestants, strict=True)]


def runs_of(run: Run) -> list[Run]:
    """The runs of the seeds, where a run has several; those that failed are left out."""
    seeds = run.record.get("seeds")
    if not seeds:
        return [run]
    return [read_run(run.folder / f"seed-{entry['seed']}") for entry in seeds if not entry.get("error")]


def aligned(first: Run, other: Run, first_name: str, other_name: str) -> Run:
    """A run with its labelled rows in the first one's order.

    Raises:
        UserError: if the rows are not the same, with the difference.
    """

    def refuse(difference: str):
        raise UserError(
            f"{first_name} and {other_name} have different test rows: {difference}; compare runs on the same data, with the "
            "same --split_seed and samples"
        )

    if (first.kind, sorted(first.names)) != (other.kind, sorted(other.names)):
        refuse(f"their labels are {words(first)} and {words(other)}")
    ours, theirs = first.labelled, other.labelled.drop_duplicates("id")
    here, there = set(ours["id"]), set(theirs["id"])
    if here != there or len(ours) != len(other.labelled):
        only = [
            f"{len(some)} only in {name}{example(some)}"
            for some, name in ((here - there, first_name), (there - here, other_name))
        ]
        refuse(f"{len(ours)} and {len(other.labelled)} of them, {', '.join(only)}")
    theirs = theirs.set_index("id").loc[ours["id"]].reset_index()
    for column in ("text", "text_pair", "label"):
        if (column in ours) != (column in theirs):
            refuse(f"only one has the column {column}")
        if column in ours:
            differ = [row for row, (a, b) in enumerate(zip(ours[column], theirs[column], strict=True)) if not same(a, b)]
            if differ:
                refuse(f"the {column} of {len(differ)} rows differs{example(ours['id'][differ])}")
    record = other.record | {"labels": {"kind": first.kind, "names": first.names}}
    return replace(other, predictions=theirs, record=record)


def words(run: Run) -> str:
    return f"{run.kind} of {', '.join(sorted(run.names)[:10])}" if run.names else run.kind


def example(ids) -> str:
    return f" ({min(ids)})" if len(ids) else ""


def same(first, second) -> bool:
    return sorted(first) == sorted(second) if isinstance(first, list | np.ndarray) else first == second


def scoring_of(run: Run) -> Scoring:
    """The metrics of a run's task, with its own headline."""
    labels = Labels(run.kind, tuple(run.names or ["value"]))
    return scoring_for(labels, run.task, (run.record.get("scoring") or {}).get("headline"))


def scores(contestant: Contestant, scoring: Scoring) -> list[float]:
    """The headline of each run."""
    return [scoring.score(run.gold, run.probabilities)[scoring.headline] for run in contestant.runs]


def interval(contestant: Contestant, scoring: Scoring, level: float) -> tuple[float, float]:
    """Of the mean headline over the runs, rows drawn anew."""
    drawn = draws([contestant], scoring)
    return percentile(drawn[0], level)


def draws(contestants: Sequence[Contestant], scoring: Scoring) -> list[np.ndarray]:
    """The mean headline of each contestant on every resample of the rows."""
    systems = [run.probabilities for contestant in contestants for run in contestant.runs]
    drawn = resample(scoring, contestants[0].runs[0].gold, systems, names=[scoring.headline])[scoring.headline]
    ends = np.cumsum([len(contestant.runs) for contestant in contestants])
    return [part.mean(axis=0) for part in np.split(drawn, ends[:-1])]


def duel(first: Contestant, second: Contestant, scoring: Scoring, level: float) -> Duel:
    """Two contestants on the same rows."""
    gap = float(np.mean(scores(first, scoring)) - np.mean(scores(second, scoring)))
    ours, theirs = draws([first, second], scoring)
    low, high = percentile(ours - theirs, level)
    if scoring.kind == "regression":
        return Duel(gap, low, high, None, np.array([], int), np.array([], int))
    here, there = first.right(), second.right()
    only_first = (here.all(axis=0) & ~there.any(axis=0)).nonzero()[0]
    only_second = (there.all(axis=0) & ~here.any(axis=0)).nonzero()[0]
    single = len(here) == len(there) == 1
    return Duel(gap, low, high, mcnemar(len(only_first), len(only_second)) if single else None, only_first, only_second)


def mcnemar(first: int, second: int) -> float:
    """The probability of so uneven a split of the rows that one alone has right, if both were as good (McNemar 1947, exact).

    Args:
        first, second: rows that only the one, or only the other, has right.
    """
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def rows_of(contestant: Contestant, rows: np.ndarray) -> pd.DataFrame:
    """Those rows of the first run's predictions."""
    return contestant.runs[0].labelled.iloc[rows]

"""The ladder: what each kind of pre-training adds on one task. One table and one plot, from the predictions of its runs."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .run import read_run

RESAMPLES = 4_000


@dataclass(frozen=True)
class Rung:
    """One way to begin, fine-tuned with several seeds.

    Args:
        name: as table and plot show it.
        right: whether a row was told right, `(seeds, rows)`.
    """

    name: str
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        """Mean over seeds and rows."""
        return float(self.right.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return float(self.right.mean(1).std(ddof=1)) if len(self.right) > 1 else 0.0


def read_rung(name: str, folders: list[str]) -> Rung:
    """The runs of one rung, row by row in one order.

    Raises:
        UserError: if the runs were not scored on the same rows, or have no single right answer.
    """
    runs = [read_run(folder) for folder in folders]
    tables = [run.labelled for run in runs]
    if runs[0].kind not in ("classification", "ordinal"):
        raise UserError(f"{folders[0]} has labels of the kind {runs[0].kind}, but a ladder counts right answers; give classes")
    for folder, table in zip(folders, tables, strict=True):
        if table["id"].tolist() != tables[0]["id"].tolist():
            raise UserError(f"{folder} holds predictions of other rows than {folders[0]}; climb anew in another --output_dir")
    return Rung(name, np.stack([(table["label"] == table["prediction"]).to_numpy() for table in tables]))


def resampled(rungs: list[Rung], seed: int = 0) -> np.ndarray:
    """Accuracies over resampled rows, the same for all rungs, and resampled seeds of each: `(RESAMPLES, rungs)`."""
    rng = np.random.default_rng(seed)
    rows = rungs[0].right.shape[1]
    accuracies = np.empty((RESAMPLES, len(rungs)))
    for draw in range(RESAMPLES):
        weights = rng.multinomial(rows, np.full(rows, 1 / rows)) / rows
        for place, rung in enumerate(rungs):
            seeds = rng.integers(len(rung.right), size=len(rung.right))
            accuracies[draw, place] = (rung.right[seeds] @ weights).mean()
    return accuracies


def summarize(rungs: list[Rung], level: float = 0.95) -> list[dict]:
    """Each rung's accuracy and what it adds to the rung before, with intervals over rows and seeds."""
    draws = resampled(rungs)
    ends = [(1 - level) / 2, (1 + level) / 2]
    table = []
    for place, rung in enumerate(rungs):
        low, high = np.quantile(draws[:, place], ends)
        row = {"name": rung.name, "seeds": len(rung.right), "rows": rung.right.shape[1], "accuracy": rung.accuracy}
        row |= {"accuracy_low": float(low), "accuracy_high": float(high), "spread_over_seeds": rung.spread}
        if place:
            low, high = np.quantile(draws[:, place] - draws[:, place - 1], ends)
            row |= {"gain": rung.accuracy - rungs[place - 1].accuracy, "gain_low": float(low), "gain_high": float(high)}
        table.append(row)
    return table


def markdown(table: list[dict]) -> str:
    """The table, in percent."""
    lines = ["| begins with | accuracy | adds to the row above | spread over seeds |", "|---|---|---|---|"]
    for row in table:
        gain = (
            f"{100 * row['gain']:+.1f} ({100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f})" if "gain" in row else ""
        )
        interval = f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f}"
        spread = f"{100 * row['spread_over_seeds']:.1f}" if row["seeds"] > 1 else "one seed"
        lines.append(f"| {row['name']} | {100 * row['accuracy']:.1f} ({interval}) | {gain} | {spread} |")
    return "\n".join(lines)


def draw(table: list[dict], task: str, path: str):
    """The rungs from left to right, with their intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 1.3 * len(table), 3.6), layout="constrained")
    axes = figure.subplots()
    values = np.array([[100 * row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")] for row in table])
    errors = np.abs(values[:, 1:] - values[:, :1]).T
    axes.errorbar(range(len(table)), values[:, 0], yerr=errors, fmt="o-", capsize=4, color="tab:blue", ecolor="tab:gray")
    axes.set_xticks(range(len(table)), [row["name"] for row in table])
    axes.margins(x=0.15)
    axes.set_ylabel("accuracy, %")
    axes.set_title(f"{task}: {table[0]['rows']:,} rows, seeds: {table[0]['seeds']}; 95 % intervals", fontsize="medium")
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=150)

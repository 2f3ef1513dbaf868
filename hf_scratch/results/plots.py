"""The pictures of a report: drawn once, as PNG for the model card and as SVG that takes the page's light or dark colours."""

import io
import re
import warnings
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .calibration import Reliability

# A PNG has these; in an SVG each becomes a variable of the page's style.
INK, MUTED, RULE, MODEL, OTHER, PAPER = "#1c2024", "#61676e", "#d7dbe0", "#1f5fa8", "#b4530a", "#fdfdfc"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", MODEL: "model", OTHER: "other", PAPER: "paper"}
STYLE = {
    **{"font.family": "sans-serif", "font.size": 9, "text.parse_math": False, "text.color": INK, "axes.labelcolor": MUTED},
    **{"axes.edgecolor": RULE, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
    **{"xtick.color": RULE, "ytick.color": RULE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED},
    **{"axes.facecolor": "none", "figure.facecolor": PAPER, "savefig.facecolor": PAPER},
    **{"svg.fonttype": "none", "svg.hashsalt": "report", "lines.linewidth": 1.6, "axes.grid": True, "grid.color": RULE},
    **{"grid.linewidth": 0.6, "xtick.major.size": 0, "ytick.major.size": 0},
}
MOST_POINTS = 1000  # of a curve
MOST_CELLS = 20  # classes whose counts are written into the confusion matrix


@contextmanager
def style():
    """Our look; and no word about letters that the font lacks."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def axes(width: float = 4.7, height: float = 2.5):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def thinned(points: list[tuple[float, float]]) -> np.ndarray:
    """At most 1,000 points of a curve, first and last among them, `(2, n)`."""
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return np.array(points, dtype=float)[keep].T


def curves(lines: dict[str, list[tuple[float, float]]], y_label: str, floor: tuple[float, str] | None = None) -> Figure:
    """Values over steps, each line named at its end.

    Args:
        lines: name to (step, value) pairs; the first is drawn in the model's colour.
        y_label: what the values are.
        floor: a level to compare with, and its name; left out where it would press the curves flat.
    """
    with style():
        figure, ax = axes()
        for (name, points), colour in zip(lines.items(), (MODEL, OTHER), strict=False):
            steps, values = thinned(points)
            ax.plot(steps, values, color=colour, marker="o" if len(steps) < 30 else None, markersize=3)
            # The name of the upper line stands above its end, so that names of close lines do not lie on each other.
            above = values[-1] >= max(points[-1][1] for points in lines.values())
            side = ("center", "bottom" if above else "top")[len(lines) > 1]
            ax.annotate(name, (steps[-1], values[-1]), (5, 0), "data", "offset points", color=colour, va=side)
        if floor and floor[0] < 2 * max(value for points in lines.values() for _, value in points):
            ax.axhline(floor[0], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
            ax.annotate(
                floor[1], (1, floor[0]), (-2, 3), ax.get_yaxis_transform(), "offset points", color=MUTED, ha="right", fontsize=8
            )
        ax.set(xlabel="step", ylabel=y_label)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(axis="x", visible=False)
        return figure


def schedule(points: list[tuple[float, float]]) -> Figure:
    """The learning rate over steps."""
    with style():
        figure, ax = axes()
        steps, rates = thinned(points)
        ax.fill_between(steps, rates, color=MODEL, alpha=0.12, linewidth=0)
        ax.plot(steps, rates, color=MODEL)
        ax.annotate(
            f"highest {rates.max():.2g}", (steps[rates.argmax()], rates.max()), (4, 4), "data", "offset points", color=MODEL
        )
        ax.set(xlabel="step", ylabel="learning rate", ylim=(0, rates.max() * 1.15 or 1))
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(axis="x", visible=False)
        return figure


def intervals(rows: list[tuple[str, float, float, float]], x_label: str, scale: float = 1) -> Figure:
    """Systems one below the other: a dot and its interval, named above it; the first is the model.

    Args:
        rows: name, value, low and high of each.
        x_label: what the values are.
        scale: of the values; 100 for percent.
    """
    with style():
        figure, ax = axes(height=0.75 + 0.5 * len(rows))
        for row, (name, value, low, high) in enumerate(rows):
            colour = MODEL if row == 0 else MUTED
            value, low, high = scale * value, scale * low, scale * high
            ax.plot([low, high], [row, row], color=colour, linewidth=2.2 if row == 0 else 1.4, solid_capstyle="round")
            ax.plot([value], [row], "o", color=colour, markersize=6 if row == 0 else 5)
            digits = ".1f" if scale == 100 else ".3f"
            words = f"{name}  {value:{digits}}"
            ax.annotate(words, (0, row), (0, 8), ax.get_yaxis_transform(), "offset points", color=colour)
        ax.set(xlabel=x_label, ylim=(len(rows) - 0.5, -0.75), yticks=[])
        ax.spines["left"].set_visible(False)
        ax.grid(axis="y", visible=False)
        return figure


def reliability_diagram(stated: Reliability, calibrated: Reliability | None = None) -> Figure:
    """How often the answers of each degree of sureness are right; on the diagonal they mean what they say.

    Args:
        stated: by the model as it is saved.
        calibrated: with a temperature that was fitted elsewhere, if it is not part of the model.
    """
    with style():
        figure, ax = axes(height=3.6)
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate("means what it says", (0.3, 0.3), (-4, 4), "data", "offset points", color=MUTED, fontsize=8, ha="right")
        lines = [(stated, MODEL, "as saved"), (calibrated, OTHER, "with the temperature")]
        for row, (line, colour, name) in enumerate(lines[: 1 if calibrated is None else 2]):
            share = line.counts / line.counts.sum()
            ax.plot(line.confidence, line.accuracy, color=colour, linewidth=1)
            ax.scatter(line.confidence, line.accuracy, 8 + 300 * share, color=colour, alpha=0.85, linewidth=0)
            if calibrated is not None:
                ax.annotate(name, (0.98, 0.08 - 0.07 * row), color=colour, ha="right", va="bottom")
        ax.set(xlabel="stated probability", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
        return figure


def length_histogram(lengths: np.ndarray, counts: np.ndarray, limit: int) -> Figure:
    """How many texts have how many tokens; those that are cut stand in their own colour, the longest of them in one bar.

    Args:
        lengths: in tokens, uncut, ascending, `(n,)`.
        counts: of the texts, `(n,)`.
        limit: where they are cut.
    """
    with style():
        figure, ax = axes()
        below = np.searchsorted(np.cumsum(counts), 0.99 * counts.sum())
        last = max(lengths[min(below, len(lengths) - 1)], min(limit, lengths.max()))
        shown, cut = np.minimum(lengths, last), lengths > limit
        width = -(-(last + 1) // 48)  # whole tokens: other bins would hold now one length, now two
        edges = np.arange(0, last + 1 + width, width)
        for chosen, colour in ((~cut, MODEL), (cut, OTHER)):
            ax.hist(shown[chosen], edges, weights=counts[chosen], color=colour, rwidth=0.9)
        if cut.any():
            ax.margins(y=0.15)  # room above the bars for the words
            ax.axvline(limit, color=OTHER, linewidth=0.8)
            words = f"{counts[cut].sum() / counts.sum():.1%} are cut at {limit}"
            side = {"ha": "right", "xytext": (-4, -10)} if limit > last / 2 else {"ha": "left", "xytext": (4, -10)}
            ax.annotate(words, (limit, 1), xycoords=ax.get_xaxis_transform(), textcoords="offset points", color=OTHER, **side)
        ax.set(
            xlabel="tokens" if last == lengths.max() else f"tokens; the last bar holds all from {last:,} to {lengths.max():,}"
        )
        ax.set(ylabel="texts")
        ax.grid(axis="x", visible=False)
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return figure


def scatter(gold: np.ndarray, predicted: np.ndarray, name: str) -> Figure:
    """True against predicted numbers, at most 2,000 of them."""
    with style():
        figure, ax = axes(height=3.6)
        shown = np.linspace(0, len(gold) - 1, min(len(gold), 2000)).astype(int)
        ends = [min(gold.min(), predicted.min()), max(gold.max(), predicted.max())]
        ax.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.scatter(gold[shown], predicted[shown], 14, color=MODEL, alpha=0.45, linewidth=0)
        ax.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
        return figure


def confusion_matrix(counts: np.ndarray, names: list[str]) -> Figure:
    """Rows are the true classes, columns the predicted ones; shaded by the share of the row.

    Args:
        counts: `(L, L)`.
        names: of the classes.
    """
    with style():
        L = len(names)
        side = float(np.clip(1.8 + 0.5 * L, 3, 9))
        figure, ax = axes(side, side)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        blues = matplotlib.colors.LinearSegmentedColormap.from_list("model", [PAPER, MODEL])
        ax.imshow(share, cmap=blues, vmin=0, vmax=1)
        short = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
        size = 8 if L <= MOST_CELLS else max(3.0, 8 * MOST_CELLS / L)
        ax.set_xticks(range(L), short, rotation=90 if L > 4 else 0, fontsize=size)
        ax.set_yticks(range(L), short, fontsize=size)
        if L <= MOST_CELLS:
            for (row, column), count in np.ndenumerate(counts):
                colour = PAPER if share[row, column] > 0.5 else INK
                ax.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
        ax.set(xlabel="predicted", ylabel="true")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        return figure


def png(figure: Figure, path: Path):
    """Write a picture in the light colours."""
    with style():
        figure.savefig(path, dpi=160, metadata={"Software": None})


def svg(figure: Figure, name: str, says: str) -> str:
    """A picture to stand inside a page.

    Args:
        figure: drawn here.
        name: no two of a page have the same.
        says: what it shows, for who cannot see it; plain words, no markup.
    """
    text = io.StringIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    picture = text.getvalue()
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture[picture.index("<svg") :], flags=re.DOTALL)
    picture = re.sub(r' (width|height)="[\d.]+pt"', "", picture, count=2)
    for colour, variable in VARIABLES.items():
        picture = picture.replace(colour, f"var(--{variable})")
    picture = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", picture)
    return picture.replace("<svg", f'<svg role="img" aria-label="{says}"', 1)

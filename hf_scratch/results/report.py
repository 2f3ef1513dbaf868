"""report/report.html: a run on one page, made from its files alone, and so made again whenever one likes."""

import math
from pathlib import Path

import numpy as np

from . import answers, plots
from .calibration import at_temperature, reliability
from .page import Missing, costs, write_page
from .pretraining_report import write_pretraining_report
from .run import Run, read_run

MOST_EXAMPLES = 40
LONG_TEXT = 700  # characters; the rest of a longer text is left out
MANY_CLASSES = 12
NOT_PERCENT = ("loss", "mae", "mse", "rmse", "r2", "log_loss", "brier_score", "off_by_one")


def write_report(folder: str, shared: bool = False) -> Path:
    """Write report/report.html and its pictures from the files of a run, which may be old or incomplete.

    Args:
        folder: of the run, a fine-tuning or a pre-training.
        shared: whether others will read it: the command then has names of files in place of paths.

    Returns:
        The page.
    """
    run = read_run(folder)
    if run.is_pretraining:
        return write_pretraining_report(run, shared)
    filters = {"score": lambda value, metric: score_text(run, metric, value), "share": share_text}
    title = f"{run.name} on {run.task or 'a task'}"
    return write_page(run, SECTIONS, "report.html", shared, title=title, filters=filters)


def is_percent(run: Run, metric: str) -> bool:
    """Whether a metric is shown times 100."""
    listed = (run.record.get("scoring") or {}).get("percent")
    return metric in listed if listed is not None else metric not in NOT_PERCENT


def score_text(run: Run, metric: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{round(100 * value, 1) + 0.0:.1f}" if is_percent(run, metric) else f"{round(value, 3) + 0.0:.3f}"  # no -0.0


def share_text(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def metric_words(name: str) -> str:
    return name.replace("_", " ")


def headline(run: Run, figures: dict) -> dict:
    """The number that decides, with its interval, above the baselines'."""
    systems = run.systems
    if not systems or run.headline not in systems[0][2]:
        raise Missing("there is no metric with an interval in all_results.json")
    metric = run.headline
    scale = 100 if is_percent(run, metric) else 1
    shown = [(name, *values[metric]) for name, _, values in systems if metric in values]
    words = metric_words(metric) + (" (%)" if scale == 100 else "")
    figures["headline"] = plots.intervals(shown, ", ".join([words, *map(metric_words, run.marks)]), scale)
    value, low, high = systems[0][2][metric]
    return {
        "metric": metric,
        "words": metric_words(metric),
        "unit": "%" if scale == 100 else "",
        "value": value,
        "low": low,
        "high": high,
        "rows": len(run.labelled) or run.results.get({"test": "predict_samples"}.get(run.part, "eval_samples")),
        "verdict": run.record.get("verdict") or "",
        "metrics": [(name, metric_words(name)) for name in run.metrics],
        "systems": [{"name": name, "values": values} for name, _, values in systems],
    }


def warning(run: Run, figures: dict) -> dict:
    """What a reader must know before any number."""
    found = []
    if run.record.get("collapsed"):
        found.append(f"This run is no good: {run.record['collapsed']}.")
    found += run.marks.values()
    if run.part == "validation" and "test" in (run.record.get("rows") or {}):
        found.append("Every number and row here is of the validation part: no labelled test row was asked for.")
    single = run.kind in ("classification", "ordinal") and len(run.labelled)
    if single and len(set(run.predicted.tolist())) == 1 < len(set(run.gold.tolist())):
        found.append(f"One class, {run.labelled['prediction'][0]}, is predicted for every row.")
    return {"lines": found}


def learning(run: Run, figures: dict) -> dict:
    """Losses, the headline and the learning rate over steps."""
    if not run.history:
        raise Missing("trainer_state.json holds no history")

    losses = {"training": run.curve("loss"), "validation": run.curve("eval_loss")}
    metric = run.curve(f"eval_{run.headline}")
    if not any([*losses.values(), metric]):
        raise Missing("nothing was logged while it trained; a smaller --logging_steps does")
    scale = 100 if is_percent(run, run.headline or "loss") else 1
    chance = len(run.names) if run.kind in ("classification", "ordinal") else 0
    if any(losses.values()):
        floor = (math.log(chance), f"ln {chance}: knows nothing") if chance > 1 else None
        figures["loss"] = plots.curves({name: line for name, line in losses.items() if line}, "loss", floor)
    if metric:
        words = f"validation {metric_words(run.headline)}"
        figures["validation"] = plots.curves({"": [(step, scale * value) for step, value in metric]}, words)
    if run.curve("learning_rate"):
        figures["learning_rate"] = plots.schedule(run.curve("learning_rate"))
    best = run.state.get("best_global_step")
    return {"best": best if run.state.get("best_model_checkpoint") else None}


def confusions(run: Run, figures: dict) -> dict:
    """Which classes are taken for which; of numbers, true against predicted."""
    need_rows(run)
    if run.kind == "regression":
        figures["predictions"] = plots.scatter(run.gold, run.predicted, run.names[0] if run.names else "value")
        return {"matrix": None, "top": [], "names": []}
    if run.kind == "multi_label":
        return {"matrix": None, "top": [], "names": []}
    counts = answers.confusion(run.gold, run.predicted, len(run.names))
    figures["confusion_matrix"] = plots.confusion_matrix(counts, run.names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    matrix = [list(zip(*row, strict=True)) for row in zip(counts.tolist(), shares.tolist(), strict=True)]
    top = answers.top_confusions(counts)
    return {
        "matrix": matrix,
        "names": run.names,
        "few": len(run.names) <= MANY_CLASSES,
        "top": [(run.names[true], run.names[named], rows, share) for true, named, rows, share in top],
    }


def classes(run: Run, figures: dict) -> dict:
    """Every class by itself, beside how often training saw it; where there are many, the worst first."""
    need_rows(run)
    if run.kind == "regression":
        raise Missing("the answers are numbers, which have no classes")
    trained = [*map(int, (run.record.get("classes") or {}).get("train") or [])] or [None] * len(run.names)
    scores = answers.class_scores(run.gold, run.predicted, len(run.names))
    rows = [
        {"name": name, "trained": count, "rows": of.rows, "precision": of.precision, "recall": of.recall, "f1": of.f1}
        for name, count, of in zip(run.names, trained, scores, strict=True)
    ]
    if len(rows) > MANY_CLASSES:
        rows.sort(key=lambda row: math.inf if row["f1"] is None else row["f1"])
    return {"rows": rows, "most": max((row["trained"] or 0 for row in rows), default=0), "sorted": len(rows) > MANY_CLASSES}


def calibration(run: Run, figures: dict) -> dict:
    """Whether the stated probabilities are right."""
    need_rows(run)
    if run.kind == "regression":
        raise Missing("the answers are numbers, which have no probabilities")
    stated = reliability(run.gold, run.probabilities)
    temperature, applied = run.record.get("temperature"), run.config.get("calibration_temperature")
    other = None
    if temperature and not applied:
        other = reliability(run.gold, at_temperature(run.gold, run.probabilities, temperature))
    figures["reliability"] = plots.reliability_diagram(stated, other)
    sure = float(stated.confidence @ stated.counts / stated.counts.sum())
    right = float(stated.accuracy @ stated.counts / stated.counts.sum())
    return {"error": stated.error, "sure": sure, "right": right, "applied": applied} | {
        "temperature": temperature,
        "elsewhere": "selected_on_reported" not in run.marks,
        "error_then": other.error if other else None,
    }


def data(run: Run, figures: dict) -> dict:
    """Parts, classes and lengths."""
    rows, counts = run.record.get("rows"), run.record.get("classes") or {}
    if not rows:
        raise Missing("run.json does not say which rows were read: it is older than this report")
    lengths = run.record.get("lengths")
    if lengths:
        lengths = lengths | {"rows_cut": float(lengths["rows_cut"]), "tokens_lost": float(lengths["tokens_lost"])}
        lengths |= {"sample": int(lengths["sample"]), "of": int(lengths["of"])}
    if lengths:
        figures["lengths"] = plots.length_histogram(*map(np.array, (lengths["lengths"], lengths["counts"])), lengths["limit"])
    return {
        "rows": {part: int(count) for part, count in rows.items()},
        "notes": run.record.get("notes") or [],
        "lengths": lengths,
        "classes": sorted(zip(run.names, map(int, counts.get("train") or []), strict=False), key=lambda row: -row[1]),
    }


def examples(run: Run, figures: dict) -> dict:
    """The rows that the model is most wrong about."""
    need_rows(run)
    chosen = answers.most_wrong(run.kind, run.gold, run.probabilities, MOST_EXAMPLES)
    loss = answers.losses(run.kind, run.gold, run.probabilities)
    table, rows = run.labelled, []
    for row, suspect in chosen:
        given = table.iloc[row]
        texts = [str(given[name]) for name in ("text", "text_pair") if name in table]
        rows.append(
            {
                "id": given["id"],
                "texts": [text if len(text) <= LONG_TEXT else f"{text[:LONG_TEXT]} …" for text in texts],
                "gold": answer_words(given["label"]),
                "predicted": answer_words(given["prediction"]),
                "loss": float(loss[row]),
                "suspect": suspect,
            }
        )
        if run.kind in ("classification", "ordinal"):
            stated = run.probabilities[row]
            rows[-1] |= {"of_gold": float(stated[run.gold[row]]), "of_predicted": float(stated.max())}
    return {"rows": rows, "kind": run.kind, "suspects": sum(row["suspect"] for row in rows)}


def answer_words(answer) -> str:
    """A name, a number, or the names of several labels."""
    if isinstance(answer, list | tuple | np.ndarray):
        return ", ".join(map(str, answer)) or "none"
    return f"{answer:.3g}" if isinstance(answer, float) else str(answer)


def seeds(run: Run, figures: dict) -> dict:
    """The runs of several seeds, one by one."""
    runs = run.record.get("seeds") or []
    metric = run.headline
    shown = [entry for entry in runs if entry.get("value") is not None]
    if len(shown) > 1 and metric:
        scale = 100 if is_percent(run, metric) else 1
        rows = [(f"seed {entry['seed']}", entry["value"], entry["low"], entry["high"]) for entry in shown]
        figures["seeds"] = plots.intervals(rows, metric_words(metric) + (" (%)" if scale == 100 else ""), scale)
    return {"runs": runs, "metric": metric}


def need_rows(run: Run):
    """Say what is missing where a section needs answers that can be judged."""
    if run.predictions is None:
        raise Missing(next(line for line in run.missing if line.startswith("predictions")))
    if not len(run.labelled):
        raise Missing("none of the predicted rows has a label")


SECTIONS = {
    function.__name__: function
    for function in (headline, warning, seeds, learning, confusions, classes, calibration, examples, data, costs)
}

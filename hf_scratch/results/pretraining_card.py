"""What a pre-training tells: one line for the terminal, and the model card, made from the files of the run."""

import json
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from .card import markdown, pictures, plain, training
from .pretraining_report import MEASURES, corpus_name, number, objective
from .run import Run, read_run

PICTURES = {
    "loss": "Loss over the steps of training",
    "mlm_accuracy": "Masked tokens that are told right",
    "nsp_accuracy": "Next sentences that are told right",
    "rtd_recall": "Replaced tokens that are told",
    "probe": "What a fine-tuned copy reaches",
    "learning_rate": "Learning rate",
}
ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")

BODY = """# {name}

An encoder ({model}) pre-trained on {corpus} by {objective}: not yet a classifier.

## On held-out documents

| | |
|---|---|
{rows}

{pictures}

## Use

```python
from transformers import pipeline

fill = pipeline("fill-mask", model={quoted}{trust})
fill(f"the film was {{fill.tokenizer.mask_token}} .")
```

Fine-tune it: `python run_glue_style.py --recipe quickstart --model_name_or_path {folder}`

{training}
"""


def describe(results: dict[str, float]) -> str:
    """'held out: masked tokens: loss 4.213, ...'."""
    return "  held out: " + ", ".join(f"{words} {number(value, share)}" for words, value, share in measured(results))


def measured(results: dict[str, float]) -> list[tuple[str, float, bool]]:
    """What there is of the objectives: words, value, and whether it is a share."""
    return [(words, results[key], share) for key, (words, share, _) in MEASURES.items() if key in results]


def write_card(folder: str):
    """Write README.md: metadata that the Hub reads, the held-out numbers, how to go on, and how it was made.

    No text of the corpus and no path of the machine is in it.

    Args:
        folder: of a pre-training.
    """
    run, name = read_run(folder), Path(folder).resolve().name
    body = BODY.format(
        name=markdown(name),
        folder=plain(name).replace("`", "'"),
        quoted=json.dumps(name),
        model=markdown(run.name),
        corpus=markdown(corpus_name(run)),
        objective=objective(run),
        rows="\n".join(f"| {words} | {number(value, share)} |" for words, value, share in measured(run.results)),
        pictures=pictures(run, PICTURES),
        trust=", trust_remote_code=True" if "auto_map" in run.config else "",
        training=training(run, "pretrain"),
    )
    body = re.sub("\n{3,}", "\n\n", body).strip()  # where there is no picture
    Path(folder, "README.md").write_text(f"---\n{metadata(run, name).to_yaml()}\n---\n\n{body}\n", encoding="utf-8")


def metadata(run: Run, name: str) -> ModelCardData:
    """What the Hub shows beside a model, and finds it by."""
    dataset, base = (str(run.argument("pretrain", flag) or "") for flag in ("dataset_name", "init_from"))
    corpus = plain(corpus_name(run))
    evaluated = [
        EvalResult(
            task_type="fill-mask",
            dataset_type=dataset if ON_THE_HUB.fullmatch(dataset) else re.sub(r"[^\w.-]+", "-", corpus),
            dataset_name=corpus,
            dataset_split="held out",
            metric_type=words.rpartition(": ")[2],
            metric_name=words,
            metric_value=float(value),
        )
        for words, value, _ in measured(run.results)
    ]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["hf_scratch", "pre-training"],
        datasets=[dataset] if ON_THE_HUB.fullmatch(dataset) else None,
        base_model=base if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) and not Path(base).exists() else None,
        model_name=plain(name) if evaluated else None,
        eval_results=evaluated or None,
    )

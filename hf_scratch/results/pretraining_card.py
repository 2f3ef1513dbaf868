"""What a pre-training reports: one line for the terminal, and the model card."""

from pathlib import Path

from huggingface_hub import ModelCardData

NAMES = {
    "eval_mlm_loss": "masked tokens: loss",
    "eval_mlm_accuracy": "masked tokens: accuracy",
    "eval_pseudo_perplexity": "pseudo-perplexity",
    "eval_nsp_loss": "next sentence: loss",
    "eval_nsp_accuracy": "next sentence: accuracy",
}
OBJECTIVES = {"mlm": "masked tokens", "mlm+nsp": "masked tokens and next sentences"}

BODY = """# {name}

An encoder ({model_type}) pre-trained on {corpus} by {objective}: not yet a classifier.

## On held-out documents

| | |
|---|---|
{rows}

## Use

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="{name}"{trust})
fill("the film was [MASK] .")
```

Fine-tune it: `python run_glue_style.py --recipe quickstart --model_name_or_path {name}`
"""


def describe(results: dict[str, float]) -> str:
    """'held out: masked tokens: loss 4.213, ...'."""
    return "  held out: " + ", ".join(f"{name} {results[key]:.4g}" for key, name in NAMES.items() if key in results)


def write_card(folder: str, model_type: str, corpus: str, objective: str, results: dict[str, float]):
    """Write README.md: metadata that the Hub reads, the held-out numbers, and how to go on.

    Args:
        folder: of the run.
        model_type: of the encoder.
        corpus: what was read, without paths.
        objective: "mlm" or "mlm+nsp".
        results: flat, as `eval_results.json` has them.
    """
    trust = ", trust_remote_code=True" if any(Path(folder).glob("modeling_*.py")) else ""
    data = ModelCardData(library_name="transformers", pipeline_tag="fill-mask", tags=["hf_scratch", "pre-training"])
    body = BODY.format(
        name=Path(folder).resolve().name,
        model_type=model_type,
        corpus=corpus,
        objective=OBJECTIVES[objective],
        rows="\n".join(f"| {name} | {results[key]:.4g} |" for key, name in NAMES.items() if key in results),
        trust=trust,
    )
    Path(folder, "README.md").write_text(f"---\n{data.to_yaml()}\n---\n\n{body}", encoding="utf-8")

"""The model card: README.md of the checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from ..data.labels import Labels
from .metrics import Scoring
from .summary import Row, cell

USAGE = """```python
from transformers import pipeline

classify = pipeline("text-classification", model="{folder}"{trust})
classify("...")
```"""


def write_card(folder, name: str, task: str, part: str, rows: Sequence[Row], sentence: str, labels: Labels, scoring: Scoring):
    """Write README.md: metadata that the Hub reads, results beside the baselines, and how to load it.

    Args:
        folder: of the run.
        name: of the model.
        task: that it was trained on.
        part: that is reported.
        rows: the model's metrics first, then the baselines'.
        sentence: the verdict.
        labels: of the task.
        scoring: of the task.
    """
    model = rows[0]
    custom_code = "auto_map" in json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["hf_scratch"],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=task,
                dataset_name=task,
                dataset_split=part,
                metric_type=metric,
                metric_value=model.values[metric],
            )
            for metric in scoring.names
            if metric in model.values
        ],
    )
    lines = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        f"A text classifier for {task} with the classes {', '.join(labels.names)}.",
        f"## Results on the {part} part",
        markdown_table(rows, scoring),
        sentence,
        "## Use",
        USAGE.format(folder=Path(folder).name, trust=", trust_remote_code=True" if custom_code else ""),
    ]
    Path(folder, "README.md").write_text("\n\n".join(filter(None, lines)) + "\n", encoding="utf-8")


def markdown_table(rows: Sequence[Row], scoring: Scoring) -> str:
    shown = [name for name in scoring.shown if name in rows[0].values]
    lines = ["| | " + " | ".join(name.replace("_", " ") for name in shown) + " |", "|---|" + "---|" * len(shown)]
    lines += [f"| {row.name} | " + " | ".join(cell(scoring, name, row).strip() for name in shown) + " |" for row in rows]
    return "\n".join(lines)

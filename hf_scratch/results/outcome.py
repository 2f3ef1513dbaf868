"""A model's answers on one part of the data."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data.labels import Labels
from ..errors import UserError
from .metrics import decide, model_logits, to_probabilities

# Parts that are answered -> prefix of their results' keys.
PREFIXES = {
    "validation": "eval",
    "validation_mismatched": "eval_mismatched",  # GLUE's MNLI: other genres than training has
    "test": "test",
    "test_mismatched": "test_mismatched",
    "ax": "ax",  # GLUE's diagnostic rows, answered by a model of MNLI
}


@dataclass(frozen=True)
class Outcome:
    """Answers on one part.

    Args:
        rows: the part.
        labels: of the task.
        probabilities: `(N, L)`; of a regression the predicted numbers, `(N, 1)`.
        labelled: positions of the rows that have a label, `(M,)`.
        metrics: Trainer's flat results under the part's prefix; whoever judges the answers adds to them.
    """

    rows: Dataset
    labels: Labels
    probabilities: np.ndarray
    labelled: np.ndarray
    metrics: dict[str, float]

    @property
    def gold(self) -> np.ndarray:
        """The labels of the labelled rows: ids `(M,)`, flags `(M, L)` or numbers `(M,)`."""
        return self.labels.gold(self.rows)[self.labelled]

    @property
    def judged(self) -> np.ndarray:
        """The probabilities of the labelled rows, `(M, L)`."""
        return self.probabilities[self.labelled]

    @property
    def predicted(self) -> np.ndarray:
        """The answers for the labelled rows: ids `(M,)`, flags `(M, L)` or numbers `(M,)`."""
        return decide(self.labels.kind, self.judged)


def predict(trainer, rows: Dataset, labels: Labels, prefix: str) -> Outcome:
    """Predict a part with a Trainer, once.

    Args:
        trainer: holds the model and the collator.
        rows: tokenized.
        labels: of the task.
        prefix: of the results' keys.
    """
    gold, labelled = labels.gold(rows), labels.known(rows).nonzero()[0]
    # A missing label is no class: the model must not be asked for a loss on it.
    inputs = rows if len(labelled) == len(gold) else rows.remove_columns("label")
    output = trainer.predict(inputs, metric_key_prefix=prefix)
    if output.label_ids is not None and not np.array_equal(output.label_ids, gold.astype(output.label_ids.dtype)):
        raise RuntimeError(
            f"the predictions of the {len(rows)} rows came back in another order: no number on them would be true"
        )
    logits = model_logits(output.predictions)
    if not np.isfinite(logits).all():
        raise UserError(
            "the model answers with numbers that are not finite: training diverged; lower --learning_rate, or train in float32"
        )
    samples = {"test": "predict_samples"}.get(prefix, f"{prefix}_samples")
    metrics = output.metrics | {samples: len(rows)}
    return Outcome(rows, labels, to_probabilities(labels.kind, logits), labelled, metrics)


def predict_parts(trainer, parts, labels: Labels, evaluates: bool, predicts: bool) -> dict[str, Outcome]:
    """Predict every held-out part that is asked for, once.

    Args:
        trainer, labels: as `predict` takes them.
        parts: part name to tokenized rows.
        evaluates: whether the validation parts are asked for.
        predicts: whether the test parts are.
    """
    asked = asked_parts(parts, evaluates, predicts)
    return {part: predict(trainer, parts[part], labels, PREFIXES[part]) for part in asked}


def asked_parts(parts, evaluates: bool, predicts: bool) -> list[str]:
    """The names of those parts that are predicted in the end."""
    return [part for part in PREFIXES if part in parts and (evaluates if is_validation(part) else predicts)]


def metrics_by_split(outcomes: dict[str, Outcome]) -> dict[str, dict[str, float]]:
    """What eval_results.json and predict_results.json hold, if there is any."""
    splits = {}
    for part, outcome in outcomes.items():
        splits.setdefault("eval" if is_validation(part) else "predict", {}).update(outcome.metrics)
    return splits


def is_validation(part: str) -> bool:
    return part.startswith("validation")

"""A model's answers on one part of the data."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data.labels import Labels
from ..errors import UserError
from .metrics import class_logits, probabilities
from .summary import Row, judge


@dataclass(frozen=True)
class Outcome:
    """Predictions on one part, scored where it has labels.

    Args:
        rows: the part.
        probabilities: `(N, num_labels)`.
        labelled: positions of the rows that have a label, `(M,)`.
        metrics: flat results under the part's prefix, with intervals.
    """

    rows: Dataset
    probabilities: np.ndarray
    labelled: np.ndarray
    metrics: dict[str, float]

    @property
    def gold(self) -> np.ndarray:
        """True class ids of the labelled rows, `(M,)`."""
        return np.asarray(self.rows["label"][:])[self.labelled]

    @property
    def predicted(self) -> np.ndarray:
        """Predicted class ids of the labelled rows, `(M,)`."""
        return self.probabilities.argmax(-1)[self.labelled]

    def scored(self, name: str, level: float) -> Row:
        """The model's row in the table."""
        return judge(name, self.gold, self.predicted, level)


def predict(trainer, rows: Dataset, labels: Labels, prefix: str, level: float) -> Outcome:
    """Predict a part with a Trainer, once.

    Args:
        trainer: holds the model and the collator.
        rows: tokenized.
        labels: of the task.
        prefix: of the results' keys, "eval" or "test".
        level: confidence level of the intervals.
    """
    gold = labels.gold(rows)
    labelled = labels.known(rows).nonzero()[0]
    # A missing label is no class: the model must not be asked for a loss on it.
    inputs = rows if len(labelled) == len(gold) else rows.remove_columns("label")
    output = trainer.predict(inputs, metric_key_prefix=prefix)
    if output.label_ids is not None and not np.array_equal(output.label_ids, gold):
        raise RuntimeError(
            f"the predictions of the {len(rows)} rows came back in another order: no number on them would be true"
        )
    logits = class_logits(output.predictions)
    if not np.isfinite(logits).all():
        raise UserError(
            "the model answers with numbers that are not finite: training diverged; lower --learning_rate, or train in float32"
        )
    samples = {"test": "predict_samples"}.get(prefix, f"{prefix}_samples")
    outcome = Outcome(rows, probabilities(logits), labelled, output.metrics)
    outcome.metrics[samples] = len(rows)
    if len(labelled):
        outcome.metrics.update(outcome.scored(prefix, level).flat(prefix))
    return outcome

"""Weights for classes that differ in size, in the loss of training."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch.nn import functional
from transformers import TrainingArguments

from ..data.labels import Labels
from ..data.sources import resolve_address
from ..errors import UserError, closest


@dataclass(frozen=True)
class ClassWeights:
    """The loss of training with a weight for each class; evaluation keeps the plain loss, which compares across runs.

    Of one class a row: mean over rows of w_gold · cross-entropy. The weights are scaled so that their mean over the training
    rows is 1, and the sum is divided by the number of rows, not by the sum of the weights in the batch: so the loss and the
    learning rate keep their scale, and an update is the same however its rows are spread over batches and processes.
    Of several labels: binary cross-entropy with the positive rows of label c weighing w_c, as torch's `pos_weight`.

    Args:
        weights: `(num_labels,)`.
        several: whether a row may have several labels.
    """

    weights: torch.Tensor
    several: bool = False

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """The weighted loss of one batch.

        Args:
            logits: `(B, num_labels)`.
            labels: ids `(B,)`, or flags `(B, num_labels)`.
            smoothing: Trainer's label_smoothing_factor.
        """
        weights = self.weights.to(logits.device)
        if self.several:
            return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weights)
        return (weights[labels] * functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)).mean()

    def by_name(self, labels: Labels) -> dict[str, float]:
        """The weights under the classes' names."""
        return dict(zip(labels.names, self.weights.tolist(), strict=True))


def class_weights(asked: str, labels: Labels, train: Dataset) -> ClassWeights | None:
    """What --class_weights asks for; None for no weights.

    Balanced: N / (L · n_c) for a class with n_c of the N rows, as scikit-learn has it; of several labels (N - n_c) / n_c.

    Args:
        asked: "none", "balanced", or a JSON or CSV file of name -> weight.
        labels: of the task.
        train: the training part.

    Raises:
        UserError: if the labels are numbers, or the file does not give each class a weight above 0.
    """
    if asked == "none":
        return None
    if labels.kind == "regression":
        raise UserError(f"--class_weights {asked} is for classes, but the labels are numbers; leave the flag away")
    gold = labels.gold(train)[labels.known(train)]
    rows = np.bincount(gold, minlength=labels.num_labels) if labels.single else gold.sum(axis=0)
    if asked == "balanced":
        seen = np.maximum(rows, 1)
        weights = len(gold) / ((rows > 0).sum() * seen) if labels.single else np.maximum(len(gold) - rows, 1) / seen
    else:
        named = read_weights(asked)
        check_names(asked, named, labels)
        weights = np.array([named[name] for name in labels.names])
    if labels.single:
        weights = weights * len(gold) / (weights * rows).sum()
    return ClassWeights(torch.tensor(weights, dtype=torch.float32), several=not labels.single)


def check_loss(training: TrainingArguments, labels: Labels):
    """Refuse what Trainer would trip over in the loss of this kind of label."""
    if training.label_smoothing_factor and not labels.single:
        raise UserError(
            f"--label_smoothing_factor {training.label_smoothing_factor:g} spreads one class over the others, but these labels "
            f"are {'numbers' if labels.kind == 'regression' else 'several for a row'}; leave it away"
        )


def read_weights(file: str) -> dict[str, float]:
    """A JSON object, or a CSV file with a name and a weight a line; a first line without a number is its header."""
    path = Path(resolve_address(file))
    if not path.is_file():
        raise UserError(f"--class_weights {file} is neither none, balanced nor a file; give one of them")
    try:
        text = path.read_text(encoding="utf-8-sig")
        pairs = json.loads(text).items() if path.suffix == ".json" else cells(text)
        return {str(name).strip(): weight_above_zero(file, name, weight) for name, weight in pairs}
    except UserError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file}: cannot be read as weights of classes ({error}); write a JSON object of name: weight, or a CSV file with "
            "a name and a weight a line"
        ) from error


def cells(text: str) -> list[list[str]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    return rows if not rows or is_number(rows[0][-1]) else rows[1:]


def weight_above_zero(file: str, name: str, weight) -> float:
    if not is_number(weight) or not 0 < float(weight) < math.inf:
        raise UserError(f"{file}: the weight of {name!r} is {weight!r}, but a weight is a number above 0; 1 changes nothing")
    return float(weight)


def is_number(cell) -> bool:
    try:
        float(cell)
        return not isinstance(cell, bool)
    except (TypeError, ValueError):
        return False


def check_names(file: str, named: dict[str, float], labels: Labels):
    """Every class has a weight, and every weight a class."""
    for name in named:
        if name not in labels.names:
            raise UserError(
                f"{file}: gives a weight to {name!r}, but the classes are {', '.join(labels.names[:20])}."
                f"{closest(name, labels.names)} Give each class its name"
            )
    missing = [name for name in labels.names if name not in named]
    if missing:
        raise UserError(
            f"{file}: gives no weight to {', '.join(missing[:10])}, but each class needs one; add them, 1 for no change"
        )

"""Predictions of a real Trainer: of parts with labels, with some, and with none."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import DefaultDataCollator, Trainer, TrainingArguments

from hf_scratch.data.labels import Labels
from hf_scratch.results.metrics import scoring_for
from hf_scratch.results.outcome import predict

VALUES = [3.0, -2.0, 1.0, -5.0, 4.0, 2.0, -1.0]
LABELS = Labels("classification", ("negative", "positive"))
GOLD = [1, 0, 0, 0, 1, 1, 1]  # the sign is right on 5 of 7


class Sign(nn.Module):
    """Class 1 if the value is positive; refuses a label that is none, as a loss on a GPU would."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, value, labels=None):
        logits = self.scale * torch.stack([-value, value], dim=1)
        if labels is None:
            return {"logits": logits}
        assert (labels >= 0).all()
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.fixture
def trainer(tmp_path):
    args = TrainingArguments(
        str(tmp_path), use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False, label_names=["labels"]
    )
    return Trainer(Sign(), args, data_collator=DefaultDataCollator(), compute_metrics=scoring_for(LABELS).compute_metrics)


def part(labels):
    return Dataset.from_dict({"value": VALUES, "label": labels})


def test_a_labelled_part_is_scored(trainer):
    outcome = predict(trainer, part(GOLD), LABELS, "test")
    assert outcome.gold.tolist() == GOLD and outcome.predicted.tolist() == [1, 0, 1, 0, 1, 1, 0]
    np.testing.assert_allclose(outcome.probabilities[:, 1], 1 / (1 + np.exp(-np.array(VALUES))), rtol=1e-6)
    assert outcome.metrics["test_accuracy"] == pytest.approx(5 / 7)
    assert outcome.metrics["test_loss"] > 0
    assert outcome.metrics["predict_samples"] == 7 and "test_samples" not in outcome.metrics


def test_the_validation_part_has_its_own_keys(trainer):
    metrics = predict(trainer, part(GOLD), LABELS, "eval").metrics
    assert metrics["eval_samples"] == 7 and "eval_macro_f1" in metrics


def test_rows_without_a_label_are_predicted_but_not_scored(trainer):
    outcome = predict(trainer, part([1, -1, 0, -1, -1, 1, 1]), LABELS, "test")
    assert len(outcome.probabilities) == outcome.metrics["predict_samples"] == 7
    assert outcome.labelled.tolist() == [0, 2, 5, 6]
    assert outcome.gold.tolist() == [1, 0, 1, 1] and outcome.predicted.tolist() == [1, 1, 1, 0]
    assert "test_accuracy" not in outcome.metrics and outcome.judged.shape == (4, 2)


def test_a_part_without_labels_has_predictions_only(trainer):
    outcome = predict(trainer, part([-1] * 7), LABELS, "test")
    assert outcome.probabilities.shape == (7, 2) and len(outcome.gold) == len(outcome.predicted) == 0
    assert not [key for key in outcome.metrics if "accuracy" in key or "loss" in key]


def test_one_row_is_a_part_too(trainer):
    assert predict(trainer, part(GOLD).select([0]), LABELS, "test").metrics["test_accuracy"] == 1


def test_rows_in_another_order_are_no_result(trainer, monkeypatch):
    turned = Trainer.predict
    monkeypatch.setattr(Trainer, "predict", lambda self, rows, **kwargs: turned(self, rows.select(range(6, -1, -1)), **kwargs))
    with pytest.raises(RuntimeError, match="came back in another order"):
        predict(trainer, part(GOLD), LABELS, "test")


class Number(nn.Module):
    """The value itself, as a regression's one logit, or as two labels' logits."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, value, labels=None):
        logits = self.scale * value[:, None]
        return (
            {"logits": logits}
            if labels is None
            else {"loss": ((logits - labels.reshape(len(logits), -1)) ** 2).mean(), "logits": logits}
        )


@pytest.mark.parametrize(
    ("labels", "gold", "missing", "metric"),
    [
        (Labels("regression", ("score",)), [2.1, -2.0, 1.0, -5.5, 4.0, 2.0, -1.0], float("nan"), "rmse"),
        (Labels("multi_label", ("x", "y")), [[1.0, 0.0]] * 7, [-1.0, -1.0], "micro_f1"),
    ],
)
def test_numbers_and_several_labels_are_predicted_with_and_without_missing_ones(trainer, labels, gold, missing, metric):
    scoring = scoring_for(labels)
    settings = {"data_collator": DefaultDataCollator(), "compute_metrics": scoring.compute_metrics}
    own = Trainer(Number(labels.num_labels), trainer.args, **settings)
    outcome = predict(own, part(gold), labels, "test")
    assert np.array_equal(outcome.gold, gold) and outcome.predicted.shape == outcome.gold.shape
    assert outcome.metrics[f"test_{metric}"] == pytest.approx(scoring.score(gold, outcome.probabilities)[metric])
    some = predict(own, part([missing, *gold[1:]]), labels, "test")
    assert some.labelled.tolist() == [1, 2, 3, 4, 5, 6] and "test_loss" not in some.metrics
    assert predict(own, part(gold).select([3]), labels, "test").judged.shape == (1, labels.num_labels)

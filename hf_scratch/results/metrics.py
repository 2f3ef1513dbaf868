"""Metrics of a classifier, as `evaluate` has them, computed by scikit-learn: no network is asked for a script."""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, f1_score

METRICS = ("accuracy", "macro_f1")
HEADLINE = "accuracy"


class Accuracy(evaluate.Metric):
    """The share of rows whose predicted class is the true one."""

    def _info(self):
        return metric_info("The share of rows whose predicted class is the true one.")

    def _compute(self, predictions, references):
        return {"accuracy": float(accuracy_score(references, predictions))}


class MacroF1(evaluate.Metric):
    """The mean over classes of F1 = 2·precision·recall / (precision + recall), every class alike."""

    def _info(self):
        return metric_info("The unweighted mean of the F1 scores of the classes that occur.")

    def _compute(self, predictions, references):
        return {"macro_f1": float(f1_score(references, predictions, average="macro"))}


def metric_info(description: str) -> evaluate.MetricInfo:
    features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
    return evaluate.MetricInfo(description=description, citation="", features=features)


def score(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """All metrics of predicted against true class ids, each `(N,)`."""
    # In memory: on disk each evaluation would write a file and wait a second for its lock.
    metrics = [Accuracy(keep_in_memory=True), MacroF1(keep_in_memory=True)]
    return {
        name: value
        for metric in metrics
        for name, value in metric.compute(predictions=predictions, references=references).items()
    }


def compute_metrics(prediction) -> dict[str, float]:
    """What Trainer calls at each evaluation, with logits `(N, num_labels)` and labels `(N,)`."""
    return score(class_logits(prediction.predictions).argmax(-1), prediction.label_ids)


def class_logits(predictions) -> np.ndarray:
    """The logits among a model's outputs: the first, where there are several."""
    return predictions[0] if isinstance(predictions, tuple) else predictions


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes, `(N, num_labels)`."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)

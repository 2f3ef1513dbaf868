"""What a task is measured by: its metrics, the headline and its direction; and every metric as `evaluate` has them."""

from dataclasses import dataclass, field

import datasets
import evaluate
import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import precision_recall_fscore_support

from ..errors import UserError, closest
from .measures import BINARY, CLASSES, FLAGS, NUMBERS, STARS, Measure

KINDS = {"classification": CLASSES, "ordinal": CLASSES | STARS, "multi_label": FLAGS, "regression": NUMBERS}
METRICS = tuple(dict.fromkeys([*CLASSES, *BINARY, *STARS, *FLAGS, *NUMBERS]))

CLASS_METRICS = ("precision", "recall", "f1")

# What is printed: the headline and a companion. Of GLUE, those of its paper (Wang et al. 2019, table 1).
HEADLINES = {
    "classification": ("accuracy", "macro_f1"),
    "ordinal": ("accuracy", "mae"),
    "multi_label": ("micro_f1", "macro_f1"),
    "regression": ("rmse", "pearson"),
}
TASK_HEADLINES = {
    "cola": ("matthews_correlation", "accuracy"),
    "mrpc": ("f1", "accuracy"),
    "qqp": ("f1", "accuracy"),
    "stsb": ("pearson", "spearmanr"),
}
POSITIVE = {"mrpc": "equivalent", "qqp": "duplicate"}  # the class that GLUE's F1 is of


@dataclass(frozen=True)
class Scoring:
    """What one task is measured by.

    Args:
        kind: "classification", "ordinal", "multi_label" or "regression".
        classes: their names by id.
        headline: the metric that decides.
        companion: the metric printed beside it.
        positive: of two classes, the id that F1 and average precision are of.
        measures: name to metric.
    """

    kind: str
    classes: tuple[str, ...]
    headline: str
    companion: str
    positive: int = 1
    measures: dict[str, Measure] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names."""
        return tuple(self.measures)

    @property
    def shown(self) -> tuple[str, ...]:
        """The one or two metrics of a table."""
        return tuple(dict.fromkeys([self.headline, self.companion]))

    @property
    def greater_is_better(self) -> bool:
        """Whether the headline grows with quality."""
        return self.measures[self.headline].greater_is_better

    def score(self, gold, probabilities, names=None) -> dict[str, float]:
        """Every metric that is defined on these rows.

        Args:
            gold: class ids `(N,)`, flags `(N, L)` or numbers `(N,)`, none of them missing; N is at least 1.
            probabilities: `(N, L)`; of a regression the predictions, `(N, 1)`.
            names: of the metrics; all by default.
        """
        gold, probabilities = self.turned(gold, probabilities)
        answers = {"decisions": decide(self.kind, probabilities), "probabilities": probabilities}
        measures = {name: self.measures[name] for name in (self.names if names is None else names)}
        values = {name: measure.compute(gold, answers[measure.takes]) for name, measure in measures.items()}
        return {name: float(value) for name, value in values.items() if value is not None}

    def score_classes(self, gold, probabilities) -> dict[str, float]:
        """Precision, recall and F1 of each class, as `class_<name>_<metric>`; 0 where there is nothing to divide by."""
        ids, decided = range(len(self.classes)), decide(self.kind, np.asarray(probabilities))
        values = precision_recall_fscore_support(gold, decided, labels=ids, average=None, zero_division=0)
        return {
            f"class_{self.classes[id_]}_{metric}": float(of_classes[id_])
            for id_ in ids
            for metric, of_classes in zip(CLASS_METRICS, values, strict=False)
        }

    def turned(self, gold, probabilities) -> tuple[np.ndarray, np.ndarray]:
        """Gold and probabilities as arrays, of two classes with the positive one last: there the metrics look for it."""
        gold, probabilities = np.asarray(gold), np.asarray(probabilities, dtype=np.float64)
        return (gold, probabilities) if self.positive else (1 - gold, probabilities[:, ::-1])

    def compute_metrics(self, prediction) -> dict[str, float]:
        """What Trainer calls at each evaluation, with a model's outputs and labels."""
        return self.score(prediction.label_ids, to_probabilities(self.kind, model_logits(prediction.predictions)))


def scoring_for(labels, task_name: str | None = None, metric_name: str | None = None) -> Scoring:
    """The metrics of a task.

    Args:
        labels: their kind and names.
        task_name: GLUE's tasks have headlines of their own.
        metric_name: a headline in place of the task's.

    Raises:
        UserError: if the kind of label has no such metric.
    """
    measures = KINDS[labels.kind]
    if labels.kind == "classification" and len(labels.names) == 2:
        measures = measures | BINARY
    if metric_name and metric_name not in measures:
        raise UserError(
            f"--metric_name {metric_name} is not a metric of {labels.kind.replace('_', '-')} labels."
            f"{closest(metric_name, measures)} Give one of {', '.join(measures)}"
        )
    shown = TASK_HEADLINES.get(task_name, HEADLINES[labels.kind])
    headline, companion = shown if set(shown) <= set(measures) else HEADLINES[labels.kind]
    positive = POSITIVE.get(task_name)
    return Scoring(
        kind=labels.kind,
        classes=tuple(labels.names),
        headline=metric_name or headline,
        companion=headline if metric_name and metric_name != headline else companion,
        positive=labels.names.index(positive) if len(labels.names) == 2 and positive in labels.names else 1,
        measures=measures,
    )


def select_by_headline(training, scoring: Scoring, given: set[str]):
    """Let Trainer choose the checkpoint by the headline unless told otherwise, and by every metric in its own direction.

    Args:
        training: TrainingArguments; changed in place.
        scoring: of the task.
        given: the flags that the user or the recipe set.

    Raises:
        UserError: if the task has no such metric.
    """
    if training.metric_for_best_model is None:
        return
    if "metric_for_best_model" not in given:
        training.metric_for_best_model = scoring.headline
    metric = training.metric_for_best_model.removeprefix("eval_")
    if metric not in (*scoring.names, "loss"):
        raise UserError(
            f"--metric_for_best_model {metric} is not measured here.{closest(metric, scoring.names)} Give loss or one of "
            f"{', '.join(scoring.names)}"
        )
    if "greater_is_better" not in given:
        training.greater_is_better = metric != "loss" and scoring.measures[metric].greater_is_better


def model_logits(predictions) -> np.ndarray:
    """The logits among a model's outputs: the first, where there are several."""
    return predictions[0] if isinstance(predictions, tuple) else predictions


def to_probabilities(kind: str, logits: np.ndarray) -> np.ndarray:
    """Softmax over classes, a sigmoid for each of several labels, or a regression's numbers as they are: `(N, L)`."""
    logits = np.asarray(logits, dtype=np.float64)
    if kind == "regression":
        return logits.reshape(-1, 1)
    return expit(logits) if kind == "multi_label" else softmax(logits, axis=-1)


def decide(kind: str, probabilities: np.ndarray) -> np.ndarray:
    """The likeliest class `(N,)`; of several labels those of at least one half `(N, L)`; or the number `(N,)`."""
    if kind == "regression":
        return probabilities[:, 0]
    return (probabilities >= 0.5).astype(np.int64) if kind == "multi_label" else probabilities.argmax(-1)


class Metric(evaluate.Metric):
    """A metric of classes as `evaluate` has them, with no network: `Metric("macro_f1").compute(predictions=, references=)`.

    Predictions are class ids, or probabilities for metrics that need them. Trainer's evaluation calls the same functions
    directly, for `evaluate` first copies every single number into a table: five seconds for 50,000 rows of 150 classes.
    Give `keep_in_memory=True` under Trainer: on disk each evaluation writes a file and waits for its lock.
    """

    measures = CLASSES | BINARY | STARS
    gold = datasets.Value("int64")

    def _info(self):
        wants_probabilities = self.measures[self.config_name].takes == "probabilities"
        predictions = datasets.List(datasets.Value("float64")) if wants_probabilities else self.gold
        features = datasets.Features({"predictions": predictions, "references": self.gold})
        return evaluate.MetricInfo(description=self.__doc__, citation="", features=features)

    def _compute(self, predictions, references):
        value = self.measures[self.config_name].compute(np.asarray(references), np.asarray(predictions))
        return {} if value is None else {self.config_name: float(value)}


class MultiLabelMetric(Metric):
    """A metric of flags, `(N, L)`."""

    measures = FLAGS
    gold = datasets.List(datasets.Value("int64"))


class RegressionMetric(Metric):
    """A metric of numbers."""

    measures = NUMBERS
    gold = datasets.Value("float64")

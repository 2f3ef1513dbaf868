"""Each task's headline and its direction, what Trainer is given, and `evaluate`'s own interface."""

import evaluate
import numpy as np
import pytest
from sklearn import metrics as sk
from transformers import EvalPrediction, TrainingArguments

from hf_scratch.data.labels import Labels
from hf_scratch.errors import UserError
from hf_scratch.results.metrics import (
    KINDS,
    METRICS,
    Metric,
    MultiLabelMetric,
    RegressionMetric,
    decide,
    model_logits,
    scoring_for,
    select_by_headline,
    to_probabilities,
)
from tests.results.answers import drawn, scoring


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
def test_each_class_has_its_precision_recall_and_f1(kind):
    gold, probabilities = drawn(kind, count=3)
    values = scoring(kind, 3).score_classes(gold, probabilities)
    predicted = decide(kind, probabilities)
    flags = (gold == 1, predicted == 1) if gold.ndim == 1 else (gold[:, 1], predicted[:, 1])
    assert len(values) == 9 and values["class_c1_precision"] == pytest.approx(sk.precision_score(*flags))
    assert values["class_c1_recall"] == pytest.approx(sk.recall_score(*flags))
    assert values["class_c1_f1"] == pytest.approx(sk.f1_score(*flags))


@pytest.mark.parametrize(
    ("task", "kind", "shown", "greater"),
    [
        ("cola", "classification", ("matthews_correlation", "accuracy"), True),
        ("mrpc", "classification", ("f1", "accuracy"), True),
        ("qqp", "classification", ("f1", "accuracy"), True),
        ("stsb", "regression", ("pearson", "spearmanr"), True),
        ("sst2", "classification", ("accuracy", "macro_f1"), True),
        ("yelp_review_full", "ordinal", ("accuracy", "mae"), True),
        ("mine", "multi_label", ("micro_f1", "macro_f1"), True),
        ("mine", "regression", ("rmse", "pearson"), False),
    ],
)
def test_the_headline_and_its_direction_belong_to_the_task(task, kind, shown, greater):
    found = scoring(kind, 2, task)
    assert (found.headline, *found.shown) == (shown[0], *shown) and found.greater_is_better is greater


def test_another_headline_is_shown_beside_the_tasks_own():
    found = scoring("classification", 2, "sst2", "log_loss")
    assert found.shown == ("log_loss", "accuracy") and found.greater_is_better is False
    with pytest.raises(UserError, match=r"--metric_name makro_f1 is not a metric .* Did you mean macro_f1\?"):
        scoring("classification", 2, metric="makro_f1")


def test_the_positive_class_is_known_by_its_name_wherever_it_stands():
    gold, probabilities = drawn("classification", count=2)
    usual = scoring_for(Labels("classification", ("not_equivalent", "equivalent")), "mrpc")
    turned = scoring_for(Labels("classification", ("equivalent", "not_equivalent")), "mrpc")
    assert usual.score(gold, probabilities) == pytest.approx(turned.score(1 - gold, probabilities[:, ::-1]))
    assert usual.score(gold, probabilities)["f1"] != pytest.approx(usual.score(1 - gold, probabilities[:, ::-1])["f1"])


def training(tmp_path, *given, **values):
    return TrainingArguments(str(tmp_path), use_cpu=True, eval_strategy="epoch", save_strategy="epoch", **values)


@pytest.mark.parametrize(
    ("values", "kind", "metric", "greater"),
    [
        ({}, "classification", "accuracy", True),
        ({}, "regression", "rmse", False),
        (
            {"metric_for_best_model": "mae"},
            "regression",
            "mae",
            False,
        ),  # Trainer itself would maximize it
        ({"metric_for_best_model": "eval_macro_f1"}, "classification", "eval_macro_f1", True),
        ({"metric_for_best_model": "loss"}, "classification", "loss", False),
        ({"metric_for_best_model": "mae", "greater_is_better": True}, "regression", "mae", True),
    ],
)
def test_the_checkpoint_is_chosen_by_the_headline_in_its_own_direction(tmp_path, values, kind, metric, greater):
    args = training(tmp_path, load_best_model_at_end=True, **values)
    select_by_headline(args, scoring(kind), set(values))
    assert (args.metric_for_best_model, args.greater_is_better) == (metric, greater)


def test_selection_by_what_is_not_measured_is_refused(tmp_path):
    args = training(tmp_path, load_best_model_at_end=True, metric_for_best_model="f1")
    with pytest.raises(UserError, match="--metric_for_best_model f1 is not measured here"):
        select_by_headline(args, scoring("regression"), {"metric_for_best_model"})
    args = training(tmp_path)
    select_by_headline(args, scoring("regression"), set())
    assert args.metric_for_best_model is None


@pytest.mark.parametrize("wrap", [lambda logits: logits, lambda logits: (logits, np.zeros((3, 5)))], ids=["alone", "first"])
def test_trainer_gets_the_metrics_of_its_logits(wrap):
    logits = np.array([[0.1, 0.3, -2], [5, 4, 3], [0, 0, 7]])
    assert model_logits(wrap(logits)) is logits
    values = scoring("classification", 3).compute_metrics(EvalPrediction(wrap(logits), np.array([1, 0, 0])))
    assert values["accuracy"] == pytest.approx(2 / 3) and values["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_trainer_gets_the_metrics_of_flags_and_numbers():
    flags = EvalPrediction(np.array([[3.0, -1], [-2, 2]]), np.array([[1.0, 0], [0, 0]], dtype=np.float32))
    assert scoring("multi_label", 2).compute_metrics(flags)["micro_f1"] == pytest.approx(2 / 3)
    numbers = EvalPrediction(np.array([[2.0]]), np.array([4.0]))  # one row: no axis may be lost
    assert scoring("regression").compute_metrics(numbers)["rmse"] == 2


def test_probabilities_do_not_overflow():
    found = to_probabilities("classification", np.array([[0, np.log(3)], [1000, 1000], [-1e4, 0]], dtype=np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4], [1 / 2, 1 / 2], [0, 1]], atol=1e-7)
    np.testing.assert_allclose(to_probabilities("multi_label", np.array([[np.log(3), -1e4]])), [[3 / 4, 0]])
    assert to_probabilities("regression", np.array([[2.0], [3.0]])).tolist() == [[2], [3]]


@pytest.mark.parametrize("kind", KINDS)
def test_evaluates_own_interface_has_every_metric(kind):
    gold, probabilities = drawn(kind, count=2)
    own = scoring(kind, 2)
    metric_class = {"multi_label": MultiLabelMetric, "regression": RegressionMetric}.get(kind, Metric)
    for name, value in own.score(gold, probabilities).items():
        answers = probabilities if own.measures[name].takes == "probabilities" else decide(kind, probabilities)
        metric = metric_class(name, keep_in_memory=True)
        for start in range(0, 61, 31):
            metric.add_batch(predictions=answers[start : start + 31], references=gold[start : start + 31])
        assert metric.compute() == {name: pytest.approx(value)} and name in METRICS


def test_evaluate_can_combine_the_metrics():
    combined = evaluate.combine([Metric("accuracy", keep_in_memory=True), Metric("f1", keep_in_memory=True)])
    assert combined.compute(predictions=[0, 1, 1], references=[0, 0, 1]) == {"accuracy": 2 / 3, "f1": pytest.approx(2 / 3)}

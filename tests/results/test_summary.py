import numpy as np
import pytest

from hf_scratch.data.labels import Labels
from hf_scratch.results.baselines import Baseline
from hf_scratch.results.summary import Row, judge, one_answer, table, verdict
from tests.results.answers import drawn, scoring, sure

GOLD = np.array([0, 1] * 100)
TASK = scoring("classification", 2)


def right_on(count):
    """Answers that are right on the first `count` of the 200 rows."""
    return sure(np.where(np.arange(200) < count, GOLD, 1 - GOLD), 2)


def baseline(name, count):
    return Baseline(name, name, right_on(count), 0.1)


def sentence(ours, baselines, level=0.95, task=TASK):
    return verdict(task, judge(task, "ours", GOLD, right_on(ours), level, baselines), 200, level)


def test_a_row_holds_each_value_with_its_interval():
    (row,) = judge(TASK, "ours", GOLD, right_on(150), level=0.95)
    assert row.name == "ours" and row.values["accuracy"] == 0.75
    assert set(row.values) == set(row.bounds) > {*TASK.names, "class_c0_precision", "class_c1_f1"}
    low, high = row.bounds["accuracy"]
    assert low == pytest.approx(0.69, abs=0.01) and high == pytest.approx(0.81, abs=0.01)
    assert judge(TASK, "ours", GOLD, right_on(150), level=0.5)[0].bounds["accuracy"][0] > low


def test_a_baseline_is_judged_on_the_same_rows():
    ours, theirs = judge(TASK, "ours", GOLD, right_on(150), 0.95, [baseline("tfidf", 140)])
    assert (theirs.name, theirs.seconds, theirs.values["accuracy"]) == ("tfidf", 0.1, 0.7)
    assert theirs.lead["accuracy"][0] < 0.05 < theirs.lead["accuracy"][1]
    assert set(theirs.values) == set(theirs.bounds) == {"accuracy", "macro_f1", "weighted_f1", "matthews_correlation", "f1"}
    assert ours.lead == {} and ours.seconds is None


def test_a_row_becomes_flat_keys():
    row = Row("ours", {"accuracy": 0.7, "log_loss": 0.6}, {"accuracy": (0.65, 0.75)}, seconds=1.23456)
    assert row.flat("test") == {
        "test_seconds": 1.235,
        "test_accuracy": 0.7,
        "test_accuracy_low": 0.65,
        "test_accuracy_high": 0.75,
        "test_log_loss": 0.6,
    }


def test_the_table_is_in_percent_and_in_columns():
    rows = [
        Row("ours", {"accuracy": 0.7712, "macro_f1": 1.0}, {"accuracy": (0.745, 0.8), "macro_f1": (1, 1)}),
        Row(
            "majority class", {"accuracy": 0.5, "macro_f1": 0.083}, {"accuracy": (0.4, 0.6), "macro_f1": (0.05, 0.12)}, {}, 2.5
        ),
    ]
    assert table(rows, "reviews, test part", TASK).splitlines() == [
        "reviews, test part",
        "                accuracy              macro f1              seconds",
        "ours             77.1 [74.5, 80.0]    100.0 [100.0, 100.0]",
        "majority class   50.0 [40.0, 60.0]      8.3 [5.0, 12.0]         2.5",
    ]


def test_errors_are_no_percents():
    row = Row("ours", {"rmse": 1.25, "pearson": 0.5}, {"rmse": (1.0, 1.5), "pearson": (0.4, 0.61)})
    assert table([row], "t", scoring("regression")).splitlines()[2] == "ours  1.250 [1.000, 1.500]   50.0 [40.0, 61.0]"


def test_a_long_name_keeps_its_column_and_nothing_is_minus_zero():
    by_kappa = scoring("ordinal", 5, None, "quadratic_weighted_kappa")
    row = Row(
        "a", {"quadratic_weighted_kappa": -1e-17, "accuracy": 0.3}, {"quadratic_weighted_kappa": (-1e-9, 0), "accuracy": (0, 1)}
    )
    head, line = table([row], "t", by_kappa).splitlines()[1:]
    assert line == "a    0.0 [0.0, 0.0]           30.0 [0.0, 100.0]" and line.index("30.0") == head.index("accuracy") + 1


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (180, 150, "ours is 15.0 points better than tfidf in accuracy (95% interval of the difference +10.5 to +20.0 points)."),
        (150, 180, "ours is 15.0 points worse than tfidf in accuracy (95% interval of the difference -20.0 to -10.5 points)."),
        (
            151,
            150,
            "ours is 0.5 points better than tfidf in accuracy, but 200 rows do not tell them apart "
            "(95% interval of the difference +0.0 to +1.5 points).",
        ),
        (
            150,
            150,
            "ours is as good as tfidf in accuracy (95% interval of the difference +0.0 to +0.0 points).",
        ),
    ],
)
def test_the_verdict_is_plain(ours, theirs, expected):
    assert sentence(ours, [baseline("majority", 100), baseline("tfidf", theirs)]) == expected


def test_the_best_baseline_is_what_counts():
    assert "than majority in" in sentence(180, [baseline("majority", 120), baseline("tfidf", 90)])


def test_a_level_between_the_percents_is_not_rounded():
    assert "(99.5% interval" in sentence(180, [baseline("tfidf", 90)], level=0.995)


def test_of_a_loss_less_is_better():
    found = sentence(
        180, [baseline("majority", 100), baseline("tfidf", 150)], task=scoring("classification", 2, None, "log_loss")
    )
    assert found.startswith("ours is 0.330 better than tfidf in log loss (95% interval of the difference -0.")
    gold, predicted = drawn("regression", 211)
    mean = Baseline("mean", "mean", np.zeros((211, 1)), 0.1)
    rows = judge(scoring("regression"), "ours", gold, 3 * predicted, 0.95, [mean])
    assert "worse than mean in rmse (95% interval of the difference +" in verdict(scoring("regression"), rows, 211, 0.95)


def test_few_rows_tell_nothing():
    rows = judge(TASK, "ours", GOLD, right_on(200), 0.95, [baseline("tfidf", 0)])
    assert "but 29 test rows are too few to tell anything" in verdict(TASK, rows, 29, 0.95)


def test_a_headline_that_these_rows_do_not_define_has_no_verdict():
    task = scoring("classification", 2, None, "roc_auc")
    rows = judge(task, "ours", np.zeros(50, dtype=int), right_on(50)[:50], 0.95, [])
    assert verdict(task, rows, 50, 0.95) == "roc auc is not defined on these 50 rows."
    assert "accuracy" in table(rows, "t", task) and "roc" not in table(rows, "t", task)


def test_the_same_answer_for_every_row_is_told():
    labels = Labels("classification", ("bad", "good"))
    assert one_answer(np.ones(61, int), labels).startswith("every row is answered 'good'; train longer, or try another")
    assert one_answer(np.arange(61) % 2, labels) is None and one_answer(np.ones(5, int), labels) is None
    assert one_answer(np.ones((61, 2)), Labels("multi_label", ("x", "y"))) is None

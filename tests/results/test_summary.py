import numpy as np
import pytest

from hf_scratch.results.baselines import Baseline
from hf_scratch.results.summary import Row, judge, table, verdict

GOLD = np.array([0, 1] * 100)


def right_on(count):
    """Answers that are right on the first `count` of the 200 rows."""
    return np.where(np.arange(200) < count, GOLD, 1 - GOLD)


def baseline(name, count):
    return Baseline(name, name, right_on(count), 0.1)


def test_a_row_holds_each_value_with_its_interval():
    row = judge("ours", GOLD, right_on(150), level=0.95)
    assert row.name == "ours" and row.values["accuracy"] == 0.75
    low, high = row.bounds["accuracy"]
    assert low == pytest.approx(0.69, abs=0.01) and high == pytest.approx(0.81, abs=0.01)
    assert judge("ours", GOLD, right_on(150), level=0.5).bounds["accuracy"][0] > low


def test_a_row_becomes_flat_keys():
    row = Row("ours", {"accuracy": 0.7, "macro_f1": 0.6}, {"accuracy": (0.65, 0.75), "macro_f1": (0.5, 0.7)})
    assert row.flat("test") == {
        "test_accuracy": 0.7,
        "test_accuracy_low": 0.65,
        "test_accuracy_high": 0.75,
        "test_macro_f1": 0.6,
        "test_macro_f1_low": 0.5,
        "test_macro_f1_high": 0.7,
    }


def test_the_table_is_in_percent_and_in_columns():
    rows = [
        Row("ours", {"accuracy": 0.7712, "macro_f1": 1.0}, {"accuracy": (0.745, 0.8), "macro_f1": (1, 1)}),
        Row("majority class", {"accuracy": 0.5, "macro_f1": 0.083}, {"accuracy": (0.4, 0.6), "macro_f1": (0.05, 0.12)}),
    ]
    assert table(rows, "reviews, test part").splitlines() == [
        "reviews, test part",
        "                accuracy              macro f1",
        "ours             77.1 [74.5, 80.0]    100.0 [100.0, 100.0]",
        "majority class   50.0 [40.0, 60.0]      8.3 [5.0, 12.0]",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (180, 150, "ours is 15.0 points better than tfidf in accuracy (95% interval of the difference +10.0 to +20.0 points)."),
        (150, 180, "ours is 15.0 points worse than tfidf in accuracy (95% interval of the difference -20.0 to -10.0 points)."),
        (
            151,
            150,
            "ours is 0.5 points better than tfidf in accuracy, but 200 rows do not tell them apart "
            "(95% interval of the difference +0.0 to +1.5 points).",
        ),
        (
            150,
            150,
            "ours is as good as tfidf in accuracy, but 200 rows do not tell them apart "
            "(95% interval of the difference +0.0 to +0.0 points).",
        ),
    ],
)
def test_the_verdict_is_plain(ours, theirs, sentence):
    assert verdict("ours", GOLD, right_on(ours), [baseline("majority", 100), baseline("tfidf", theirs)], level=0.95) == sentence


def test_the_best_baseline_is_what_counts():
    assert "than majority in" in verdict("ours", GOLD, right_on(180), [baseline("majority", 120), baseline("tfidf", 90)], 0.95)


def test_a_level_between_the_percents_is_not_rounded():
    assert "(99.5% interval" in verdict("ours", GOLD, right_on(180), [baseline("tfidf", 90)], 0.995)

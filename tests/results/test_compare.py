import json
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_scratch.errors import UserError
from hf_scratch.results.compare import duel, interval, mcnemar, read_contestants, scores, scoring_of
from tests.runs import make_run


@pytest.fixture
def two(tmp_path):
    return [str(make_run(tmp_path / name, seed=seed, model=name)) for seed, name in enumerate("ab")]


def change(folder: str, **columns):
    """Rewrite predictions.parquet; a column is given as a function of the table."""
    path = f"{folder}/predictions.parquet"
    table = pd.read_parquet(path)
    for name, make in columns.items():
        table[name] = make(table)
    table.to_parquet(path, index=False)


def test_the_gap_is_that_of_the_same_rows_whatever_their_order(two):
    first, second = read_contestants(two)
    scoring = scoring_of(first.runs[0])
    result = duel(first, second, scoring, 0.95)
    assert result.gap == pytest.approx(scores(first, scoring)[0] - scores(second, scoring)[0])
    assert len(result.only_first) - len(result.only_second) == pytest.approx(result.gap * 60)
    path = f"{two[1]}/predictions.parquet"
    pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path, index=False)
    shuffled = duel(*read_contestants(two), scoring, 0.95)
    assert (shuffled.gap, shuffled.low, shuffled.high, shuffled.p) == (result.gap, result.low, result.high, result.p)


def test_other_numbers_of_the_same_classes_are_the_same_classes(two):
    """The second run numbers its classes the other way round."""
    scoring = scoring_of(read_contestants(two)[0].runs[0])
    before = duel(*read_contestants(two), scoring, 0.95)
    path = Path(two[1], "run.json")
    record = json.loads(path.read_text())
    record["labels"]["names"] = record["labels"]["names"][::-1]
    path.write_text(json.dumps(record))
    assert duel(*read_contestants(two), scoring, 0.95).gap == before.gap


def test_a_run_against_itself_is_not_told_apart(two):
    first, same = read_contestants([two[0], two[0]])
    result = duel(first, same, scoring_of(first.runs[0]), 0.95)
    assert (result.gap, result.low, result.high, result.p, result.told_apart) == (0, 0, 0, 1, False)


def test_pairing_makes_the_interval_of_the_difference_narrower(two):
    """The second run answers as the first does, but misses six of the rows that the first has right."""
    table = pd.read_parquet(f"{two[0]}/predictions.parquet")
    six = (table["label"] == table["prediction"]).to_numpy().nonzero()[0][:6]
    columns = [column for column in table if column.startswith("probability_")]
    turned = table[columns].to_numpy().copy()
    turned[six] = turned[six][:, [1, 2, 0]]
    table[columns] = turned
    table["prediction"] = np.array([column.removeprefix("probability_") for column in columns])[turned.argmax(1)]
    table.to_parquet(f"{two[1]}/predictions.parquet", index=False)
    first, second = read_contestants(two)
    scoring = scoring_of(first.runs[0])
    result = duel(first, second, scoring, 0.95)
    assert result.gap == pytest.approx(0.1) and set(result.only_first) == set(six) and not len(result.only_second)
    low, high = interval(first, scoring, 0.95)
    assert result.high - result.low < 0.8 * (high - low) and result.told_apart
    assert result.p == 2 / 2**6


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 9), (9, 3), (6, 0), (5, 5)])
def test_mcnemar_is_the_sign_test(first, second):
    """Both tails of a fair coin: at most 1, of n throws as uneven a split or more."""
    n, least = first + second, min(first, second)
    tail = sum(comb(n, count) for count in range(least + 1)) / 2**n
    assert mcnemar(first, second) == pytest.approx(min(1, 2 * tail))


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_other_kinds_are_compared_too(tmp_path, kind):
    folders = [str(make_run(tmp_path / name, kind, seed=seed)) for seed, name in enumerate("ab")]
    first, second = read_contestants(folders)
    result = duel(first, second, scoring_of(first.runs[0]), 0.95)
    assert result.low <= result.gap <= result.high and first.name == folders[0]
    assert (result.p is None) == (kind == "regression")


def test_several_seeds_are_one_contestant(tmp_path, two):
    parent = make_run(tmp_path / "seeds", model="many", seeds=[{"seed": 0}, {"seed": 1}, {"seed": 2, "error": "stopped"}])
    for seed in (0, 1):
        make_run(parent / f"seed-{seed}", seed=seed)
    many, one = read_contestants([str(parent), two[0]])
    scoring = scoring_of(one.runs[0])
    assert len(many.runs) == 2 and scores(many, scoring) == [
        scores(contestant, scoring)[0] for contestant in read_contestants(two)
    ]
    result = duel(many, one, scoring, 0.95)
    assert result.gap == pytest.approx(np.mean(scores(many, scoring)) - scores(one, scoring)[0]) and result.p is None


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ({"id": lambda table: ["test/99", *table["id"][1:]]}, r"1 only in \S+ \(test/0\), 1 only in \S+ \(test/99\)"),
        ({"text": lambda table: [*table["text"][:-2], "other", "last"]}, r"the text of 1 rows differs \(test/59\)"),
        ({"label": lambda table: table["label"].map({"bad": "$odd|"}).fillna(table["label"])}, "the label of .* rows differs"),
        ({"text_pair": lambda table: table["text"]}, "only one has the column text_pair"),
        ({"id": lambda table: ["test/1", *table["id"][1:]]}, "60 and 60 of them, 1 only in"),
    ],
)
def test_runs_on_different_rows_are_refused_by_name(two, columns, difference):
    change(two[1], **columns)
    with pytest.raises(UserError, match=f"have different test rows: .*{difference}.*--split_seed"):
        read_contestants(two)


def test_other_labels_are_other_rows(two, tmp_path):
    other = make_run(tmp_path / "stars", "ordinal")
    with pytest.raises(UserError, match=r"their labels are classification of .* and ordinal of 1, 2, 3"):
        read_contestants([two[0], str(other)])


def test_a_run_without_labelled_predictions_is_refused(two):
    change(two[1], label=lambda table: None)
    with pytest.raises(UserError, match=r"holds no labelled predictions, .* --do_predict"):
        read_contestants(two)

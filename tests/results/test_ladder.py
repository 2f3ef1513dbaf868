import json

import numpy as np
import pandas as pd
import pytest

from hf_scratch.errors import UserError
from hf_scratch.results.ladder import Rung, draw, markdown, read_rung, summarize


def rung(name, accuracy, seeds=3, rows=401, seed=0):
    return Rung(name, np.random.default_rng(seed).random((seeds, rows)) < accuracy)


def test_the_interval_over_rows_alone_is_the_binomials():
    right = np.zeros((1, 400), dtype=bool)
    right[0, :300] = True
    (row,) = summarize([Rung("one seed", right)])
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert row["accuracy"] == 0.75 and row["spread_over_seeds"] == 0.0
    assert row["accuracy_low"] == pytest.approx(0.75 - half, abs=0.006)
    assert row["accuracy_high"] == pytest.approx(0.75 + half, abs=0.006)


def test_seeds_that_disagree_widen_the_interval():
    same = np.tile(np.arange(401) < 300, (3, 1))
    differing = np.stack([np.arange(401) < n for n in (260, 300, 340)])
    narrow, wide = (summarize([Rung("r", right)])[0] for right in (same, differing))
    assert wide["accuracy_high"] - wide["accuracy_low"] > 1.3 * (narrow["accuracy_high"] - narrow["accuracy_low"])
    assert wide["spread_over_seeds"] == pytest.approx(np.std([260, 300, 340], ddof=1) / 401)


def test_what_a_rung_adds_is_told_on_the_same_rows():
    low = Rung("low", np.tile(np.arange(401) < 300, (2, 1)))
    high = Rung("high", np.tile(np.arange(401) < 310, (2, 1)))
    table = summarize([low, high])
    assert table[1]["gain"] == pytest.approx(10 / 401) and table[1]["gain_low"] > 0 and "gain" not in table[0]
    assert table[1]["gain_high"] - table[1]["gain_low"] < table[1]["accuracy_high"] - table[1]["accuracy_low"]
    text = markdown(table)
    assert "| high | 77.3 (" in text and "| +2.5 (+1." in text


def test_runs_are_read_row_by_row_and_must_be_of_the_same_rows(tmp_path):
    folders = []
    for seed, ids in enumerate((["a", "b", "c"], ["a", "b", "c"], ["a", "b", "d"])):
        folder = tmp_path / str(seed)
        folder.mkdir()
        pd.DataFrame(
            {"id": ids, "text": ids, "label": ["x", "y", "x"], "prediction": ["x", "x", "x"], "probability_x": 1.0}
        ).to_parquet(folder / "predictions.parquet")
        folders.append(str(folder))
    assert read_rung("r", folders[:2]).right.tolist() == [[True, False, True]] * 2
    with pytest.raises(UserError, match="predictions of other rows"):
        read_rung("r", folders)


def test_rows_without_labels_do_not_count_and_numbers_are_refused(tmp_path):
    record = {"reported": "validation", "labels": {"kind": "classification"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for name, labels in (("predictions", [None, None]), ("predictions_validation", ["x", "y"])):
        pd.DataFrame({"id": ["a", "b"], "text": "t", "label": labels, "prediction": ["x", "x"]}).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    assert read_rung("r", [str(tmp_path)]).right.tolist() == [[True, False]]
    (tmp_path / "run.json").write_text(json.dumps(record | {"labels": {"kind": "regression"}}))
    with pytest.raises(UserError, match="labels of the kind regression"):
        read_rung("r", [str(tmp_path)])


def test_the_plot_is_a_picture(tmp_path):
    draw(summarize([rung("a", 0.6), rung("b", 0.8)]), "film reviews", str(tmp_path / "ladder.png"))
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")

"""The predictions of a run, read back by the libraries that users read them with."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from hf_scratch.data.labels import Labels
from hf_scratch.results.predictions import safe_cell, write_predictions

TEXTS = ["plain", 'said "no",\ttwice', "two\nlines", ""]
IDS = [f"test/{row}" for row in range(4)]
ROWS = Dataset.from_dict({"id": IDS, "text": TEXTS, "label": [1, 0, -1, 1]})
PROBABILITIES = np.array([[0.1, 0.9], [0.7, 0.3], [0.25, 0.75], [0.6, 0.4]])
LABELS = Labels("classification", ("bad", "good"))


def tsv(folder):
    return pd.read_csv(folder / "predictions.tsv", sep="\t", keep_default_na=False)


def test_predictions_are_told_by_name_in_both_files(tmp_path):
    write_predictions(tmp_path, ROWS, PROBABILITIES, LABELS)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert list(table) == ["id", "text", "label", "prediction", "probability_bad", "probability_good"]
    assert table.id.tolist() == IDS and table.text.tolist() == TEXTS
    assert table.label.fillna("").tolist() == ["good", "bad", "", "good"]
    assert table.prediction.tolist() == ["good", "bad", "good", "bad"]
    assert table.filter(like="probability").to_numpy().tolist() == PROBABILITIES.tolist()
    expected = table.fillna("").assign(text=["plain", 'said "no", twice', "two lines", ""])
    pd.testing.assert_frame_equal(tsv(tmp_path), expected)


def test_predictions_of_pairs_hold_both_texts_and_need_no_labels(tmp_path):
    rows = ROWS.add_column("text_pair", list("pqrs")).remove_columns("label").add_column("label", [-1] * 4)
    write_predictions(tmp_path, rows, PROBABILITIES, LABELS, name="predictions_mismatched")
    table = pd.read_parquet(tmp_path / "predictions_mismatched.parquet")
    assert table.text_pair.tolist() == list("pqrs") and table.label.isna().all()


def test_several_labels_are_lists_of_names(tmp_path):
    rows = ROWS.remove_columns("label").add_column("label", [[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0], [0.0, 1.0]])
    write_predictions(tmp_path, rows, PROBABILITIES, Labels("multi_label", ("sad, or not", "glad")))
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert [None if names is None else list(names) for names in table.label] == [["sad, or not", "glad"], [], None, ["glad"]]
    assert [list(names) for names in table.prediction] == [["glad"], ["sad, or not"], ["glad"], ["sad, or not"]]
    assert table["probability_glad"].tolist() == PROBABILITIES[:, 1].tolist()
    assert tsv(tmp_path).label.tolist() == ['["sad, or not", "glad"]', "[]", "", '["glad"]']


def test_numbers_are_numbers(tmp_path):
    rows = ROWS.remove_columns("label").add_column("label", [-1.5, 2.0, float("nan"), 0.0])
    write_predictions(tmp_path, rows, np.array([[-0.25], [1.0], [2.0], [3.0]]), Labels("regression", ("score",)))
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert list(table) == ["id", "text", "label", "prediction"]
    assert table.label.tolist()[:2] == [-1.5, 2] and table.label.isna().tolist() == [False, False, True, False]
    assert tsv(tmp_path).prediction.tolist() == [-0.25, 1, 2, 3]


def test_a_marked_run_says_so_in_every_row(tmp_path):
    write_predictions(tmp_path, ROWS, PROBABILITIES, LABELS, marks=("selected_on_reported", "test_as_validation"))
    for table in (pd.read_parquet(tmp_path / "predictions.parquet"), tsv(tmp_path)):
        assert list(table)[-1] == "marks" and set(table.marks) == {"selected_on_reported, test_as_validation"}


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\r=1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("1 = 1", "1 = 1"),
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("two\r\nlines\u2028more", "two  lines more"),
        (" a ", " a "),
        ("", ""),
        (["=a", 'b"'], '["=a", "b\\""]'),
    ],
)
def test_no_cell_of_the_tsv_is_a_formula_or_leaves_its_line(cell, safe):
    assert safe_cell(cell) == safe


def test_dangerous_names_and_texts_are_exact_in_parquet_and_harmless_in_tsv(tmp_path):
    rows = ROWS.remove_columns("text").add_column("text", ["=1+1", "a\tb", "c\x1b[0m", "-2"])
    write_predictions(tmp_path, rows, PROBABILITIES, Labels("classification", ("=bad", "go\tod")))
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table.text.tolist() == rows["text"][:] and table.label.tolist()[:2] == ["go\tod", "=bad"]
    lines = (tmp_path / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5 and {line.count("\t") for line in lines} == {5}
    assert not [cell for line in lines for cell in line.split("\t") if cell.startswith(("=", "@", "+", "-"))]
    assert "\x1b" not in "".join(lines)

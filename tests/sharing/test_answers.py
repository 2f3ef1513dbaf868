import csv
import io
import json

import pytest

from hf_scratch.sharing.answers import FORMATS
from hf_scratch.sharing.predict import Answer

SHARES = {"bad": 0.25, "good": 0.75}


def written(kind, answers, names=("bad", "good"), of="classification"):
    form = FORMATS[kind](list(names), of)
    return form.header() + "".join(map(form.row, answers))


def test_a_table_shows_every_share_and_no_character_that_a_terminal_obeys(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    answers = [Answer("a\x1b[31m film\nof length", "good", SHARES), Answer("x" * 99, None, {})]
    head, first, second = written("table", answers).splitlines()
    assert head.split() == ["label", "bad", "good", "text"]
    assert first.split()[:3] == ["good", "0.2500", "0.7500"] and first.endswith(r"a\x1b[31m film of length")
    assert second.startswith("-") and len(second) == 50
    assert first.index("a\\x1b") == head.index("text") == second.index("x")


def test_a_table_of_many_classes_shows_the_first_and_of_numbers_none():
    shares = {str(id_): id_ / 21 for id_ in range(7)}
    assert written("table", [Answer("a", "6", shares)], shares).splitlines()[1].split() == ["6", "0.2857", "a"]
    assert written("table", [Answer("a", 2.5, {})], ["stars"], "regression").splitlines()[1].split() == ["2.5000", "a"]
    assert written("table", [Answer("a", [], SHARES)], of="multi_label").splitlines()[1].split()[0] == "none"


@pytest.mark.parametrize("text", ["=1+1", 'a "b"\n\u2028\x00é', ("a", "b"), ""])
def test_json_lines_are_exact_and_one_a_row(text):
    line = written("jsonl", [Answer(text, ["good"], SHARES)])
    assert line.count("\n") == 1 and len(line.splitlines()) == 1
    row = json.loads(line)
    assert (row["text"] if isinstance(text, str) else (row["text"], row["text_pair"])) == text
    assert row["label"] == ["good"] and row["probabilities"] == SHARES


@pytest.mark.parametrize("sign", "=+-@")
def test_csv_holds_no_formula(sign):
    rows = list(
        csv.DictReader(io.StringIO(written("csv", [Answer(f"{sign}cmd|'/c'!A0", f"{sign}x", {f"{sign}x": 1.0})], [f"{sign}x"])))
    )
    assert rows == [{"text": f"'{sign}cmd|'/c'!A0", "label": f"'{sign}x", f"probability_{sign}x": "1.0"}]


def test_csv_keeps_one_line_a_row_whatever_the_text_holds():
    answers = [Answer(('a,\n"b"', "c"), "good", SHARES), Answer(("", ""), None, {})]
    lines = written("csv", answers).splitlines()
    assert lines[0] == "text,text_pair,label,probability_bad,probability_good" and len(lines) == 3
    assert next(csv.reader([lines[1]])) == ['a, "b"', "c", "good", "0.25", "0.75"]
    assert lines[2] == ",,,,"
    assert written("csv", [Answer("a", -2.5, {})], ["stars"], "regression").splitlines() == ["text,label", "a,-2.5"]

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data.diagnosis import Diagnosis
from hf_scratch.data.doctor import Finding
from hf_scratch.data.labels import Labels
from hf_scratch.data.statistics import TokenStatistics

TOKENS = TokenStatistics(100, 9973, np.sort([7] * 90 + [131] * 10), 128, 0.0021)
FINDINGS = [Finding("empty", "no text " * 20, ("train/3",), is_error=True), Finding("few", "few rows")]


def rows_of(labels):
    return Dataset.from_dict({"label": labels})


@pytest.fixture
def diagnosis():
    parts = DatasetDict(train=rows_of([0] * 30 + [1] * 10), test=rows_of([0, 1, 1, -1]))
    return Diagnosis("reviews", parts, Labels("classification", ("bad", "good")), TOKENS, FINDINGS)


def test_the_page_has_rows_classes_lengths_and_findings(diagnosis, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    lines = diagnosis.page().split("\n")
    assert lines[0] == "reviews: 40 train, 4 test rows; classification"
    assert lines[2].split() == ["class", "train", "test"]
    assert lines[3].split() == ["bad", "30", "75.0%", "1", "25.0%", "█" * 24]
    assert lines[4].split() == ["good", "10", "25.0%", "2", "50.0%", "█" * 8]
    assert lines[5].split() == ["no", "label", "0", "0.0%", "1", "25.0%"]
    assert lines[7] == (
        "tokens, in a random sample of 100 of 9,973 training texts; at most: half 7, 90% 7, 95% 131, 99% 131, all 131"
    )
    assert lines[8].startswith("--max_seq_length 128: 10.0% of the texts are cut, 1.5% of all tokens are lost; 0.21% are")
    assert lines[10].startswith("error:   no text") and lines[11].startswith("         ") and lines[-1] == "warning: few rows"
    assert max(map(len, lines[10:])) <= 72


def test_of_many_classes_the_ends_are_shown():
    labels = Labels("classification", tuple(f"class {id_}" for id_ in range(77)))
    gold = [id_ for id_ in range(77) for _ in range(id_ + 1)]
    lines = Diagnosis("intents", DatasetDict(train=rows_of(gold)), labels, TOKENS, []).page().split("\n")
    shown = [line.split()[1] for line in lines if line.startswith("class ") and line[6].isdigit()]
    assert shown == [str(id_) for id_ in [*range(10), *range(67, 77)]]
    assert lines[2].endswith("(the 10 most frequent and the 10 rarest of 77)") and lines[-1] == "nothing is wrong"


def test_numbers_have_a_range_in_place_of_classes():
    parts = DatasetDict(train=rows_of([0.5, 2.0, 5.0]))
    diagnosis = Diagnosis("scores", parts, Labels("regression", ("score",)), TOKENS, [])
    assert "score: from 0.5 to 5, mean 2.5" in diagnosis.page() and "classes" not in json.loads(diagnosis.json())


def test_programs_get_one_object(diagnosis):
    facts = json.loads(diagnosis.json())
    assert facts["kind"] == "classification" and facts["rows"] == {"train": 40, "test": 4}
    assert facts["classes"] == {"train": {"bad": 30, "good": 10}, "test": {"bad": 1, "good": 2}}
    assert facts["tokens"] == {
        **{"max_seq_length": 128, "rows": 100, "of": 9973, "p50": 7, "p90": 7, "p95": 131, "p99": 131, "max": 131},
        **{"rows_cut": 0.1, "tokens_lost": pytest.approx(30 / 1940), "unknown": 0.0021},
    }
    assert [(finding["kind"], finding["rows"], finding["is_error"]) for finding in facts["findings"]] == [
        ("empty", ["train/3"], True),
        ("few", [], False),
    ]

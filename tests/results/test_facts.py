import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data.labels import Labels
from hf_scratch.data.statistics import TokenStatistics
from hf_scratch.results.facts import data_facts, peak_memory

TOKENS = TokenStatistics(rows=4, of=97, lengths=np.array([3, 5, 5, 11]), limit=7, unknown=0.0)
CASES = {
    "classification": (("a", "b", "c"), [0, 2, 2, -1], [1, 0, 2]),
    "multi_label": (("a", "b"), [[1.0, 1.0], [0.0, 1.0], [-1.0, -1.0]], [1, 2]),
}


@pytest.mark.parametrize("kind", CASES)
def test_classes_are_counted_among_the_labelled_rows(kind):
    names, answers, counts = CASES[kind]
    parts = DatasetDict(train=Dataset.from_dict({"label": answers}))
    facts = data_facts(parts, Labels(kind, names), TOKENS)
    assert facts["classes"] == {"train": counts} and facts["rows"] == {"train": len(answers)}
    assert facts["labels"] == {"kind": kind, "names": list(names)}


def test_numbers_have_no_classes_and_lengths_are_told_uncut():
    parts = DatasetDict(train=Dataset.from_dict({"label": [0.5, 2.5]}))
    facts = data_facts(parts, Labels("regression", ("score",)), TOKENS)
    assert facts["classes"] == {}
    assert facts["lengths"] == {
        **{"lengths": [3, 5, 11], "counts": [1, 2, 1], "sample": 4, "of": 97, "limit": 7},
        **{"rows_cut": 0.25, "tokens_lost": 4 / 24},
    }


def test_a_process_with_torch_holds_more_than_50_mb():
    assert 50 < peak_memory()["process_mb"] < 100_000

"""The zip against the layout that the leaderboard publishes."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from hf_scratch.data.labels import Labels
from hf_scratch.errors import UserError
from hf_scratch.results.glue_submission import FILES, answers, files_of, write_submission
from hf_scratch.results.outcome import Outcome

# File -> rows, and the answers that it may hold, as the leaderboard's sample submission has them.
LAYOUT = {
    "CoLA.tsv": (1063, {"0", "1"}),
    "SST-2.tsv": (1821, {"0", "1"}),
    "MRPC.tsv": (1725, {"0", "1"}),
    "STS-B.tsv": (1379, None),
    "QQP.tsv": (390965, {"0", "1"}),
    "MNLI-m.tsv": (9796, {"entailment", "neutral", "contradiction"}),
    "MNLI-mm.tsv": (9847, {"entailment", "neutral", "contradiction"}),
    "QNLI.tsv": (5463, {"entailment", "not_entailment"}),
    "RTE.tsv": (3000, {"entailment", "not_entailment"}),
    "WNLI.tsv": (146, {"0", "1"}),
    "AX.tsv": (1104, {"entailment", "neutral", "contradiction"}),
}
INFERENCE = Labels("classification", ("contradiction", "entailment", "neutral"))  # a checkpoint's own order


def read(path) -> dict[str, pd.DataFrame]:
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if "/" in name]
        return {name: pd.read_csv(archive.open(name), sep="\t", dtype=str) for name in archive.namelist()}


def outcome(probabilities, labels):
    return Outcome(None, labels, probabilities, np.array([], dtype=int), {})


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    """Two runs that share a zip: MNLI with its two test parts and AX, then STS-B."""
    path = tmp_path_factory.mktemp("glue") / "submission.zip"
    parts = {"test": range(9796), "test_mismatched": range(9847), "ax": range(1104)}
    mnli = {part: outcome(np.eye(3)[np.arange(len(rows)) % 3], INFERENCE) for part, rows in parts.items()}
    write_submission(path, files_of("mnli", parts), mnli)
    stsb = outcome(np.linspace(-1, 7, 1379)[:, None], Labels("regression", ("label",)))
    write_submission(path, files_of("stsb", {"train": [], "test": range(1379)}), {"test": stsb})
    return read(path)


def test_the_zip_holds_the_eleven_files_of_the_leaderboard(submission):
    assert set(submission) == set(LAYOUT)
    for name, (rows, allowed) in LAYOUT.items():
        assert list(submission[name]) == ["index", "prediction"]
        assert submission[name]["index"].tolist() == [str(row) for row in range(rows)], name
        assert allowed is None or set(submission[name].prediction) <= allowed, name


def test_answers_are_told_by_name_whatever_the_order_of_the_head(submission):
    for name in ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"):
        assert submission[name].prediction[:4].tolist() == ["contradiction", "entailment", "neutral", "contradiction"]


def test_numbers_stay_on_the_scale(submission):
    numbers = submission["STS-B.tsv"].prediction.astype(float)
    assert numbers.min() == 0 and numbers.max() == 5 and numbers.is_monotonic_increasing


@pytest.mark.parametrize(
    ("task", "names", "first", "second"),
    [
        ("cola", ("unacceptable", "acceptable"), "0", "1"),
        ("mrpc", ("equivalent", "not_equivalent"), "1", "0"),
        ("wnli", ("not_entailment", "entailment"), "0", "1"),
        ("qnli", ("not_entailment", "entailment"), "not_entailment", "entailment"),
        ("rte", ("0", "1"), "entailment", "not_entailment"),
        ("sst2", ("1", "0"), "1", "0"),
    ],
)
def test_two_classes_are_told_by_gluess_ids_or_names(task, names, first, second):
    (file,) = [file for file in FILES if file.task == task]
    assert answers(file, np.eye(2), Labels("classification", names)) == [first, second]


@pytest.mark.parametrize(
    ("task", "parts", "message"),
    [
        ("yelp_review_full", {"test": range(7)}, "--glue_submission is for GLUE, but the task is yelp_review_full"),
        ("rte", {"train": range(7)}, "needs the test part of rte, but there is none to predict; add --do_predict"),
        (
            "rte",
            {"test": range(7)},
            r"the test part of rte has 7 rows, but RTE.tsv must answer all 3,000; .* --max_predict_samples",
        ),
    ],
)
def test_what_cannot_be_submitted_is_refused(task, parts, message):
    with pytest.raises(UserError, match=message):
        files_of(task, parts)

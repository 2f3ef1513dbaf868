"""The files of a run, read back by the libraries that users read them with."""

import json
import re
import subprocess
import sys

import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.results import files
from hf_scratch.results.files import PACKAGES, data_fingerprint, environment, git_revision, write_record

TEXTS = ["plain", 'said "no",\ttwice', "two\nlines", ""]
ROWS = Dataset.from_dict({"id": [f"test/{row}" for row in range(4)], "text": TEXTS, "label": [1, 0, -1, 1]})


def test_the_record_grows(tmp_path):
    write_record(tmp_path, seed=3, command=["run", "--x"])
    write_record(tmp_path, seconds=1.5, seed=5)
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 5, "command": ["run", "--x"], "seconds": 1.5}


def test_the_environment_names_versions_and_hardware():
    facts = environment()
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts["versions"]) == set(PACKAGES)
    assert facts["versions"]["datasets"] == sys.modules["datasets"].__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts["started"])


def test_a_package_that_is_not_installed_has_no_version():
    assert files.version("no-such-package") is None


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with a commit, and the module's file in a folder of it."""

    def git(*words):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "files.py").write_text("1")
    (tmp_path / "readme").write_text("1")
    git("init", "-q")
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    return git


def test_the_revision_is_the_commit_and_says_if_it_was_changed(checkout, tmp_path):
    checkout("add", ".")
    checkout("commit", "-qm", "x")
    checkout("tag", "-am", "x", "v1")
    commit = checkout("rev-parse", "HEAD")
    assert git_revision() == commit
    (tmp_path / "readme").write_text("2")
    assert git_revision() == f"{commit}-dirty"


def test_a_checkout_that_does_not_hold_this_file_is_somebody_elses(checkout):
    checkout("add", "readme")
    checkout("commit", "-qm", "x")
    assert git_revision() is None


def test_outside_a_checkout_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    assert git_revision() is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert git_revision() is None


def test_equal_rows_have_one_fingerprint_wherever_they_come_from(tmp_path):
    ROWS.to_parquet(tmp_path / "rows.parquet")
    again = Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    parts = DatasetDict(train=ROWS, test=ROWS.select([1]))
    with_tokens = DatasetDict(test=again.select([1]), train=again.add_column("input_ids", [[1]] * 4))
    assert data_fingerprint(parts) == data_fingerprint(with_tokens)
    assert re.fullmatch("[0-9a-f]{64}", data_fingerprint(parts))


@pytest.mark.parametrize("column", ["id", "text", "text_pair", "label"])
def test_any_other_cell_is_another_fingerprint(column):
    rows = ROWS.add_column("text_pair", list("pqrs"))
    cells = rows[column][:]
    cells[2] = 0 if column == "label" else "other"
    changed = rows.remove_columns(column).add_column(column, cells)
    assert data_fingerprint(DatasetDict(train=rows)) != data_fingerprint(DatasetDict(train=changed))


def test_the_same_rows_in_another_part_are_another_fingerprint():
    assert data_fingerprint(DatasetDict(train=ROWS)) != data_fingerprint(DatasetDict(test=ROWS))

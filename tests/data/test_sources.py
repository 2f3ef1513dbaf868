"""Every kind of file, package:// addresses, folders, and a Hub that is not there."""

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_scratch.data import sources
from hf_scratch.data.sources import deepest_cause, load_file, load_splits, resolve_address
from hf_scratch.data.tasks import Task
from hf_scratch.errors import UserError

ROOT = Path(__file__).parents[2]
ROWS = {"text": ["a fine film", 'he said "no", twice', "träge\nund lang"], "label": [2, 0, 1]}


def write(path, rows=ROWS):
    table, name = pd.DataFrame(rows), path.name.removesuffix(".gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    elif name.endswith((".json", ".jsonl")):
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, sep="\t" if name.endswith(".tsv") else ",", index=False)
    return str(path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that cannot be imported without its being noticed."""
    folder = tmp_path / "site" / "tiny_reviews"
    write(folder / "data" / "reviews.csv")
    write(folder / "data" / "test.csv")
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


@pytest.mark.parametrize("end", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "tsv.gz", "json.gz", "jsonl.gz", "CSV"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, end):
    if end == "CSV":
        (tmp_path / "rows.CSV").write_text(pd.DataFrame(ROWS).to_csv(index=False), encoding="utf-8")
        assert load_file(str(tmp_path / "rows.CSV")).to_dict() == ROWS
    else:
        assert load_file(write(tmp_path / f"rows.{end}")).to_dict() == ROWS


def test_a_json_list_of_rows_is_read_too(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]))
    assert load_file(str(path)).to_dict() == {"text": ["a", "b"], "label": ["x", "y"]}


@pytest.mark.parametrize("end", ["txt", "txt.gz"])
def test_a_text_file_has_one_text_a_line(tmp_path, end):
    content = b"one\ntwo\n"
    path = tmp_path / f"lines.{end}"
    path.write_bytes(gzip.compress(content, mtime=0) if end.endswith("gz") else content)
    assert load_file(str(path)).to_dict() == {"text": ["one", "two"]}


def test_words_that_pandas_takes_for_missing_are_words(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("text,label\nNA,None\nnull,no\n,nan\nNaN,\n")
    assert load_file(str(path)).to_dict() == {"text": ["NA", "null", None, "NaN"], "label": ["None", "no", "nan", None]}


def test_a_file_that_changed_is_read_again(tmp_path):
    path = tmp_path / "rows.csv"
    assert len(load_file(write(path))) == 3
    write(path, {"text": ["x"], "label": [1]})
    os.utime(path, (1_000_000_007, 1_000_000_007))
    assert load_file(str(path)).to_dict() == {"text": ["x"], "label": [1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "the file has no rows, but a split needs some; check how it was written"),
        ("blank.csv", b" \n\n", "the file has no rows"),
        ("header.csv", b"text,label\n", "the file has no rows"),
        ("empty.jsonl", b"", "the file has no rows"),
        ("empty.parquet", b"", "the file has no rows"),
        ("empty.txt", b"", "the file has no rows"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "the file has no rows"),
        ("noise.csv", bytes(range(128, 256)), "line 1 is not in UTF-8"),
        (
            "latin.csv",
            "text,label\ncafé,1\n".encode("latin-1"),
            r"line 2 is not in UTF-8 \(as Latin-1 it reads 'café,1'\); convert it",
        ),
        ("ragged.csv", b"text,label\na,1\nb,0,5,6\n", r"line 3 has 4 cells, but the header 2; put a text"),
        ("noise.parquet", b"no parquet", r"begins with b'no parquet', but a file that ends in \.parquet does not"),
        ("noise.json", b"{nope", r"cannot be read as \.json \(JSON parse error"),
        ("noise.csv.gz", b"no gzip", r"begins with b'no gzip', but a file that ends in \.gz does not"),
        ("rows.xlsx", b"x", r"files that end in \.xlsx are not read; rename or convert it to \.csv"),
        ("rows", b"x", "files that end in nothing are not read"),
        ("rows.gz", b"x", r"files that end in \.gz are not read"),
        ("rows.parquet.gz", b"x", r"files that end in \.parquet\.gz are not read; .*all but parquet also \.gz"),
    ],
)
def test_a_file_that_gives_no_rows_says_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {message}"):
        load_file(str(path))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv: no such file; give the path of a file of these kinds: \.csv"):
        load_file(str(tmp_path / "nothing.csv"))
    with pytest.raises(UserError, match=r"is a folder, but a split is one file; .*--dataset_name"):
        load_file(str(tmp_path))


def test_errors_of_the_readers_are_told_once(tmp_path, caplog, capfd):
    path = tmp_path / "ragged.csv"
    path.write_text("text,label\na,1\nb,0,5,6\n")
    with pytest.raises(UserError, match="line 3 has 4 cells"):
        load_splits(Task("t", files={"train": str(path)}))
    assert caplog.text == "" and "".join(capfd.readouterr()) == ""


def test_an_address_inside_a_package_is_found_without_importing_it(package):
    assert resolve_address("package://tiny_reviews/data/reviews.csv") == str(package / "data" / "reviews.csv")
    assert resolve_address("package://tiny_reviews") == str(package)
    assert load_file("package://tiny_reviews/data/reviews.csv").to_dict() == ROWS
    assert load_splits(Task("t", dataset="package://tiny_reviews/data"))["test"].to_dict() == ROWS
    assert "tiny_reviews" not in sys.modules


@pytest.mark.parametrize("address", ["reviews.csv", "/a/b", "owner/name", "https://x.example/package://y"])
def test_other_addresses_are_left_as_they_are(address):
    assert resolve_address(address) == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("package://no_such_package/x.csv", "no installed package is called 'no_such_package'; .*install it first"),
        ("package://tiny-reviews/x.csv", "no installed package is called 'tiny-reviews'; .*the name that Python imports"),
        ("package://a.b/x.csv", "no installed package is called 'a.b'"),
        ("package:///x.csv", "no installed package is called ''"),
        ("package://__main__/x.csv", "no installed package is called '__main__'"),
        ("package://json.py/x.csv", "no installed package is called 'json.py'"),
        ("package://this/x.csv", "no installed package is called 'this'"),  # a module, not a package
        ("package://tiny_reviews/dat/x.csv", "the package holds no 'dat/x.csv'; it holds data; mend the path"),
    ],
)
def test_an_address_that_leads_nowhere_says_what_is_there(package, address, message):
    with pytest.raises(UserError, match=f"{address}: {message}"):
        resolve_address(address)


def test_the_program_that_runs_is_no_package(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as in `python run_glue_style.py`
    with pytest.raises(UserError, match="no installed package is called '__main__'"):
        resolve_address("package://__main__/x.csv")


def test_a_tasks_rows_are_the_ones_with_its_value(tmp_path):
    rows = {"text": list("abcde"), "label": [0, 1, 0, 1, 0], "source": ["x", "y", "y", "x", "y"]}
    files = {"train": write(tmp_path / "rows.csv", rows)}
    assert load_splits(Task("t", files=files, rows=("source", "y")))["train"]["text"][:] == ["b", "c", "e"]


def test_a_folder_is_a_data_set_and_keeps_its_class_names(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["cold", "warm"])})
    for split, size in (("train", 5), ("test", 3)):
        rows = {"text": list("abcde")[:size], "label": [0, 1, 1, 0, 1][:size]}
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / f"{split}.parquet")
    splits = load_splits(Task("t", dataset=str(tmp_path)))
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 5, "test": 3}
    assert splits["test"].features["label"].names == ["cold", "warm"]


def test_a_folder_without_data_says_so(tmp_path):
    (tmp_path / "notes.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"cannot be loaded \(.*it should hold files of these kinds: \.csv"):
        load_splits(Task("t", dataset=str(tmp_path)))


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "~/nothing", "a/b/c"])
def test_a_path_is_never_looked_for_on_the_hub(name, monkeypatch):
    monkeypatch.setattr(sources, "hub_is_reachable", lambda: pytest.fail("asked the Hub"))
    with pytest.raises(UserError, match=f"{name}: no such folder; give the folder of a data set, or owner/name"):
        load_splits(Task("t", dataset=name))


def test_offline_a_hub_name_fails_at_once():
    with pytest.raises(UserError, match=r"data set 'owner/stars': the Hub cannot be reached, .*; connect and run once"):
        load_splits(Task("t", dataset="owner/stars"))


def test_a_name_that_the_hub_does_not_know(monkeypatch):
    def refuse(*_):
        try:
            raise FileNotFoundError("no\n such data set")
        except FileNotFoundError as error:
            raise ValueError("outer") from error

    monkeypatch.setattr(sources, "hub_is_reachable", lambda: True)
    monkeypatch.setattr(sources, "load_dataset", refuse)
    with pytest.raises(
        UserError, match=r"'owner/stars' cannot be loaded \(no such data set\); check its name at huggingface.co"
    ):
        load_splits(Task("t", dataset="owner/stars"))


@pytest.fixture
def online(monkeypatch):
    """As if the suite were not offline; what is set meanwhile is undone."""
    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources.datasets.config, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda endpoint: monkeypatch.setattr(sources.constants, "ENDPOINT", endpoint)


def test_an_unfriendly_answer_is_an_answer(online):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        online(f"http://127.0.0.1:{server.server_port}")
        assert sources.hub_is_reachable.__wrapped__()
        thread.join()
    assert not sources.constants.HF_HUB_OFFLINE


def test_without_an_answer_the_libraries_work_from_their_caches(online):
    online("http://127.0.0.1:9")
    assert not sources.hub_is_reachable.__wrapped__()
    assert sources.constants.HF_HUB_OFFLINE and sources.datasets.config.HF_HUB_OFFLINE


def test_who_asked_to_be_offline_is_not_asked_again(online, monkeypatch):
    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the Hub"))
    assert not sources.hub_is_reachable.__wrapped__()


@pytest.mark.slow
def test_a_hub_that_refuses_connections_fails_within_seconds(tmp_path):
    """In a process of its own: what is reachable is asked once a process. Port 9 answers nobody."""
    program = """
from hf_scratch.data.sources import hub_is_reachable, load_splits
from hf_scratch.data.tasks import Task
from hf_scratch.errors import UserError
import time
start = time.perf_counter()
try:
    load_splits(Task("t", dataset="owner/stars"))
except UserError as error:
    print(error, hub_is_reachable(), time.perf_counter() - start, sep="|")
"""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    message, reachable, seconds = done.stdout.strip().split("|")
    assert "the Hub cannot be reached" in message and "package://NAME/PATH" in message
    assert reachable == "False" and float(seconds) < 20
    assert "Traceback" not in done.stderr and "Retrying" not in done.stderr


def test_the_deepest_cause_is_told_on_one_line():
    try:
        try:
            raise KeyError
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as outer:
        assert deepest_cause(outer) == "KeyError"
    assert deepest_cause(ValueError("two\n  lines")) == "two lines"

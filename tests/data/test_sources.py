"""Every kind of file, package:// addresses, folders, and a Hub that is not there."""

import bz2
import errno
import gzip
import http.server
import json
import lzma
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_scratch.data import file_faults, sources
from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.columns import find_columns, to_examples
from hf_scratch.data.labels import Labels
from hf_scratch.data.sources import (
    Access,
    about_diagnostics,
    deepest_cause,
    load_data_set,
    load_file,
    load_splits,
    resolve_address,
    settle_splits,
)
from hf_scratch.data.splits import choose_parts
from hf_scratch.data.tasks import Task, choose_task
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


@pytest.mark.parametrize("end", ["csv.bz2", "jsonl.xz", "tsv.gz", "txt.bz2", "csv.zip"])
def test_what_is_compressed_is_unpacked(tmp_path, end):
    kind = end.partition(".")[0]
    plain = Path(write(tmp_path / f"plain.{kind}")) if kind != "txt" else tmp_path / "plain.txt"
    if kind == "txt":
        plain.write_text("one\ntwo\n")
    path = tmp_path / f"rows.{end}"
    if end.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, "rows.csv")
    else:
        path.write_bytes({"bz2": bz2, "xz": lzma, "gz": gzip}[end.partition(".")[2]].compress(plain.read_bytes()))
    assert load_file(str(path)).to_dict() == ({"text": ["one", "two"]} if kind == "txt" else ROWS)


def test_what_needs_another_package_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(file_faults.importlib.util, "find_spec", lambda _: None)
    (tmp_path / "rows.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(UserError, match=r"rows\.csv\.zst: is unpacked by zstandard, which is not installed; pip install"):
        load_file(str(tmp_path / "rows.csv.zst"))


def test_words_that_pandas_takes_for_missing_are_words(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("text,label\nNA,None\nnull,no\n,nan\nNaN,\n")
    assert load_file(str(path)).to_dict() == {"text": ["NA", "null", None, "NaN"], "label": ["None", "no", "nan", None]}


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_a_file_that_changed_is_read_again_even_with_the_same_date(tmp_path, name):
    """`datasets` itself knows a file by its path and date."""
    for text in ("one", "two"):
        path = Path(write(tmp_path / name, {"text": [text], "label": [1]}))
        os.utime(path, (1_000_000_007, 1_000_000_007))
        assert load_file(str(path)).to_dict() == {"text": [text], "label": [1]}


def test_a_folder_that_changed_is_read_again_even_with_the_same_date(tmp_path):
    for text in ("one", "two"):
        os.utime(write(tmp_path / "train.csv", {"text": [text], "label": [1]}), (1_000_000_007, 1_000_000_007))
        assert load_splits(Task("t", dataset=str(tmp_path)))["train"]["text"][:] == [text]


def test_what_is_kept_is_read_again_if_asked(tmp_path):
    access = Access(cache_dir=str(tmp_path / "cache"))
    path = write(tmp_path / "rows.csv")
    kept = Path(load_file(path, access).cache_files[0]["filename"])
    assert kept.is_relative_to(tmp_path / "cache") and load_file(path, access).to_dict() == ROWS
    before = kept.stat().st_mtime_ns
    load_file(path, access)
    assert kept.stat().st_mtime_ns == before
    load_file(path, Access(cache_dir=str(tmp_path / "cache"), overwrite=True))
    assert kept.stat().st_mtime_ns > before


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
        (
            "shifted.csv",
            b"text,label\na film, fine,1\nan end, dull,0\n",
            "its rows have more cells than its header, so that every",
        ),
        ("shifted.tsv", b"text\tlabel\na\tb\tc\td\n", "its rows have more cells than its header"),
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
    def refuse(*_, **__):
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


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def load(*args, **kwargs):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("while the rows were kept") from error

    monkeypatch.setattr(Access, "load", load)
    write(tmp_path / "train.csv")
    for read in (lambda: load_file(str(tmp_path / "train.csv")), lambda: load_data_set(Task("mine", dataset=str(tmp_path)))):
        with pytest.raises(OSError, match="No space left") as caught:
            read()
        assert caught.value.errno == errno.ENOSPC


def test_the_deepest_cause_is_told_on_one_line():
    try:
        try:
            raise KeyError
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as outer:
        assert deepest_cause(outer) == "KeyError"
    assert deepest_cause(ValueError("two\n  lines")) == "two lines"


# Folders that mirror data sets of the Hub, read by the real `load_dataset`

STARS = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]


@pytest.fixture
def yelp(tmp_path):
    """yelp_review_full as the Hub lays it out: shards of parquet in a configuration's folder, and a README.md that says so."""
    folder = tmp_path / "yelp_review_full"
    (folder / "yelp_review_full").mkdir(parents=True)
    features = Features({"label": ClassLabel(names=STARS), "text": Value("string")})
    for split, shards, size in (("train", 3, 35), ("test", 1, 15)):
        for shard in range(shards):
            cells = {"label": [row % 5 for row in range(size)], "text": [f"{split} {shard} {row}" for row in range(size)]}
            name = f"yelp_review_full/{split}-{shard:05}-of-{shards:05}.parquet"
            Dataset.from_dict(cells, features=features).to_parquet(folder / name)
    names = "".join(f"          '{id_}': {name}\n" for id_, name in enumerate(STARS))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: yelp_review_full\n  default: true\n  data_files:\n"
        "  - split: train\n    path: yelp_review_full/train-*\n  - split: test\n    path: yelp_review_full/test-*\n"
        "dataset_info:\n  config_name: yelp_review_full\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        f"        names:\n{names}  - name: text\n    dtype: string\n---\n"
    )
    return str(folder)


@pytest.mark.parametrize("flags", [{}, {"dataset_config_name": "yelp_review_full"}, {"task_name": "yelp_review_full"}])
def test_yelp_as_the_hub_lays_it_out(yelp, flags):
    task = choose_task(DataArguments(dataset_name=yelp, **flags))
    splits = load_splits(task)
    examples, labels = to_examples(splits, find_columns(splits, task))
    assert {split: len(rows) for split, rows in examples.items()} == {"train": 105, "test": 15}
    assert labels == Labels("ordinal", tuple(STARS))
    assert examples["test"][7] == {"text": "test 0 7", "label": 2, "id": "test/7"}


@pytest.fixture
def glue(tmp_path):
    """A mirror of GLUE with nothing but a folder a task, and no names of classes."""
    rows = {"premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"], "label": [0, 1, 2], "idx": [0, 1, 2]}
    hidden = rows | {"label": [-1, -1, -1]}
    for name, cells in {
        **{f"mnli/{split}": rows for split in ("train", "validation_matched", "validation_mismatched")},
        **{f"{split}": hidden for split in ("mnli/test_matched", "mnli/test_mismatched", "ax/test")},
    }.items():
        (tmp_path / "glue" / name).parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(cells).to_parquet(tmp_path / "glue" / f"{name}.parquet")
    return tmp_path / "glue"


def test_mnli_from_a_mirror_has_all_its_parts_and_the_names_of_the_table(glue):
    task = choose_task(DataArguments(task_name="mnli", dataset_name=str(glue)))
    splits = load_splits(task)
    examples, labels = to_examples(splits, find_columns(splits, task))
    assert labels.names == ("entailment", "neutral", "contradiction") and labels.kind == "classification"
    parts = choose_parts(examples, DataArguments(max_predict_samples=2), labels, selects=False, evaluates=True)
    sizes = {"train": 3, "validation": 3, "validation_mismatched": 3, "test": 2, "test_mismatched": 2, "ax": 2}
    assert {part: len(rows) for part, rows in parts.items()} == sizes
    assert not labels.known(parts["ax"]).any() and parts["ax"][0]["id"].startswith("ax/")


def test_a_mirror_of_one_task_needs_no_folder_for_it_and_no_diagnostics(glue):
    task = choose_task(DataArguments(task_name="mnli", dataset_name=str(glue / "mnli")))
    splits = load_splits(task)
    assert set(splits) == {"train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"}
    assert about_diagnostics(splits, task).endswith(
        "has no configuration 'ax' that can be read: the diagnostic rows of mnli are not predicted"
    )


@pytest.mark.parametrize("flags", [{"task_name": "mnli"}, {"task_name": "mnli", "remove_splits": "ax"}, {"task_name": "rte"}])
def test_nothing_is_said_of_diagnostics_that_are_there_or_unwanted(glue, flags):
    task = choose_task(DataArguments(dataset_name=str(glue), **flags))
    splits = load_splits(task) if task.diagnostics else DatasetDict()
    assert about_diagnostics(splits, task) is None


@pytest.mark.parametrize(
    ("flags", "languages"),
    [
        ({}, ("en", "en")),
        ({"language": "de"}, ("de", "de")),
        ({"language": "de", "train_language": "en"}, ("en", "de")),
        ({"dataset_config_name": "de"}, ("de", "de")),
    ],
)
def test_xnli_is_trained_in_one_language_and_judged_in_the_same_or_another(tmp_path, flags, languages):
    for language in ("en", "de"):
        (tmp_path / language).mkdir()
        for split in ("train", "validation", "test"):
            text = f"{language} {split}"
            cells = {"premise": [text] * 3, "hypothesis": ["x"] * 3, "label": [0, 1, 2]}
            Dataset.from_dict(cells).to_parquet(tmp_path / language / f"{split}-00000-of-00001.parquet")
    task = choose_task(DataArguments(task_name="xnli", dataset_name=str(tmp_path), **flags))
    splits = load_splits(task)
    train, held_out = languages
    found = {split: rows["premise"][0] for split, rows in splits.items()}
    assert found == {"train": f"{train} train", "validation": f"{held_out} validation", "test": f"{held_out} test"}
    assert to_examples(splits, find_columns(splits, task))[1].names == ("entailment", "neutral", "contradiction")


def test_a_mirror_without_the_configuration_says_what_it_has(glue):
    with pytest.raises(UserError, match=r"cannot be loaded \(there is no configuration 'cola'; its folders are ax, mnli\)"):
        load_splits(choose_task(DataArguments(task_name="cola", dataset_name=str(glue))))


# Splits and columns by other names


def settled(**flags):
    splits = DatasetDict({name: Dataset.from_dict({"text": [name], "x": [1]}) for name in ("full", "small", "dev", "train")})
    return settle_splits(splits, choose_task(DataArguments(dataset_name="t", **flags)))


def test_splits_are_renamed_and_left_out():
    splits = settled(train_split_name="full", validation_split_name="dev", remove_splits="small", remove_columns="x")
    assert {name: rows.to_dict() for name, rows in splits.items()} == {
        "train": {"text": ["full"]},
        "validation": {"text": ["dev"]},
    }
    assert set(settled()) == {"full", "small", "dev", "train"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"train_split_name": "ful"}, r"--train_split_name ful: the data have the parts full, small, .* Did you mean full\?"),
        ({"remove_splits": "big"}, "--remove_splits big: the data have the parts"),
        ({"remove_columns": "y"}, "--remove_columns y: there is no such column"),
    ],
)
def test_a_split_or_column_that_is_not_there(flags, message):
    with pytest.raises(UserError, match=message):
        settled(**flags)

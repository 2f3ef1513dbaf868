import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from hf_scratch.errors import UserError
from hf_scratch.results import plots
from hf_scratch.results.report import write_report
from tests.runs import make_run

KINDS = ("classification", "ordinal", "multi_label", "regression")
# What HTML5 does not ask to be closed.
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """The tags, texts and addresses of a page; complains about tags that do not nest, and ids that occur twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.seen, self.words, self.addresses = [], set(), set(), [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.seen.add(tag)
        self.addresses += [attrs[name] for name in ("src", "href", "xlink:href") if name in attrs]
        assert attrs.get("id") not in self.ids, f"twice: {attrs['id']}"
        self.ids |= {attrs["id"]} if "id" in attrs else set()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of each kind, and its page."""
    folder = tmp_path_factory.mktemp("runs")
    return {kind: (make_run(folder / kind, kind), write_report(str(folder / kind)).read_text("utf-8")) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_and_asks_for_nothing_outside(made, kind):
    folder, text = made[kind]
    page = Page(text)
    assert "svg" in page.seen and not page.seen & {"script", "b-", "img", "iframe"}
    assert all(address == "data:," or address.startswith("#") for address in page.addresses)
    assert not re.findall(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)
    assert {path.name for path in folder.joinpath("report").iterdir()} >= {"report.html", "headline.png", "loss.png"}
    assert "Not shown" not in text and "It is better." in text


def test_a_text_is_shown_as_it_is_and_nothing_in_it_is_obeyed(made):
    _, text = made["classification"]
    shown = "".join(Page(text).words)
    assert '<script>alert("x")</script> & \\x1b[31m\\u202e $x^2$ | [a](b)' in shown
    assert "\x1b" not in text and "\u202e" not in text and "<b>good</b>" in shown


def test_the_numbers_are_those_of_the_files(made):
    _, text = made["classification"]
    shown = re.sub(r"\s+", " ", " ".join(Page(text).words))
    assert "71.0 % accuracy, 95% interval 66.0 to 76.0" in shown and "test part, 60 rows" in shown
    assert "temperature of 1.70" in shown and "983 MB" in shown and "12,347" in shown and "97 train" in shown
    assert "'--train_file=/home/me/my rows.csv'" in shown


def test_the_counts_of_the_confusions_add_up(made):
    folder, text = made["ordinal"]
    cells = [int(count) for count in re.findall(r'<td[^>]*style="--s[^>]*>(\d+)', text)]
    known = pd.read_parquet(folder / "predictions.parquet").dropna(subset="label")
    assert sum(cells) == len(known) == 60
    assert sorted(cells) == sorted(known.groupby(["label", "prediction"]).size())


def test_the_same_files_give_the_same_page(made):
    folder, text = made["classification"]
    assert write_report(str(folder)).read_text("utf-8") == text


def test_a_shared_page_has_no_path_of_this_machine(unseen, made, tmp_path):
    shutil.copytree(made["classification"][0], tmp_path / "run")
    text = write_report(str(tmp_path / "run"), shared=True).read_text("utf-8")
    assert "/home/me" not in text and "run_glue_style.py" in text and "my rows.csv" in text and str(tmp_path) not in text


@pytest.fixture
def unseen(monkeypatch):
    """Leave out what is slow, putting pictures on paper, where a test looks at the rest."""
    monkeypatch.setattr(plots, "png", lambda *_: None)
    monkeypatch.setattr(plots, "svg", lambda *_: "<svg></svg>")


@pytest.mark.parametrize("name", ["run.json", "all_results.json", "trainer_state.json", "config.json", "predictions.parquet"])
@pytest.mark.parametrize("contents", [None, b"[]", b'{"model": '])
def test_a_missing_or_broken_file_is_named_and_the_rest_is_shown(unseen, made, tmp_path, name, contents):
    shutil.copytree(made["classification"][0], tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    if contents is None:
        (tmp_path / "run" / name).unlink()
    else:
        (tmp_path / "run" / name).write_bytes(contents)
    text = write_report(str(tmp_path / "run")).read_text("utf-8")
    Page(text)
    assert "<h2>Costs</h2>" in text and name in text


@pytest.mark.parametrize("value", [None, "x", {"x": None}])
def test_a_record_of_another_time_does_not_fail_the_page(unseen, made, tmp_path, value):
    """Every entry of run.json in turn is something else than today."""
    folder = made["classification"][0]
    record = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "run" / "run.json").write_text(json.dumps(dict.fromkeys(record, value)))
    Page(write_report(str(tmp_path / "run")).read_text("utf-8"))


@pytest.mark.parametrize("value", [None, "x", 0])
def test_tables_of_another_time_do_not_fail_the_page_either(unseen, made, tmp_path, value):
    """Every value inside every table of run.json is something else than today."""
    folder = made["classification"][0]
    record = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    record |= {key: dict.fromkeys(table, value) for key, table in record.items() if isinstance(table, dict) and key != "labels"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    Page(write_report(str(tmp_path / "run")).read_text("utf-8"))


def test_a_run_before_this_report_has_a_page_too(unseen, made, tmp_path):
    """Of its record only what the first version wrote."""
    folder = made["classification"][0]
    record = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "run" / "run.json").write_text(json.dumps({key: record[key] for key in ("command", "versions", "seconds")}))
    text = write_report(str(tmp_path / "run")).read_text("utf-8")
    assert "71.0" in text and "run.json does not say which rows were read" in text and "Confusions" in text


def test_a_reader_is_warned_of_a_run_that_is_no_good(unseen, tmp_path):
    folder = make_run(
        tmp_path / "run",
        collapsed="collapsed by step 200: one class",
        marks={"selected": "It was selected on what is reported."},
    )
    table = pd.read_parquet(folder / "predictions.parquet")
    table["prediction"] = "bad"
    table.to_parquet(folder / "predictions.parquet")
    text = write_report(str(folder)).read_text("utf-8")
    assert "collapsed by step 200" in text and "selected on what is reported." in text and "is predicted for every row" in text


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run .* give the --output_dir of one"):
        write_report(str(tmp_path))


def test_a_run_whose_test_rows_have_no_labels_is_shown_by_its_validation_part(unseen, tmp_path):
    folder = make_run(tmp_path / "run", reported="validation", rows={"train": 97, "validation": 61, "test": 13})
    table = pd.read_parquet(folder / "predictions.parquet")
    table.to_parquet(folder / "predictions_validation.parquet")
    table.assign(label=None, text="a test row").to_parquet(folder / "predictions.parquet")
    results = json.loads((folder / "all_results.json").read_text())
    results |= {key.replace("test_", "eval_"): value for key, value in results.items()}
    (folder / "all_results.json").write_text(json.dumps(results))
    text = write_report(str(folder)).read_text("utf-8")
    assert "validation part, 60 rows" in text and "here is of the validation part" in text
    assert "Not shown" not in text and "a test row" not in text

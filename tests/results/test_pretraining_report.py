import json
import re

import pytest

from hf_scratch.results import plots
from hf_scratch.results.report import write_report
from tests.results.test_report import Page
from tests.runs import EVIL, make_pretraining


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Page(text).words))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pre-training, and its page."""
    folder = make_pretraining(tmp_path_factory.mktemp("runs") / "run")
    return folder, write_report(str(folder)).read_text("utf-8")


def test_the_page_is_whole_and_asks_for_nothing_outside(made):
    folder, text = made
    page = Page(text)
    assert "svg" in page.seen and not page.seen & {"script", "b-", "img", "iframe"}
    assert all(address == "data:," or address.startswith("#") for address in page.addresses)
    assert "Not shown" not in text and "could not be read" not in text
    pictures = {"loss", "mlm_loss", "mlm_accuracy", "nsp_accuracy", "learning_rate", "probe"}
    assert {path.stem for path in folder.joinpath("report").iterdir()} == pictures | {"report"}


def test_the_numbers_are_those_of_the_files(made):
    shown = words_of(made[1])
    assert "masked tokens: loss 2.583 4.605" in shown and "next sentence: accuracy 88 % 50 %" in shown  # ln 100, a coin
    assert "pseudo-perplexity 13.7 100" in shown and "on 61 held-out inputs" in shown
    assert "to learn from 97 211 3,001" in shown and "15% of the tokens, whole words" in shown and "2,114" in shown
    assert "tosses a coin for the sentences" in shown and "80% masked, 10% replaced, 10% left" in shown
    assert "1.5 epochs" in shown and "75 %" in shown and "made_up" in shown
    assert '<script>alert("x")</script> & \\x1b[31m\\u202e' in shown


def test_a_page_of_replaced_tokens_tells_how_they_came_and_mixes_no_losses(unseen, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(plots, "curves", lambda lines, words: drawn.setdefault(words, set(lines)))
    folder = make_pretraining(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["arguments"]["pretrain"]["objective"] = "mlm+rtd"
    (folder / "run.json").write_text(json.dumps(record))
    results = json.loads((folder / "all_results.json").read_text())
    results = {name: value for name, value in results.items() if "nsp" not in name}
    (folder / "all_results.json").write_text(json.dumps(results | {"eval_rtd_loss": 0.25, "eval_rtd_recall": 0.5}))
    shown = words_of(write_report(str(folder)).read_text("utf-8"))
    assert drawn["loss"] == {"training"}
    assert "whole words: half masked, half in the generator's words" in shown and "10% left" not in shown
    assert "replaced tokens: loss 0.25 –" in shown and "replaced tokens: recall 50 % –" in shown and "a coin" not in shown


def test_the_same_files_give_the_same_page_and_a_shared_one_has_no_path(made):
    folder, text = made
    assert write_report(str(folder)).read_text("utf-8") == text and "/home/me" in text
    assert "/home/me" not in write_report(str(folder), shared=True).read_text("utf-8")


@pytest.fixture
def unseen(monkeypatch):
    """Leave out what is slow, putting pictures on paper, where a test looks at the rest."""
    monkeypatch.setattr(plots, "png", lambda *_: None)
    monkeypatch.setattr(plots, "svg", lambda *_: "<svg></svg>")


@pytest.mark.parametrize("value", [None, "x", 0, {}, []])
def test_a_record_of_another_time_does_not_fail_the_page(unseen, tmp_path, value):
    folder = make_pretraining(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record = dict.fromkeys(record, value) | {"arguments": {"pretrain": {}}, "corpus": {"to learn from": value}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "probes.json").write_text(json.dumps([value, {"step": 1, "probe_accuracy": value}]))
    assert "<h2>Text</h2>" in write_report(str(folder)).read_text("utf-8")


@pytest.mark.parametrize("name", ["all_results.json", "trainer_state.json", "config.json", "probes.json"])
def test_a_missing_file_costs_its_part_of_the_page_only(unseen, tmp_path, name):
    folder = make_pretraining(tmp_path / "run")
    (folder / name).unlink()
    text = write_report(str(folder)).read_text("utf-8")
    Page(text)
    assert "<h2>Costs</h2>" in text and (name == "probes.json" or f"{name}: is not there" in text)
    assert EVIL not in text

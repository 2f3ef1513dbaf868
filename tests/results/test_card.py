import json
import re

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard, metadata_eval_result
from huggingface_hub.repocard_data import model_index_to_eval_results
from markdown_it import MarkdownIt

from hf_scratch.results import plots
from hf_scratch.results.card import markdown, write_card
from hf_scratch.results.report import write_report
from hf_scratch.screen import plain
from tests.runs import EVIL, make_run


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A card, and the run's folder."""
    monkeypatch.setattr(plots, "png", lambda _, path: path.write_bytes(b""))

    def card(kind="classification", config=None, pictures=False, **record):
        folder = make_run(tmp_path / "my_run", kind, **record)
        if config:
            (folder / "config.json").write_text(json.dumps(config))
        if pictures:
            write_report(str(folder))
        write_card(str(folder))
        return ModelCard.load(folder / "README.md")

    return card


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").enable("strikethrough").render(text)


def test_the_hub_can_read_the_results(write):
    """Its validator wants a task, a data set and a number for each metric, and known words for the rest."""
    card = write(model="scratch", task="sst2")
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0" and data["language"] == "en" and data["datasets"] == ["nyu-mll/glue"]
    assert (data["library_name"], data["pipeline_tag"], data["tags"]) == ("transformers", "text-classification", ["hf_scratch"])
    (model,) = data["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "text-classification" and model["name"] == "scratch"
    assert result["dataset"] == {"type": "nyu-mll/glue", "name": "sst2", "split": "test"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.71)]
    name, evaluated = model_index_to_eval_results(data["model-index"])
    assert name == "scratch" and len(evaluated) == 1
    theirs = metadata_eval_result(
        model_pretty_name="scratch",
        task_pretty_name=None,
        task_id="text-classification",
        metrics_pretty_name="accuracy",
        metrics_id="accuracy",
        metrics_value=0.71,
        dataset_pretty_name="sst2",
        dataset_id="nyu-mll/glue",
        dataset_split="test",
    )
    (metric,) = theirs["model-index"][0]["results"][0]["metrics"]
    assert result["metrics"] == [{key: metric[key] for key in ("type", "value", "name")}]


@pytest.mark.parametrize("kind", ["classification", "ordinal", "multi_label", "regression"])
def test_nothing_in_a_name_is_obeyed_and_all_of_it_is_shown(write, kind):
    card = write(kind)
    page = rendered(card.text)
    assert "<script" not in page and "<b>" not in page and 'href="b"' not in page
    assert 'alert("x")' in page.replace("&quot;", '"') and "$x^2$ | [a](b)" in page
    assert "\x1b" not in str(card) and "\u202e" not in str(card)
    assert page.count("<table>") == (2 if kind == "regression" else 3)


@pytest.mark.parametrize(
    "text", [EVIL, "## x", "---", "# x", "1. x", "- x", "a\n\n# b", "**a** _b_ `c`", "![x](y)", "<!--", "| a | b", "~~x~~"]
)
def test_every_text_is_a_plain_paragraph(text):
    seen = re.sub(r"<[^>]+>", "", rendered(markdown(text)))
    for sign, entity in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("&", "&amp;")):
        seen = seen.replace(entity, sign)
    assert seen.strip() == " ".join(plain(text).split())
    assert set(re.findall(r"<(\w+)", rendered(markdown(text)))) == {"p"}


def test_a_reader_sees_results_baselines_classes_and_how_it_was_made(write):
    card = write(model="scratch")
    assert "| scratch | 71.0 [66.0, 76.0] |" in card.text and "| majority class | 37.0 [32.0, 42.0] |" in card.text
    assert "It is better." in card.text and "## Results on the test part" in card.text
    assert "| bad | 31 |" in card.text and "| learning_rate | 0.01 |" in card.text and "- torch 2.13.0" in card.text
    assert "my rows.csv" in card.text and "more information needed" not in str(card).lower() and "None" not in card.text


def test_its_pictures_are_there(write, tmp_path):
    names = re.findall(r"!\[[^]]+\]\((report/\w+\.png)\)", write(pictures=True).text)
    assert len(names) >= 4 and all((tmp_path / "my_run" / name).exists() for name in names)


@pytest.mark.parametrize(("config", "trust"), [({}, ""), ({"auto_map": {"AutoModel": "x.Y"}}, ", trust_remote_code=True")])
def test_the_usage_asks_for_trust_only_where_the_folder_carries_code(write, config, trust):
    assert f'pipeline("text-classification", model="my_run"{trust})' in write(config=config).text


def test_neither_a_path_of_this_machine_nor_a_row_of_the_data_is_in_it(write, tmp_path):
    card = str(write(model="scratch"))
    assert str(tmp_path) not in card and "/home/me" not in card and "alert" not in card.replace(markdown(EVIL), "")


def test_a_collapsed_run_says_so(write):
    assert "**This run is no good: collapsed by step 200.**" in write(collapsed="collapsed by step 200").text


def test_a_run_without_labels_has_a_card_without_results(write, tmp_path):
    folder = make_run(tmp_path / "bare")
    for name in ("all_results.json", "predictions.parquet", "run.json"):
        (folder / name).unlink()
    write_card(str(folder))
    text = (folder / "README.md").read_text("utf-8")
    assert "Results" not in text and "model-index" not in yaml.safe_load(text.split("---")[1]) and "\n\n\n" not in text


def test_the_temperature_of_the_model_is_told(write):
    assert "divided by a temperature of 1.70, fitted on other rows" in write(config={"calibration_temperature": 1.7}).text


def test_a_temperature_that_was_fitted_on_the_reported_rows_is_told_so(write):
    marks = {"selected_on_reported": "Chosen on rows that are reported."}
    text = write(config={"calibration_temperature": 1.7}, marks=marks).text
    assert "**Chosen on rows that are reported.**" in text and "fitted on these rows" in text


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("head", "Texts beyond 13 tokens are cut to their beginning, as they were in training: add `truncation=True`"),
        ("tail", "Texts beyond 13 tokens are cut to their end, as they were in training: add `truncation=True`"),
        ("head_tail", "training read the first 25% of these tokens and the rest from the end. `hf-scratch predict` reads"),
        (None, "Texts beyond 13 tokens are cut, as they were"),
    ],
)
def test_what_is_read_of_long_texts_is_told(write, policy, told):
    assert told in write(arguments={"data": {"long_text": policy}}).text


def test_a_model_of_pairs_is_asked_about_pairs(write, tmp_path):
    told = write().text
    assert 'print(classify("..."))' in told and "mismatched" not in told
    folder = tmp_path / "my_run"
    table = pd.read_parquet(folder / "predictions.parquet")
    table.assign(text_pair=table.text).to_parquet(folder / "predictions.parquet")
    results = json.loads((folder / "all_results.json").read_text())
    results |= {"test_mismatched_accuracy": 0.5, "test_mismatched_accuracy_low": 0.4, "test_mismatched_accuracy_high": 0.6}
    (folder / "all_results.json").write_text(json.dumps(results))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"rows": {"train": 97, "test_mismatched": 61}}))
    write_card(str(folder))
    told = (folder / "README.md").read_text()
    assert 'print(classify({"text": "...", "text_pair": "..."}))' in told
    assert "On the mismatched test part: accuracy 50.0 [40.0, 60.0]." in told
    assert "61 test_mismatched rows" in rendered(told)

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tiny_bert, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("model"))
    BertForSequenceClassification.from_pretrained(tiny_bert, id2label={0: "bad", 1: "good"}).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


def stdin(monkeypatch, content: bytes):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_texts_lines_and_rows_of_a_file_get_the_same_answers(model, tmp_path, monkeypatch, capsys):
    texts = ["a lovely film", "an awful film of some length", "", "=fine"]
    assert main(["predict", model, *texts, "--format", "jsonl"]) == 0
    of_words = capsys.readouterr().out
    assert [json.loads(line)["text"] for line in of_words.splitlines()] == texts
    stdin(monkeypatch, "\n".join(texts).encode())
    assert main(["predict", model, "-", "--format", "jsonl"]) == 0
    assert capsys.readouterr().out == of_words
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert main(["predict", model, "--file", str(tmp_path / "rows.jsonl"), "--format", "jsonl"]) == 0
    assert capsys.readouterr().out == of_words


def test_pairs_and_other_formats(model, monkeypatch, capsys):
    stdin(monkeypatch, b"a film\tits end\n\n")
    assert main(["predict", model, "-", "--pairs", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "text,text_pair,label,probability_bad,probability_good"
    assert lines[1].startswith("a film,its end,") and lines[2] == ",,,,"
    assert main(["predict", model, "a lovely film"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["label", "bad", "good", "text"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "sources of texts: none, but there must be one; give texts, or --file FILE, or - for standard input"),
        (["a film", "--file", "rows.csv"], "sources of texts: texts and --file, but there must be one; give"),
        (["--file", "nowhere.csv"], "nowhere.csv: no such file"),
        (["a film", "--pairs"], "'a film' holds 0 tabs, but a pair is two texts with one tab"),
        (["a film", "--max_tokens_per_batch", "0"], "--max_tokens_per_batch is 0, but it must be at least 1"),
    ],
)
def test_what_the_user_can_mend_is_said(words, message, model, capsys):
    assert main(["predict", model, *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""


def test_an_encoder_without_a_classifier_is_refused(tiny_bert, capsys):
    assert main(["predict", tiny_bert, "a film"]) == 2
    assert "holds BertModel, but a classifier is needed" in capsys.readouterr().err


def test_standard_input_that_is_closed_and_words_in_no_encoding(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", model, "-"]) == 2
    assert "- reads standard input, but it is closed; pipe texts into it" in capsys.readouterr().err
    assert main(["predict", model, os.fsdecode(b"a film \xff"), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a film \ufffd"


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_an_endless_stream(model):
    command = [sys.executable, "-m", "hf_scratch", "predict", model, "-", "--format", "jsonl"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as child:
        child.stdin.write(b"a lovely film\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["text"] == "a lovely film"  # answered while the stream stays open
        child.stdout.close()
        child.stdin.write(b"an awful film\n" * 10)
        child.stdin.close()
        assert child.wait(60) == 0
        assert b"Traceback" not in child.stderr.read()

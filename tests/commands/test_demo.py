import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.__main__ import main
from hf_scratch.commands import demo as command
from hf_scratch.sharing import demo


def test_the_classifier_is_served_under_its_name(tiny_bert, tmp_path, monkeypatch):
    folder = tmp_path / "film-reviews"
    BertForSequenceClassification.from_pretrained(tiny_bert).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    served = []
    monkeypatch.setattr(command, "require_gradio", lambda: None)
    monkeypatch.setattr(command, "build_page", lambda model, tokenizer, title: (type(model).__name__, title))
    monkeypatch.setattr(command, "serve", lambda page, port: served.append((page, port)))
    assert main(["demo", str(folder), "--port", "7999"]) == 0
    assert served == [(("BertForSequenceClassification", "film-reviews"), 7999)]


def test_without_gradio_the_remedy_is_told_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert main(["demo", "nowhere"]) == 2
    assert "the page needs gradio, which is not installed; run: pip install 'hf-scratch[app]'" in capsys.readouterr().err


def test_an_encoder_without_a_classifier_is_refused(tiny_bert, monkeypatch, capsys):
    monkeypatch.setattr(command, "require_gradio", lambda: None)
    assert main(["demo", tiny_bert]) == 2
    assert "holds BertModel, but a classifier is needed" in capsys.readouterr().err


def test_the_help_says_who_can_open_it(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["demo", "--help"])
    assert "Only this machine can open the page" in capsys.readouterr().out

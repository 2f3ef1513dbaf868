import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.__main__ import main
from hf_scratch.commands import export as command


@pytest.fixture
def model(tiny_bert, tmp_path):
    folder = tmp_path / "model"
    BertForSequenceClassification.from_pretrained(tiny_bert).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return str(folder)


def test_the_file_and_its_latency_are_told(model, tmp_path, monkeypatch, capsys):
    asked = []
    row = {"batch": 8, "length": 128, "eager_ms": 2.5, "exported_ms": 1.25}
    done = {"file": "model.onnx", "difference": 3e-7, "latency": [row]}
    monkeypatch.setattr(command, "export", lambda model, tokenizer, output, to: asked.append((output, to)) or done)
    monkeypatch.chdir(tmp_path)
    assert main(["export", model, "--to", "torch_export"]) == 0
    said = capsys.readouterr().out
    assert asked == [("model-torch_export", "torch_export")]
    assert "its logits differ from the model's by at most 3.0e-07" in said and "| 8 x 128 | 2.50 | 1.25 |" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "tflite"], "invalid choice: 'tflite'"),
        ([], "the following arguments are required: --to"),
        (["--to", "torch_export", "--output", "."], "exists and is no empty folder"),
    ],
)
def test_what_the_user_can_mend_is_said(words, message, model, capsys):
    assert main(["export", model, *words]) == 2
    assert message in capsys.readouterr().err


def test_an_encoder_without_a_classifier_is_refused(tiny_bert, tmp_path, capsys):
    assert main(["export", tiny_bert, "--to", "torch_export", "--output", str(tmp_path / "new")]) == 2
    assert "holds BertModel, but a classifier is needed" in capsys.readouterr().err

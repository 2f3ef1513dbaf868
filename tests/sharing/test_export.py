import json
import logging
import warnings

import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.errors import UserError
from hf_scratch.sharing import export as module
from hf_scratch.sharing.export import export

# The exporters' own, about each other's deprecations.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
SIZES = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 17}


@pytest.fixture
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture
def models(tiny_bert, tokenizer):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 37, "num_labels": 3, **SIZES}
    return {
        "scratch": ScratchForSequenceClassification(ScratchConfig(**sizes)),
        "rope": ScratchForSequenceClassification(
            ScratchConfig(**sizes | {"hidden_size": 24}, position_embedding_type="rope", classifier_pooling="mean")
        ),
        "bert": BertForSequenceClassification.from_pretrained(tiny_bert),
    }


@pytest.fixture
def exporter_said():
    """What torch's exporter says of its operators."""
    said, registry = [], logging.getLogger("torch.onnx._internal.exporter._registration")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    registry.addHandler(handler)
    yield said
    registry.removeHandler(handler)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "to"), [("scratch", "torch_export"), ("rope", "onnx"), ("bert", "onnx")])
def test_the_file_answers_as_the_model_for_any_batch_and_length(
    name, to, models, tokenizer, tmp_path, monkeypatch, exporter_said
):
    monkeypatch.setattr(module, "SHAPES", ((1, 5), (2, 99)))
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
        pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    model, folder = models[name].eval(), tmp_path / "exported"
    record = export(model, tokenizer, str(folder), to)
    assert not [words for words in exporter_said if "torchvision" in words]
    assert record == json.loads((folder / "export.json").read_text()) and record["difference"] <= 1e-4
    assert [(row["batch"], row["length"]) for row in record["latency"]] == [(1, 5), (2, 37)]
    assert AutoTokenizer.from_pretrained(folder)("a film")["input_ids"] == tokenizer("a film")["input_ids"]
    exported = module.RUNNERS[to](folder / record["file"], tuple(record["inputs"]))
    for texts in (["a film"], ["a lovely film", "dull", "an awful film of some length " * 9], ["fine"] * 11):
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            ours = exported(*(inputs[name] for name in record["inputs"]))
            assert torch.allclose(ours, model(**inputs).logits, atol=1e-5)


def test_of_the_exporters_words_only_those_about_itself_are_kept_back(exporter_said):
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with module.without_foreign_words():
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
            warnings.warn("another", FutureWarning, stacklevel=1)
            registry.warning("torchvision is not installed. Skipping torchvision::nms")
            registry.warning("an operator is missing")
        registry.warning("torchvision is not installed. Skipping the rest")
    assert [str(warning.message) for warning in warned] == ["another"]
    assert exporter_said == ["an operator is missing", "torchvision is not installed. Skipping the rest"]


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_not_left_behind(models, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write", lambda *_: None)
    wrong = {"torch_export": lambda file, names: lambda *inputs: torch.zeros(len(inputs[0]), 3) + float("nan")}
    monkeypatch.setattr(module, "RUNNERS", wrong)
    with pytest.raises(RuntimeError, match="the exported file differs from ScratchForSequenceClassification by nan"):
        export(models["scratch"], tokenizer, str(tmp_path / "exported"), "torch_export")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said_and_leaves_nothing(models, tokenizer, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("a branch depends on the data")

    monkeypatch.setattr(module, "write", fail)
    with pytest.raises(UserError, match="cannot be exported to torch_export: a branch depends on the data; try another --to"):
        export(models["bert"], tokenizer, str(tmp_path / "exported"), "torch_export")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_and_a_taken_folder_are_told_first(models, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(module.NEEDED, "onnx", ("onnx", "no_such_runtime"))
    with pytest.raises(UserError, match=r"--to onnx needs no_such_runtime, .*; run: pip install 'hf-scratch\[export\]'"):
        export(models["bert"], tokenizer, str(tmp_path / "exported"), "onnx")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="exists and is no empty folder, and nothing is overwritten; give another --output"):
        export(models["bert"], tokenizer, str(tmp_path), "torch_export")

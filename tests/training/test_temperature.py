import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    RobertaConfig,
    pipeline,
)

from hf_scratch import ScratchConfig
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.training.temperature import divide_logits
from tests.conftest import make_reviews

SIZES = {"vocab_size": 151, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 17}
IDS = torch.randint(5, 151, (7, 11), generator=torch.Generator().manual_seed(0))


def build(config_class, **settings):
    torch.manual_seed(0)
    config = config_class(num_labels=3, **SIZES, **settings)
    return AutoModelForSequenceClassification.from_config(config).eval()


def answers(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits.numpy()


def sharpen(model):
    """Make the answers of an untrained head differ."""
    with torch.no_grad():
        model.classifier.weight.mul_(50)


@pytest.mark.parametrize(
    ("config_class", "settings"),
    [
        (ScratchConfig, {}),
        (BertConfig, {}),
        (RobertaConfig, {"pad_token_id": 0}),
        (DistilBertConfig, {"dim": 12, "n_layers": 1, "n_heads": 3, "hidden_dim": 17}),
        (ModernBertConfig, {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}),
    ],
)
def test_every_head_that_ends_in_a_linear_layer_answers_at_the_temperature(config_class, settings, tmp_path):
    model = build(config_class, **settings)
    before = answers(model)
    assert divide_logits(model, 2.5, lambda: answers(model))
    assert answers(model) == pytest.approx(before / 2.5, rel=1e-5, abs=1e-7)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert (answers(loaded) == answers(model)).all() and loaded.config.calibration_temperature == 2.5


def test_a_second_temperature_is_counted_with_the_first():
    model = build(ScratchConfig)
    before = answers(model)
    for temperature in (2.0, 0.4):
        divide_logits(model, temperature, lambda: answers(model))
    assert model.config.calibration_temperature == pytest.approx(0.8)
    assert answers(model) == pytest.approx(before / 0.8, rel=1e-5)


def test_a_head_of_another_kind_is_left_as_it_was():
    model = build(ScratchConfig)
    sharpen(model)
    model.classifier = nn.Sequential(model.classifier, nn.Tanh())
    before = answers(model)
    assert not divide_logits(model, 2.5, lambda: answers(model))
    assert (answers(model) == before).all() and not hasattr(model.config, "calibration_temperature")


def test_the_pipeline_gives_the_calibrated_probabilities():
    tokenizer = train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)
    model = build(ScratchConfig)
    sharpen(model)
    expected = (model(**tokenizer("a lovely film", return_tensors="pt")).logits / 4).softmax(-1)
    divide_logits(model, 4.0, lambda: answers(model))
    (answer,) = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)(["a lovely film"])
    assert sorted(entry["score"] for entry in answer) == pytest.approx(sorted(expected[0].tolist()), rel=1e-5)

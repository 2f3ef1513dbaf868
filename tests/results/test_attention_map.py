import re
import subprocess
import sys

import pytest
import torch
from matplotlib.image import imread
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

import hf_scratch
from hf_scratch import ScratchConfig, ScratchForConditionalGeneration, ScratchForSequenceClassification, ScratchModel

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dull", "film", "warm", "$"]
TOKENS = ["[CLS]", "a", "warm", "film", "[SEP]", "a", "dull", "$", "[SEP]"]
SIZES = {"vocab_size": 10, "hidden_size": 14, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 17}
MODELS = {
    "scratch": lambda: ScratchModel(ScratchConfig(**SIZES)),
    "scratch classifier": lambda: ScratchForSequenceClassification(ScratchConfig(**SIZES)),
    "scratch encoder-decoder": lambda: ScratchForConditionalGeneration(ScratchConfig(**SIZES)),
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "bert classifier": lambda: BertForSequenceClassification(BertConfig(**SIZES)),
}


@pytest.fixture
def tokenizer():
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)})


def build(name, seed=0):
    torch.manual_seed(seed)
    return MODELS[name]()


def drawn(figure):
    """The picture's weights `(T, T)`, and its row and column labels."""
    axes = figure.axes[0]
    labels = [[label.get_text() for label in axis.get_ticklabels()] for axis in (axes.yaxis, axes.xaxis)]
    return torch.tensor(axes.images[0].get_array()), *labels


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("layer", "head"), [(-1, None), (0, 1), (2, -2)])
def test_what_is_drawn_is_what_the_model_computes(tokenizer, name, layer, head, tmp_path):
    model = build(name)
    path = tmp_path / "map.png"
    figure = hf_scratch.attention_map(model, tokenizer, "a warm film", "a dull $", layer, head, path)
    weights, rows, columns = drawn(figure)
    assert rows == columns == TOKENS

    model.set_attn_implementation("eager")
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    inputs = tokenizer("a warm film", "a dull $", return_tensors="pt")
    expected = encoder.eval()(**inputs, output_attentions=True).attentions[layer][0]
    expected = expected.mean(dim=0) if head is None else expected[head]
    torch.testing.assert_close(weights, expected.detach())
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(TOKENS)))
    assert f"layer {layer % 3} of 0 to 2" in figure.axes[0].get_title()

    picture = imread(path)
    assert min(picture.shape[:2]) > 400
    assert len(set(picture[::7, ::7, 0].ravel().tolist())) > 16  # shades, not one colour


def test_two_texts_are_kept_apart_by_a_line_and_one_is_not(tokenizer):
    model = build("scratch")
    assert len(hf_scratch.attention_map(model, tokenizer, "a film", "a $").axes[0].lines) == 2
    assert len(hf_scratch.attention_map(model, tokenizer, "a film").axes[0].lines) == 0


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_as_it_was(tokenizer, name):
    model = build(name).train()
    part = next(iter(model.children())).eval()
    hf_scratch.attention_map(model, tokenizer, "a warm film")
    assert model.config._attn_implementation == "sdpa"
    assert model.training
    assert not part.training
    with pytest.raises(ValueError, match="head is 2, but the model has 2"):
        hf_scratch.attention_map(model, tokenizer, "a warm film", head=2)
    with pytest.raises(ValueError, match="layer is 3"):
        hf_scratch.attention_map(model, tokenizer, "a warm film", layer=3)
    assert model.config._attn_implementation == "sdpa"
    assert model.training


def test_the_package_does_not_import_matplotlib_before_it_draws():
    script = "import sys, hf_scratch; assert 'matplotlib' not in sys.modules; hf_scratch.attention_map"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="module 'hf_scratch' has no attribute 'attention_mop'"):
        hf_scratch.attention_mop  # noqa: B018


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (" ", {}, "text is ' ', but there must be something to look at; pass a sentence"),
        ("a film", {"layer": 3}, "layer is 3, but the model has 3; choose 0 to 2, or -3 to -1"),
        ("a film", {"head": -3}, "head is -3, but the model has 2; choose 0 to 1, or -2 to -1"),
        ("a film " * 100, {}, "the text has 202 tokens, but at most 128 are drawn; pass a shorter one"),
    ],
)
def test_what_it_refuses(tokenizer, text, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        hf_scratch.attention_map(build("bert"), tokenizer, text, **options)


def test_a_model_without_attentions_is_refused(tokenizer):
    model = build("scratch")
    model.forward = lambda **inputs: type("Output", (), {"attentions": None})
    with pytest.raises(ValueError, match="ScratchModel returns no attentions; pass an encoder that can"):
        hf_scratch.attention_map(model, tokenizer, "a film")

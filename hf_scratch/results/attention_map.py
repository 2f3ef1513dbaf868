"""A picture of where a model looks: the attention of one layer, of one head or all, for one or two texts."""

from contextlib import contextmanager

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INCHES_A_TOKEN = 0.28  # what a label of 8 points needs
MOST_TOKENS = 128  # more make a picture that no screen shows


def attention_map(model, tokenizer, text, text_pair=None, layer=-1, head=None, path=None):
    """Draw softmax(Q Kᵀ / √d_k) of a layer: each row is a token that asks, each column one that is asked.

    Works for the scratch encoder, for BERT, and for every encoder that returns attentions. The model is left as it was.

    Args:
        model: an encoder, with or without a head; of an encoder-decoder, the encoder is drawn.
        tokenizer: the one that belongs to it.
        text, text_pair: one or two texts.
        layer: 0 is the first; negative ones count from the last.
        head: 0 is the first, and negative ones count from the last; None draws the mean over the heads.
        path: where the PNG goes; its folder must exist. None writes nothing.

    Returns:
        the matplotlib `Figure`.

    Raises:
        ValueError: if there is no text, too much of it, or no such layer or head; or the model returns no attentions.
    """
    tokens, weights = attention_weights(model, tokenizer, text, text_pair, layer)  # (H, T, T)
    layer_count, H = model.config.num_hidden_layers, len(weights)
    if head is None:
        chosen, title = weights.mean(dim=0), f"mean of {H} heads"  # (T, T)
    else:
        chosen, title = weights[in_range("head", head, H)], f"head {head % H} of 0 to {H - 1}"  # (T, T)
    title = f"layer {layer % layer_count} of 0 to {layer_count - 1}, {title}"
    figure = draw(tokens, chosen, f"{type(model).__name__}: {title}", separators(tokenizer, tokens))
    if path is not None:
        figure.savefig(path, format="png", dpi=150)
    return figure


def attention_weights(model, tokenizer, text, text_pair, layer):
    """The tokens, T of them, and the layer's weights `(H, T, T)`."""
    if not text or not text.strip():
        raise ValueError(f"text is {text!r}, but there must be something to look at; pass a sentence")
    inputs = tokenizer(text, text_pair, return_tensors="pt").to(model.device)
    T, limit = inputs["input_ids"].shape[1], min(MOST_TOKENS, model.config.max_position_embeddings)
    if limit < T:
        raise ValueError(f"the text has {T} tokens, but at most {limit} are drawn; pass a shorter one")
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    with looking(encoder), torch.no_grad():
        attentions = encoder(**inputs, output_attentions=True, return_dict=True).attentions
    if not attentions:
        raise ValueError(f"{type(model).__name__} returns no attentions; pass an encoder that can, such as BertModel")
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    return tokens, attentions[in_range("layer", layer, len(attentions))][0].float().cpu()


@contextmanager
def looking(model):
    """Eager attention, the only kind that keeps its weights, and no dropout; afterwards all is as it was before."""
    modes = {module: module.training for module in model.modules()}
    implementation = model.config._attn_implementation
    try:
        model.eval()
        model.set_attn_implementation("eager")
        yield
    finally:
        model.set_attn_implementation(implementation)
        for module, training in modes.items():
            module.training = training


def in_range(name, index, count):
    if not -count <= index < count:
        raise ValueError(f"{name} is {index}, but the model has {count}; choose 0 to {count - 1}, or -{count} to -1")
    return index


def separators(tokenizer, tokens):
    """Positions after which a line is drawn: between the texts, wherever a separator token is not the last."""
    return [position for position, token in enumerate(tokens[:-1]) if token == tokenizer.sep_token]


def draw(tokens, weights, title, separators):
    """A square of weights `(T, T)` between a bar of colours and the tokens."""
    side = max(3.0, INCHES_A_TOKEN * len(tokens))
    figure = Figure(figsize=(side + 2.2, side + 1.6), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen, and without touching pyplot's state
    axes = figure.subplots()
    image = axes.imshow(weights.numpy(), cmap="viridis", vmin=0.0, vmax=weights.max().item())
    labels = {"fontsize": 8, "parse_math": False}  # a dollar is a token, not a formula
    axes.set_xticks(range(len(tokens)), tokens, rotation=90, **labels)
    axes.set_yticks(range(len(tokens)), tokens, **labels)
    axes.set_xlabel("is asked (key)")
    axes.set_ylabel("asks (query)")
    axes.set_title(title, fontsize=9)
    for position in separators:
        axes.axhline(position + 0.5, color="white", linewidth=1)
        axes.axvline(position + 0.5, color="white", linewidth=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="attention weight; each row sums to 1")
    return figure

"""The model that pre-training trains: any encoder under its heads, and the way that spares the vocabulary projection."""

import inspect
from contextlib import contextmanager

import torch
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_PRETRAINING_MAPPING

from ..errors import UserError
from .arguments import ModelArguments
from .models import load_weights


def build_pretraining_model(args: ModelArguments, config: PretrainedConfig, tokenizer, next_sentence: bool) -> PreTrainedModel:
    """An encoder under the heads of its objective; weights loaded if the flags name some, drawn otherwise.

    Args:
        args: the model flags.
        config: of the model, as it was loaded.
        tokenizer: whose vocabulary a new model gets.
        next_sentence: whether it must have the next sentence head too.

    Raises:
        UserError: if the type has no such heads, the sizes do not fit together, or the encoder's weights are not all there.
    """
    auto, mapping = AutoModelForMaskedLM, MODEL_FOR_MASKED_LM_MAPPING
    if next_sentence:
        auto, mapping = AutoModelForPreTraining, MODEL_FOR_PRETRAINING_MAPPING
    if type(config) not in mapping or not takes(mapping[type(config)], "next_sentence_label" if next_sentence else "labels"):
        heads, remedy = (
            ("both masked tokens and next sentences", "--objective mlm, or ") if next_sentence else ("masked tokens", "")
        )
        raise UserError(
            f"--model_type {config.model_type}, but pre-training needs a type with heads for {heads}; try {remedy}--model_type "
            "scratch or bert"
        )
    if args.model_name_or_path:
        return load_weights(auto, args, config, tokenizer)
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    try:
        return auto.from_config(config)
    except (ValueError, RuntimeError, AssertionError, AttributeError, ZeroDivisionError) as error:
        raise UserError(f"no {config.model_type} model can be built so: {error}; mend --config_overrides") from error


def takes(model_class, name: str) -> bool:
    return name in inspect.signature(model_class.forward).parameters


class MaskedPositions:
    """Lets only chosen positions through a model's vocabulary projection, whatever the model.

    The projection to V words costs more than a small encoder, and 85 % of its rows have no label. A model of transformers hands
    its hidden states `(B, T, D)` to one module that ends in the output embeddings; a hook in front of it picks `(M, D)` out of
    them, and the model, given `(M,)` labels, computes its own loss as ever. Without positions nothing changes. Where the loss
    is taken from the logits at once, the model is given no labels, and no logits leave it: accelerate would copy them, to
    float32.

    Args:
        model: with output embeddings.

    Raises:
        UserError: if it has none that are part of a head.
    """

    def __init__(self, model: nn.Module):
        self.positions: torch.Tensor | None = None
        self.judge = None
        head_of(model).register_forward_pre_hook(self._pick)
        head_of(model).register_forward_hook(self._judge)

    def _pick(self, module, args):
        if self.positions is None:
            return None
        hidden, *rest = args
        return (pick(hidden, self.positions), *rest)

    def _judge(self, module, args, outputs):
        if self.judge is None:
            return None
        logits, *rest = outputs if isinstance(outputs, tuple) else (outputs,)
        self.judge(logits)
        return (logits[:0], *rest) if rest else logits[:0]

    @contextmanager
    def judged(self, positions: torch.Tensor, labels: torch.Tensor, loss_function):
        """Within, only these positions `(M,)`; their loss, of logits `(M, V)` and labels `(M,)`, is put into the list given."""
        losses = []
        self.judge = lambda logits: losses.append(loss_function(logits, labels))
        try:
            with self.only(positions):
                yield losses
        finally:
            self.judge = None

    @contextmanager
    def only(self, positions: torch.Tensor):
        """Within, these positions `(M,)` of the flattened batch."""
        self.positions = positions.flatten()
        try:
            yield
        finally:
            self.positions = None


def pick(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """`(B, T, D)` and positions `(M,)` of the flattened batch -> `(M, D)`."""
    return hidden.flatten(0, -2).index_select(0, positions)


def head_of(model: nn.Module) -> nn.Module:
    """The child of the model that holds the output embeddings and is not the encoder."""
    output = model.get_output_embeddings()
    for child in model.children():
        if child is not model.base_model and output is not None and any(module is output for module in child.modules()):
            return child
    raise UserError(f"{type(model).__name__} has no head over its vocabulary; pre-train an encoder such as scratch or bert")

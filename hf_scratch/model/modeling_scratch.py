"""The scratch encoder as a Transformers model: embeddings, a stack of blocks, and the heads that BERT has."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention import MultiHeadAttention
from .configuration_scratch import ScratchConfig
from .encoder import TransformerEncoderBlock
from .positional import PositionalEncoding, RotaryPositionEmbedding


class ScratchEmbeddings(nn.Module):
    """Sum of word, token type and position vectors, normalised (Devlin et al. 2019, figure 2).

    Sinusoids are added here; rotary positions enter in the attention instead.
    """

    def __init__(self, config: ScratchConfig):
        super().__init__()
        D = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, D)
        if config.position_embedding_type == "learned":
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, D)
        elif config.position_embedding_type == "sinusoidal":
            self.positional_encoding = PositionalEncoding(D, config.max_position_embeddings)
        self.position_embedding_type = config.position_embedding_type
        self.norm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids, token_type_ids, position_ids, inputs_embeds):
        """`(B, T)` ids, or vectors `(B, T, D)` in place of word ids -> `(B, T, D)`.

        Raises:
            ValueError: if learned positions end before the sequence does.
        """
        x = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        if token_type_ids is None:
            x = x + self.token_type_embeddings.weight[0]
        else:
            x = x + self.token_type_embeddings(token_type_ids)
        if self.position_embedding_type == "learned":
            x = x + self.learned_positions(x.shape[1], position_ids)
        elif self.position_embedding_type == "sinusoidal":
            x = self.positional_encoding(x, position_ids)
        return self.dropout(self.norm(x))

    def learned_positions(self, T, position_ids):
        table = self.position_embeddings
        if position_ids is not None:
            return table(position_ids)
        if table.num_embeddings < T:
            raise ValueError(
                f"the sequence has {T} tokens, but the learned positions end at {table.num_embeddings}; truncate the text to "
                f"max_length={table.num_embeddings}, or build the model with a larger max_position_embeddings"
            )
        return table.weight[:T]


class ScratchPooler(nn.Module):
    """BERT's sentence vector: tanh(W h_[CLS] + b) of the first token."""

    def __init__(self, config: ScratchConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states):
        return self.dense(hidden_states[:, 0]).tanh()  # (B, T, D) -> (B, D)


class ScratchPreTrainedModel(PreTrainedModel):
    """What every scratch model shares: its config class, its initialisation and what its parts can do."""

    config_class = ScratchConfig
    base_model_prefix = "scratch"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["ScratchEmbeddings", "TransformerEncoderBlock"]
    _can_record_outputs = {"hidden_states": TransformerEncoderBlock, "attentions": MultiHeadAttention}
    # Our losses are means over the batch and do not take Trainer's `num_items_in_batch`.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module):
        """All initialisation, as in BERT (Devlin et al. 2019).

        | parameter | drawn from |
        |---|---|
        | Linear and Embedding weights | N(0, initializer_range²) |
        | the padding token's vector, biases | 0 |
        | LayerNorm weight | 1 |
        | sinusoids, rotary frequencies | their formulas |
        """
        std = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=std)
            # Slicing loses the mark of a loaded tensor, so look at the mark before the padding row is cleared.
            padding_idx = getattr(module, "padding_idx", None)
            if padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[padding_idx])
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
        elif isinstance(module, PositionalEncoding | RotaryPositionEmbedding):
            module.reset_buffers()
        if getattr(module, "bias", None) is not None:
            init.zeros_(module.bias)


class ScratchModel(ScratchPreTrainedModel):
    """The bare encoder: ids in, one vector a token out, and BERT's pooled vector of the first token.

    Args:
        config: the sizes.
        add_pooling_layer: False leaves the pooler out, for heads that do not use it.

    Raises:
        ValueError: if sizes do not fit together, or an option is unknown.
    """

    def __init__(self, config: ScratchConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        require_choice("position_embedding_type", config.position_embedding_type, ("sinusoidal", "learned", "rope"))
        self.embeddings = ScratchEmbeddings(config)
        if config.position_embedding_type == "rope":
            self.rotary = RotaryPositionEmbedding(config.attention_head_size)
        self.layers = nn.ModuleList(
            TransformerEncoderBlock.from_config(config) for _ in range(config.num_hidden_layers)
        )
        # Pre-norm blocks leave their sum unnormalised.
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.norm_first else None
        self.pooler = ScratchPooler(config) if add_pooling_layer else None
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        self.embeddings.word_embeddings = value

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """
        Args:
            input_ids: `(B, T)`.
            attention_mask: `(B, T)`, 1 for real tokens, or `(B, 1, T, T)`.
            token_type_ids: `(B, T)`; 0 by default.
            position_ids: `(B, T)`; 0 ... T-1 by default.
            inputs_embeds: `(B, T, D)` in place of `input_ids`.

        Returns:
            `last_hidden_state` `(B, T, D)` and `pooler_output` `(B, D)` or None.

        Raises:
            ValueError: if both or neither of `input_ids` and `inputs_embeds` are given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        x = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)  # (B, T, D)
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=x, attention_mask=attention_mask)
        rotary = None
        if self.config.position_embedding_type == "rope":
            if position_ids is None:
                position_ids = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
            rotary = self.rotary(x, position_ids)

        for layer in self.layers:
            x = layer(x, mask, rotary=rotary, **kwargs)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return BaseModelOutputWithPooling(
            last_hidden_state=x, pooler_output=None if self.pooler is None else self.pooler(x)
        )


class ScratchForSequenceClassification(ScratchPreTrainedModel):
    """The encoder with a linear classifier on one vector a text: BERT's pooled first token, or the mean of real tokens."""

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        require_choice("classifier_pooling", config.classifier_pooling, ("cls", "mean"))
        self.num_labels = config.num_labels
        self.scratch = ScratchModel(config, add_pooling_layer=config.classifier_pooling == "cls")
        self.dropout = nn.Dropout(
            config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        )
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        """
        Args:
            labels: `(B,)` class ids, `(B,)` numbers (regression) or `(B, num_labels)` flags (multi-label).

        Returns:
            `logits` `(B, num_labels)`, and `loss` if labels are given. The other arguments are `ScratchModel`'s.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        pooled = outputs.pooler_output
        if pooled is None:
            pooled = mean_of_real_tokens(outputs.last_hidden_state, attention_mask)
        logits = self.classifier(self.dropout(pooled))  # (B, num_labels)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


def mean_of_real_tokens(hidden_states, attention_mask):
    """`(B, T, D)` and `(B, T)`, 1 for real tokens -> `(B, D)`."""
    if attention_mask is None:
        return hidden_states.mean(dim=1)
    weights = attention_mask.unsqueeze(-1).to(hidden_states.dtype)  # (B, T, 1)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def require_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but it must be one of {', '.join(choices)}")


ScratchConfig.register_for_auto_class()
ScratchModel.register_for_auto_class("AutoModel")
ScratchForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")

__all__ = ["ScratchForSequenceClassification", "ScratchModel", "ScratchPreTrainedModel"]

"""The scratch encoder as a Transformers model: embeddings, a stack of blocks, and the heads that BERT has."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple, logging
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention import MultiHeadAttention, split_projections
from .bert_weights import build_bert, counterpart_of, is_encoder_tensor, read_bert, scratch_fields, scratch_tensors
from .checks import require_positive
from .configuration_scratch import AUTO_MAP, ScratchConfig
from .encoder import TransformerEncoderBlock
from .positional import PositionalEncoding, RotaryPositionEmbedding

logger = logging.get_logger(__name__)


class ScratchEmbeddings(nn.Module):
    """Sum of word, token type and position vectors, normalised (Devlin et al. 2019, figure 2).

    Sinusoids are added here, to word vectors multiplied by √D (Vaswani et al. 2017, sections 3.4 and 3.5); rotary positions
    enter in the attention instead.
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

    def forward(self, input_ids, token_type_ids, position_ids, inputs_embeds, below=None):
        """`(B, T)` ids, or vectors `(B, T, D)` in place of word ids -> `(B, T, D)`; no position reaches `below`, if given.

        Raises:
            ValueError: if learned positions end before the sequence does.
        """
        x = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        if self.position_embedding_type == "sinusoidal":
            x = x * x.shape[-1] ** 0.5  # section 3.4; beside sinusoids of amplitude 1 small word vectors would drown
        if token_type_ids is None:
            x = x + self.token_type_embeddings.weight[0]
        else:
            x = x + self.token_type_embeddings(token_type_ids)
        if self.position_embedding_type == "learned":
            x = x + self.learned_positions(x.shape[1], position_ids)
        elif self.position_embedding_type == "sinusoidal":
            x = self.positional_encoding(x, position_ids, below)
        return self.dropout(self.norm(x))

    def learned_positions(self, T, position_ids):
        table = self.position_embeddings
        if position_ids is not None:
            return table(position_ids)
        if table.num_embeddings < T:
            raise ValueError(
                f"the sequence has {T} tokens, but the learned positions end at {table.num_embeddings}; truncate the "
                f"text to max_length={table.num_embeddings}, or build the model with a larger max_position_embeddings"
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
    # A checkpoint of pre-training holds what serves the training only (training/replaced_tokens.py).
    _keys_to_ignore_on_load_unexpected = [r"^replaced_tokens\."]
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

    def save_pretrained(self, save_directory, *args, state_dict=None, **kwargs):
        """transformers' own; fused projections are written as query, key and value, so that a checkpoint has one form."""
        if any(getattr(module, "to_qkv", None) is not None for module in self.modules()):
            state_dict = split_projections(self.state_dict() if state_dict is None else state_dict)
        super().save_pretrained(save_directory, *args, state_dict=state_dict, **kwargs)

    @classmethod
    def from_bert(cls, source, *, classifier_pooling: str = "cls", **kwargs):
        """Load BERT's weights: post-norm, learned positions, and the same hidden states and logits as the original's.

        A head that the source has not gets new weights, and a warning says so.

        Args:
            source: a folder or Hub name with a checkpoint of a `BertModel` or `BertFor...`; or such a model in memory.
            classifier_pooling: "mean" departs from BERT: texts are classified by the mean of their real tokens.
            kwargs: for `from_pretrained` (`token`, `dtype`, ...), config fields included (`num_labels`, ...).

        Raises:
            ValueError: if the source is no BERT encoder, or lacks a tensor of the encoder.
        """
        bert, absent = read_bert(source, counterpart_of(cls), **kwargs)
        config = ScratchConfig(**scratch_fields(bert.config), classifier_pooling=classifier_pooling)
        model = cls._from_config(config, dtype=bert.dtype, attn_implementation=bert.config._attn_implementation)
        prefix = "" if hasattr(model, "scratch") else "scratch."
        tensors = scratch_tensors(bert)
        ours = {prefix + name: name for name in model.state_dict()}
        new = [name for full, name in ours.items() if full in absent or full not in tensors]
        assert not any(is_encoder_tensor(prefix + name) for name in new), f"the encoder was not filled: {new}"
        model.load_state_dict({ours[full]: t for full, t in tensors.items() if full in ours}, strict=False)
        if new:
            logger.warning(
                f"{cls.__name__} takes {len(ours) - len(new)} of its {len(ours)} tensors from BERT; {', '.join(new)} "
                "are new and random: train before you use them"
            )
        return model.to(bert.device).eval()

    def to_bert(self):
        """The BERT model with this model's weights, which computes the same, for tools that know BERT only.

        Raises:
            ValueError: if this model has not BERT's shape, naming every field in the way.
        """
        return build_bert(self)

    def get_output_embeddings(self):
        return self.mlm_head.decoder if hasattr(self, "mlm_head") else None

    def set_output_embeddings(self, new_embeddings):
        self.mlm_head.decoder = new_embeddings


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
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        sizes += ("max_position_embeddings", "type_vocab_size")
        require_positive(**{name: getattr(config, name) for name in sizes})
        if config.pad_token_id is not None and not 0 <= config.pad_token_id < config.vocab_size:
            raise ValueError(
                f"pad_token_id is {config.pad_token_id}, but it must be one of the {config.vocab_size} tokens of the "
                f"vocabulary; give 0 to {config.vocab_size - 1}, or None"
            )
        self.embeddings = ScratchEmbeddings(config)
        if config.position_embedding_type == "rope":
            # Frequencies stay in single precision when the model is loaded in half: rounded, they lose whole turns.
            self.rotary = RotaryPositionEmbedding(config.attention_head_size).float()
        self.layers = nn.ModuleList(TransformerEncoderBlock.from_config(config) for _ in range(config.num_hidden_layers))
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
            attention_mask: `(B, T)`, 1 for real tokens; or `(B, 1, T, T)`, as the attention function wants it.
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
        # Texts packed into one row (`cu_seq_lens_q`) are no longer than `max_length_q`.
        x = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds, kwargs.get("max_length_q"))  # (B, T, D)
        mask = padding_mask(self.config, x, attention_mask)
        rotary = None
        if self.config.position_embedding_type == "rope":
            if position_ids is None:
                position_ids = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
            rotary = self.rotary(x, position_ids)

        for layer in self.layers:
            x = layer(x, mask, rotary=rotary, position_ids=position_ids, **kwargs)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return BaseModelOutputWithPooling(last_hidden_state=x, pooler_output=None if self.pooler is None else self.pooler(x))


class ScratchMaskedLMHead(nn.Module):
    """BERT's head for masked tokens: decoder(LayerNorm(act(W h + b))), with the word embeddings as its weight."""

    def __init__(self, config: ScratchConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden_states):
        return self.decoder(self.norm(self.activation(self.dense(hidden_states))))  # (..., D) -> (..., V)


TIED_WEIGHTS = {"mlm_head.decoder.weight": "scratch.embeddings.word_embeddings.weight"}


@dataclass
class ScratchForPreTrainingOutput(ModelOutput):
    """What `ScratchForPreTraining` returns: `prediction_logits` `(B, T, V)` and `seq_relationship_logits` `(B, 2)`."""

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    seq_relationship_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class ScratchForPreTraining(ScratchPreTrainedModel):
    """The encoder with BERT's two pre-training heads: masked tokens and next sentence (Devlin et al. 2019, 3.1)."""

    _tied_weights_keys = TIED_WEIGHTS

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.scratch = ScratchModel(config)
        self.mlm_head = ScratchMaskedLMHead(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2)
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
        next_sentence_label: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ScratchForPreTrainingOutput:
        """
        Args:
            labels: `(B, T)` token ids, -100 where nothing is to be predicted.
            next_sentence_label: `(B,)`, 0 if the second text continues the first, 1 if it is a random one.

        Returns:
            Both logits, and as `loss` the sum of the losses whose labels are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        prediction_logits = self.mlm_head(outputs.last_hidden_state)  # (B, T, V)
        seq_relationship_logits = self.nsp_head(outputs.pooler_output)  # (B, 2)
        losses = []
        if labels is not None:
            losses.append(mean_cross_entropy(prediction_logits, labels))
        if next_sentence_label is not None:
            losses.append(mean_cross_entropy(seq_relationship_logits, next_sentence_label))
        return ScratchForPreTrainingOutput(
            loss=sum(losses) if losses else None,
            prediction_logits=prediction_logits,
            seq_relationship_logits=seq_relationship_logits,
            **recorded(outputs),
        )


class ScratchForMaskedLM(ScratchPreTrainedModel):
    """The encoder with BERT's head for masked tokens."""

    _tied_weights_keys = TIED_WEIGHTS

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        # A pooler without a use would be a parameter without a gradient, which DistributedDataParallel refuses.
        self.scratch = ScratchModel(config, add_pooling_layer=False)
        self.mlm_head = ScratchMaskedLMHead(config)
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
    ) -> MaskedLMOutput:
        """
        Args:
            labels: `(B, T)` token ids, -100 where nothing is to be predicted.

        Returns:
            `logits` `(B, T, V)`, and `loss` if labels are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.mlm_head(outputs.last_hidden_state)  # (B, T, V)
        loss = None if labels is None else mean_cross_entropy(logits, labels)
        return MaskedLMOutput(loss=loss, logits=logits, **recorded(outputs))


class ScratchForNextSentencePrediction(ScratchPreTrainedModel):
    """The encoder with BERT's head that tells whether the second text continues the first."""

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.scratch = ScratchModel(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2)
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
    ) -> NextSentencePredictorOutput:
        """
        Args:
            labels: `(B,)`, 0 if the second text continues the first, 1 if it is a random one.

        Returns:
            `logits` `(B, 2)`, and `loss` if labels are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.nsp_head(outputs.pooler_output)  # (B, 2)
        loss = None if labels is None else mean_cross_entropy(logits, labels)
        return NextSentencePredictorOutput(loss=loss, logits=logits, **recorded(outputs))


class ScratchForSequenceClassification(ScratchPreTrainedModel):
    """The encoder with a linear classifier on one vector a text: BERT's pooled first token, or the real tokens' mean.

    Raises:
        ValueError: if `classifier_pooling` is unknown.
    """

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.scratch = encoder_with_sentence_vector(config)
        self.dropout = classifier_dropout(config)
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
            `logits` `(B, num_labels)`, and `loss` if labels are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.classifier(self.dropout(sentence_vector(outputs, attention_mask)))  # (B, num_labels)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, **recorded(outputs))


class ScratchForMultipleChoice(ScratchPreTrainedModel):
    """The encoder with a score for each of several texts, of which one is right.

    Raises:
        ValueError: if `classifier_pooling` is unknown.
    """

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.scratch = encoder_with_sentence_vector(config)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
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
    ) -> MultipleChoiceModelOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids, position_ids: `(B, choices, T)`.
            inputs_embeds: `(B, choices, T, D)` in place of `input_ids`.
            labels: `(B,)`, the right choice.

        Returns:
            `logits` `(B, choices)`, and `loss` if labels are given.
        """
        choices = (input_ids if inputs_embeds is None else inputs_embeds).shape[1]
        # Every choice becomes a text of its own: (B, choices, ...) -> (B·choices, ...)
        input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds = (
            None if x is None else x.flatten(0, 1)
            for x in (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        )
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        scores = self.classifier(self.dropout(sentence_vector(outputs, attention_mask)))  # (B·choices, 1)
        logits = scores.view(-1, choices)  # (B, choices)
        loss = None if labels is None else mean_cross_entropy(logits, labels)
        return MultipleChoiceModelOutput(loss=loss, logits=logits, **recorded(outputs))


class ScratchForTokenClassification(ScratchPreTrainedModel):
    """The encoder with a linear classifier on every token."""

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.scratch = ScratchModel(config, add_pooling_layer=False)
        self.dropout = classifier_dropout(config)
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
    ) -> TokenClassifierOutput:
        """
        Args:
            labels: `(B, T)` class ids, -100 where there is none.

        Returns:
            `logits` `(B, T, num_labels)`, and `loss` if labels are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        logits = self.classifier(self.dropout(outputs.last_hidden_state))  # (B, T, num_labels)
        loss = None if labels is None else self.loss_function(logits, labels, self.config)
        return TokenClassifierOutput(loss=loss, logits=logits, **recorded(outputs))


class ScratchForQuestionAnswering(ScratchPreTrainedModel):
    """The encoder with two scores on every token: to be the answer's first, and its last."""

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.scratch = ScratchModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> QuestionAnsweringModelOutput:
        """
        Args:
            start_positions, end_positions: `(B,)`, the answer's first and last token; ignored if outside the sequence.

        Returns:
            `start_logits` and `end_logits` `(B, T)`, and `loss` if positions are given.
        """
        outputs = self.scratch(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, return_dict=True, **kwargs
        )
        start_logits, end_logits = self.qa_outputs(outputs.last_hidden_state).unbind(dim=-1)  # each (B, T)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = self.loss_function(start_logits, end_logits, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss=loss, start_logits=start_logits, end_logits=end_logits, **recorded(outputs))


def padding_mask(config, x, attention_mask, **memory):
    """What hides padding, as the config's attention function wants it: of `x` itself, or of the memory that it asks.

    None where nothing is hidden: while it is compiled transformers 5.17 builds a mask of ones, and scaled dot product attention
    with a mask has no flash kernel.
    """
    if attention_mask is None and config._attn_implementation == "sdpa":
        return None
    return create_bidirectional_mask(config=config, inputs_embeds=x, attention_mask=attention_mask, **memory)


def recorded(outputs):
    """What a head hands on of the encoder's outputs: hidden states and attention weights, if they were asked for."""
    return {"hidden_states": outputs.hidden_states, "attentions": outputs.attentions}


def mean_cross_entropy(logits, labels):
    """Mean over the labels that are not -100; `(..., classes)` and `(...)`."""
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten().to(logits.device))


def classifier_dropout(config):
    return nn.Dropout(config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout)


def encoder_with_sentence_vector(config):
    """The encoder as `sentence_vector` needs it: with the pooler only where the pooler is used."""
    require_choice("classifier_pooling", config.classifier_pooling, ("cls", "mean"))
    return ScratchModel(config, add_pooling_layer=config.classifier_pooling == "cls")


def sentence_vector(outputs, attention_mask):
    """`(B, D)`: BERT's pooled first token if the encoder has a pooler, else the mean of the real tokens."""
    if outputs.pooler_output is not None:
        return outputs.pooler_output
    return mean_of_real_tokens(outputs.last_hidden_state, attention_mask)


def mean_of_real_tokens(hidden_states, attention_mask):
    """`(B, T, D)` and a mask, `(B, T)` with 1 for real tokens or boolean `(B, 1, T, T)` -> `(B, D)`.

    Raises:
        ValueError: if the mask is additive.
    """
    if attention_mask is None:
        return hidden_states.mean(dim=1)
    if attention_mask.ndim == 4:
        if attention_mask.dtype != torch.bool:
            raise ValueError(
                f"classifier_pooling='mean' cannot tell real tokens from an attention_mask of shape "
                f"{tuple(attention_mask.shape)} and dtype {attention_mask.dtype}; give a boolean one, or shape (B, T)"
            )
        attention_mask = attention_mask.any(dim=(1, 2))  # real is what some token may attend to: (B, T)
    weights = attention_mask.unsqueeze(-1).to(hidden_states.dtype)  # (B, T, 1)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def require_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but it must be one of {', '.join(choices)}")


ScratchConfig.register_for_auto_class()
for auto_class, path in AUTO_MAP.items():
    if auto_class != "AutoConfig":
        globals()[path.rpartition(".")[2]].register_for_auto_class(auto_class)

__all__ = [
    "ScratchForMaskedLM",
    "ScratchForMultipleChoice",
    "ScratchForNextSentencePrediction",
    "ScratchForPreTraining",
    "ScratchForQuestionAnswering",
    "ScratchForSequenceClassification",
    "ScratchForTokenClassification",
    "ScratchModel",
    "ScratchPreTrainedModel",
]

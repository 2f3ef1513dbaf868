"""The scratch encoder with a decoder behind it: text in, text out by `generate()` (Vaswani et al. 2017, figure 1)."""

import copy
from dataclasses import fields

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions, Seq2SeqLMOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention import MultiHeadAttention
from .configuration_scratch import ScratchConfig
from .decoder import TransformerDecoder, TransformerDecoderBlock
from .modeling_scratch import ScratchEmbeddings, ScratchModel, ScratchPreTrainedModel, padding_mask
from .positional import RotaryPositionEmbedding

# What `generate()` calls the keys and values of earlier steps: transformers 5.24 has renamed them. Both names are taken.
CACHE = "cache" if "cache" in {field.name for field in fields(Seq2SeqLMOutput)} else "past_key_values"


class ScratchDecoder(ScratchPreTrainedModel):
    """The target so far and the encoder's output in, one vector a target position out.

    Its embeddings are of the encoder's kind, and its word vectors are the encoder's own (section 3.4).
    """

    # The names begin with a dot: the oldest transformers that we serve would find "attention" in "cross_attention".
    _can_record_outputs = {
        "hidden_states": TransformerDecoderBlock,
        "attentions": OutputRecorder(MultiHeadAttention, index=1, layer_name=".attention"),
        "cross_attentions": OutputRecorder(MultiHeadAttention, index=1, layer_name=".cross_attention"),
    }

    def __init__(self, config: ScratchConfig):
        super().__init__(config)
        self.embeddings = ScratchEmbeddings(config)
        if config.position_embedding_type == "rope":
            # As in the encoder: rounded to half precision, frequencies would lose whole turns.
            self.rotary = RotaryPositionEmbedding(config.attention_head_size).float()
        self.stack = TransformerDecoder.from_config(config)
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
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        cache: EncoderDecoderCache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """
        Args:
            input_ids: `(B, T)`, with a cache the new tokens only.
            attention_mask: `(B, P + T)`, 1 for real tokens, P of them in the cache.
            encoder_hidden_states: `(B, S, D)`.
            encoder_attention_mask: `(B, S)`, 1 for real tokens.
            cache, past_key_values: keys and values of the P tokens before, and of the encoder's output, by either name.
            inputs_embeds: `(B, T, D)` in place of `input_ids`.
            use_cache: whether a cache is returned, a new one if none was given; `generate()` asks for it.

        Returns:
            `last_hidden_state` `(B, T, D)`, and the cache, as `cache` since transformers 5.24, else as `past_key_values`.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, or learned positions end too soon.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of decoder_input_ids and decoder_inputs_embeds (or labels)")
        past_key_values = cache if past_key_values is None else past_key_values
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(config=self.config), DynamicCache(config=self.config))
        positions = self.positions((input_ids if inputs_embeds is None else inputs_embeds).shape[1], past_key_values)
        x = self.embeddings(input_ids, None, positions, inputs_embeds)  # (B, T, D)
        rotary = self.rotary(x, positions) if self.config.position_embedding_type == "rope" else None
        past = None if past_key_values is None else past_key_values.self_attention_cache
        mask = create_causal_mask(config=self.config, inputs_embeds=x, attention_mask=attention_mask, **{CACHE: past})
        memory_mask = padding_mask(self.config, x, encoder_attention_mask, encoder_hidden_states=encoder_hidden_states)
        x = self.stack(x, encoder_hidden_states, mask, memory_mask, rotary=rotary, past_key_values=past_key_values, **kwargs)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=x, **{CACHE: past_key_values})

    def positions(self, T, past_key_values):
        """Where the T new tokens stand, behind those in the cache: `(1, T)`."""
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        limit = self.config.max_position_embeddings
        if self.config.position_embedding_type == "learned" and not torch.is_tensor(past) and past + T > limit:
            raise ValueError(
                f"the target has {past + T} tokens, but the learned positions end at {limit}; ask for fewer new tokens, "
                "or build the model with a larger max_position_embeddings"
            )
        return (past + torch.arange(T, device=self.device)).unsqueeze(0)


class ScratchForConditionalGeneration(ScratchPreTrainedModel, GenerationMixin):
    """Encoder, decoder and a linear layer over the vocabulary: learns target given source, and writes by `generate()`.

    P(y_t | y_<t, x) = softmax(W · Decoder(y_<t, Encoder(x))), W being the word embeddings (sections 3.1 and 3.4). The
    decoder is as deep as the encoder. `generate()` needs the config's `decoder_start_token_id` and `eos_token_id`.

    Args:
        config: the sizes; a copy of it becomes the model's, with `is_encoder_decoder=True`.

    Raises:
        ValueError: if sizes do not fit together, or an option is unknown.
    """

    _no_split_modules = [*ScratchPreTrainedModel._no_split_modules, "TransformerDecoderBlock"]
    _skip_keys_device_placement = ["cache", "past_key_values"]
    _tied_weights_keys = {
        "decoder.embeddings.word_embeddings.weight": "scratch.embeddings.word_embeddings.weight",
        "lm_head.weight": "scratch.embeddings.word_embeddings.weight",
    }
    # The loss is a mean over tokens, so under accumulation it must be told how many tokens the whole step has.
    accepts_loss_kwargs = True

    def __init__(self, config: ScratchConfig):
        config = copy.deepcopy(config)
        config.is_encoder_decoder = True
        super().__init__(config)
        self.scratch = ScratchModel(config, add_pooling_layer=False)
        self.decoder = ScratchDecoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_bert(cls, source, **kwargs):
        """Load BERT's weights into the encoder and the word embeddings; the decoder is new: train before you generate.

        Args:
            source, kwargs: as for `ScratchModel.from_bert`.
        """
        encoder = ScratchModel.from_bert(source, **kwargs)
        model = cls._from_config(encoder.config, dtype=encoder.dtype, attn_implementation=encoder.config._attn_implementation)
        absent, _ = model.scratch.load_state_dict(encoder.state_dict(), strict=False)  # it has no pooler
        assert not absent, f"the encoder was not filled: {absent}"
        return model.to(encoder.device).eval()

    def get_encoder(self, modality=None):
        return self.scratch

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, new_embeddings):
        self.lm_head = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: tuple | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        num_items_in_batch: torch.Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Seq2SeqLMOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids, inputs_embeds: the source, as for `ScratchModel`.
            decoder_input_ids: `(B, T)`, the target shifted right; made of the labels by default.
            decoder_attention_mask, cache, past_key_values, decoder_inputs_embeds, use_cache: as for `ScratchDecoder`.
            encoder_outputs: what the encoder returned for this source; then it does not run again.
            labels: `(B, T)`, the target; -100 where no loss is wanted.
            num_items_in_batch: number of labels that the loss is a mean over; by default those of this batch.

        Returns:
            `logits` `(B, T, V)`, those at t for label t; `loss` if labels are given; the cache.

        Raises:
            ValueError: if labels must be shifted and the config has no `decoder_start_token_id`.
        """
        if encoder_outputs is None:
            source = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
            encoder_outputs = self.scratch(input_ids, inputs_embeds=inputs_embeds, **source, **kwargs)
        memory = encoder_outputs[0]  # (B, S, D)
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        outputs = self.decoder(
            decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=memory,
            encoder_attention_mask=attention_mask,
            past_key_values=cache if past_key_values is None else past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        logits = self.lm_head(outputs.last_hidden_state)  # (B, T, D) -> (B, T, V)
        loss = None
        if labels is not None:
            # Logits and labels are in step already: `shift_labels` keeps the loss from shifting them once more.
            loss = self.loss_function(
                logits, labels, self.config.vocab_size, num_items_in_batch=num_items_in_batch, shift_labels=labels
            )
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            **{CACHE: outputs.get(CACHE)},
            decoder_hidden_states=outputs.hidden_states,
            decoder_attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=memory,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
            encoder_attentions=getattr(encoder_outputs, "attentions", None),
        )

    def prepare_decoder_input_ids_from_labels(self, labels):
        """The target shifted right by one, behind the token that means "begin"; `(B, T)` -> `(B, T)`."""
        start, padding = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None:
            raise ValueError(
                "decoder_start_token_id is None, but the target begins with that token; set it in the config, to the "
                "tokenizer's cls_token_id or bos_token_id"
            )
        shifted = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == -100, 0 if padding is None else padding)


ScratchForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

__all__ = ["ScratchForConditionalGeneration"]

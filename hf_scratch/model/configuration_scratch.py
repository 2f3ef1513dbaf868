"""The scratch encoder's configuration."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class ScratchConfig(PreTrainedConfig):
    """All that is needed to build a scratch encoder; the defaults give the size of bert-base-cased.

    Fields carry BERT's names. Those that BERT has not:

    Args:
        head_size: size K of a head; hidden_size / num_attention_heads by default.
        norm_first: True for the course's pre-norm blocks, False for the paper's and BERT's post-norm.
        position_embedding_type: "sinusoidal" (section 3.5 of the paper), "learned" (BERT's), "rope" (Su et al. 2021).
        classifier_pooling: "cls" (BERT's pooler on the first token) or "mean" (over the real tokens).

    Sizes that do not fit together are refused when a model is built.
    """

    model_type = "scratch"

    vocab_size: int = 28996
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    head_size: int | None = None
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    classifier_dropout: float | int | None = None
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | None = None
    use_cache: bool | None = None
    tie_word_embeddings: bool = True
    norm_first: bool = True
    position_embedding_type: str = "sinusoidal"
    classifier_pooling: str = "cls"

    def __post_init__(self, **kwargs):
        # A folder must open through every Auto class, not only the one that was saved.
        self.auto_map = {**(kwargs.pop("auto_map", None) or {}), **AUTO_MAP}
        super().__post_init__(**kwargs)

    @property
    def attention_head_size(self) -> int:
        """Size K of a head.

        Raises:
            ValueError: if no `head_size` is given and the heads do not divide `hidden_size`.
        """
        if self.head_size is not None:
            return self.head_size
        if self.hidden_size % self.num_attention_heads:
            below = max(self.hidden_size // self.num_attention_heads, 1) * self.num_attention_heads
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be divisible by num_attention_heads "
                f"({self.num_attention_heads}); try {below} "
                f"or {below + self.num_attention_heads}, or give head_size"
            )
        return self.hidden_size // self.num_attention_heads


AUTO_MAP = {
    "AutoConfig": "configuration_scratch.ScratchConfig",
    "AutoModel": "modeling_scratch.ScratchModel",
    "AutoModelForPreTraining": "modeling_scratch.ScratchForPreTraining",
    "AutoModelForMaskedLM": "modeling_scratch.ScratchForMaskedLM",
    "AutoModelForNextSentencePrediction": "modeling_scratch.ScratchForNextSentencePrediction",
    "AutoModelForSequenceClassification": "modeling_scratch.ScratchForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_scratch.ScratchForTokenClassification",
    "AutoModelForQuestionAnswering": "modeling_scratch.ScratchForQuestionAnswering",
    "AutoModelForMultipleChoice": "modeling_scratch.ScratchForMultipleChoice",
}

"""What a transformer is: the blocks of the course, and the Transformers model built of them.

This folder travels to the Hub with every checkpoint, so it is flat and imports only torch, transformers and siblings.
"""

from .attention import MultiHeadAttention, SelfAttention
from .configuration_scratch import ScratchConfig
from .decoder import TransformerDecoder, TransformerDecoderBlock
from .encoder import TransformerEncoderBlock
from .feed_forward import FeedForward
from .modeling_scratch import (
    ScratchForMaskedLM,
    ScratchForMultipleChoice,
    ScratchForNextSentencePrediction,
    ScratchForPreTraining,
    ScratchForQuestionAnswering,
    ScratchForSequenceClassification,
    ScratchForTokenClassification,
    ScratchModel,
    ScratchPreTrainedModel,
)
from .modeling_scratch_seq2seq import ScratchForConditionalGeneration
from .positional import PositionalEncoding, RotaryPositionEmbedding
from .transformer import Transformer

__all__ = [
    "FeedForward",
    "MultiHeadAttention",
    "PositionalEncoding",
    "RotaryPositionEmbedding",
    "ScratchConfig",
    "ScratchForConditionalGeneration",
    "ScratchForMaskedLM",
    "ScratchForMultipleChoice",
    "ScratchForNextSentencePrediction",
    "ScratchForPreTraining",
    "ScratchForQuestionAnswering",
    "ScratchForSequenceClassification",
    "ScratchForTokenClassification",
    "ScratchModel",
    "ScratchPreTrainedModel",
    "SelfAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
]

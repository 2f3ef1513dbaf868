"""What a transformer is: the blocks of the course, and the Transformers model built of them.

This folder travels to the Hub with every checkpoint, so it is flat and imports only torch, transformers and its siblings.
"""

from .attention import MultiHeadAttention, SelfAttention
from .configuration_scratch import ScratchConfig
from .encoder import TransformerEncoderBlock
from .feed_forward import FeedForward
from .modeling_scratch import ScratchForSequenceClassification, ScratchModel, ScratchPreTrainedModel
from .positional import PositionalEncoding, RotaryPositionEmbedding

__all__ = [
    "FeedForward",
    "MultiHeadAttention",
    "PositionalEncoding",
    "RotaryPositionEmbedding",
    "ScratchConfig",
    "ScratchForSequenceClassification",
    "ScratchModel",
    "ScratchPreTrainedModel",
    "SelfAttention",
    "TransformerEncoderBlock",
]

"""A transformer written from scratch, trained with exactly the tools that you would use for BERT."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .model import *  # noqa: F403
from .model import ScratchConfig, ScratchForSequenceClassification, ScratchModel
from .model import __all__ as __all__

__version__ = "0.1.0"

AutoConfig.register("scratch", ScratchConfig)
AutoModel.register(ScratchConfig, ScratchModel)
AutoModelForSequenceClassification.register(ScratchConfig, ScratchForSequenceClassification)

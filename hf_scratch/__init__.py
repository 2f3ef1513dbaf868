"""A transformer written from scratch, trained with exactly the tools that you would use for BERT."""

import transformers

from . import model
from .model import *  # noqa: F403
from .model import __all__ as __all__
from .model.configuration_scratch import AUTO_MAP

__version__ = "0.1.0"

transformers.AutoConfig.register("scratch", model.ScratchConfig)
for auto_class, path in AUTO_MAP.items():
    if auto_class != "AutoConfig":
        getattr(transformers, auto_class).register(model.ScratchConfig, getattr(model, path.rpartition(".")[2]))
transformers.AutoModelForSeq2SeqLM.register(model.ScratchConfig, model.ScratchForConditionalGeneration)


def __getattr__(name):
    """Import what draws only when it is asked for: matplotlib takes its time."""
    if name == "attention_map":
        from .results.attention_map import attention_map

        return attention_map
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

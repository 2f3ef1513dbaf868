"""A checkpoint from a folder or the Hub, as the class that saved it, with its tokenizer."""

import sys

import transformers
from transformers import AutoConfig

from ..errors import UserError
from ..model.configuration_scratch import AUTO_MAP
from ..training.arguments import ModelArguments
from ..training.models import from_hub_or_disk, named_tokenizer


def auto_classes(config) -> list[str]:
    """The Auto classes that open a checkpoint of this configuration: those of its `auto_map`, else those mapped to it."""
    declared = getattr(config, "auto_map", None)
    if declared:
        return [name for name in declared if name.startswith("AutoModel")]
    names = [name for name in AUTO_MAP if name.startswith("AutoModel")]
    return [name for name in names if type(config) in getattr(transformers, name)._model_mapping]


def load(name: str, args: ModelArguments | None = None):
    """The model, ready to be asked, and its tokenizer.

    Args:
        name: a folder, a Hub name or package://NAME/PATH.
        args: `token`, `model_revision`, `trust_remote_code` and `cache_dir` count.

    Raises:
        UserError: if it cannot be loaded, no Auto class gives the class that saved it, or its tokenizer is missing.
    """
    args = args or ModelArguments()
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    config = from_hub_or_disk(AutoConfig, name, args)
    architecture = (config.architectures or ["no class"])[0]
    classes = [getattr(transformers, auto_class) for auto_class in auto_classes(config)]
    own = [auto_class for auto_class in classes if name_of_class(auto_class, config) == architecture]
    if not own:
        known = ", ".join(name_of_class(auto_class, config) for auto_class in classes) or "no model"
        raise UserError(f"{name}: was saved by {architecture}, but its configuration gives {known}; give another checkpoint")
    tokenizer = named_tokenizer(name, args)
    return from_hub_or_disk(own[0], name, args).eval(), tokenizer


def name_of_class(auto_class, config) -> str:
    """Of the model that an Auto class builds: from the code of the checkpoint, or of those that are registered."""
    if type(config) in auto_class._model_mapping:
        return auto_class._model_mapping[type(config)].__name__
    return config.auto_map[auto_class.__name__].rpartition(".")[2]


def load_classifier(name: str, args: ModelArguments | None = None):
    """`load`, and refuse what does not classify texts.

    Raises:
        UserError: as `load`; or if the checkpoint holds no classifier.
    """
    model, tokenizer = load(name, args)
    if not type(model).__name__.endswith("ForSequenceClassification"):
        raise UserError(
            f"{name}: holds {type(model).__name__}, but a classifier is needed; fine-tune it first: "
            f"python run_glue_style.py --model_name_or_path {name}"
        )
    return model, tokenizer

"""Weights in shards (FSDP): only where there are devices to hold them, and cut at the encoder's layers."""

import os

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel, Trainer, TrainingArguments

from ..errors import UserError


def check_sharding(training: TrainingArguments):
    """Refuse to train with whole weights where shards were asked for, as accelerate does without a word.

    Raises:
        UserError: if there are no devices to shard the weights over.
    """
    asked = "--fsdp" if training.fsdp else "accelerate's configuration" * (os.environ.get("ACCELERATE_USE_FSDP") == "true")
    if asked and (training.world_size == 1 or training.device.type == "cpu"):
        raise UserError(
            f"{asked} asks for weights in shards (FSDP), but accelerate shards them over several GPUs only, and here "
            f"{training.world_size} process{'es' * (training.world_size > 1)} would train whole ones on {training.device}; "
            "leave FSDP away, or start one process for each of several GPUs"
        )


def shard_by_layers(trainer: Trainer):
    """Have each layer be a shard of its own, unless the user has named the classes.

    accelerate takes what the model would not split over devices, the module around the token embeddings too, and then shards
    these embeddings once more, which torch refuses: BERT as it is cannot be trained so.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = layer_classes(trainer.model)


def layer_classes(model: nn.Module) -> list[str]:
    """The classes that the model would not split, as far as it has them, without those that hold its token embeddings."""
    embeddings = model.get_input_embeddings()
    found = {type(module).__name__ for module in model.modules()}
    holders = {type(module).__name__ for module in model.modules() if any(part is embeddings for part in module.modules())}
    return sorted(set(model._no_split_modules or ()) & found - holders)


def whole_copy(model: PreTrainedModel, state_dict: dict[str, torch.Tensor]) -> PreTrainedModel:
    """The plain model that one in shards stands for.

    torch gives a sharded model a class of its own, whose code no checkpoint can carry, and refuses to copy it.

    Args:
        model: in shards.
        state_dict: all of its weights, whole.
    """
    plain = next(kind for kind in type(model).__mro__ if not issubclass(kind, FSDPModule))
    with torch.random.fork_rng(devices=[]):  # the weights that it begins with are not drawn from the run's numbers
        whole = plain(type(model.config).from_dict(model.config.to_dict()))
    whole.load_state_dict(state_dict)
    return whole.eval()

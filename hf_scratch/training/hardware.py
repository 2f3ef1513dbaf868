"""Precision, memory and input workers chosen for the hardware; every flag that the user gave stands."""

import os

import torch
from transformers import TrainingArguments

WORKERS = 4  # keep up with 4,000 texts a second
KERNELS = "64"  # that oneDNN keeps; each batch is of another shape, and its own 1,024 would fill hundreds of MB
ON_CUDA = {
    "tf32": True,  # what stays in float32 multiplies in tf32 (Ampere and later)
    "dataloader_pin_memory": True,
    "dataloader_persistent_workers": True,
    "dataloader_prefetch_factor": 4,
}


def settle_hardware(training: TrainingArguments, given: set[str]) -> dict:
    """Set what the user left open, in place.

    On CUDA: bf16 where the chip has it (weights stay in float32), TF32, pinned memory, and workers that prefetch. On CPU, and
    anything else: float32, in one process; on CPU few kernels are kept. The optimizer is Trainer's everywhere, fused AdamW.

    Args:
        training: to settle.
        given: names of the flags that the user or a recipe set.

    Returns:
        What was chosen, for run.json.
    """
    if training.device.type == "cuda":
        ampere = torch.cuda.get_device_capability(training.device) >= (8, 0)
        choose(training, given, choices_on_cuda(training, given, ampere))
        if training.tf32:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    elif training.device.type == "cpu":
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)
        choose(training, given, {"dataloader_pin_memory": False})
    names = ("bf16", "fp16", "tf32", "optim", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor")
    return {"device": str(training.device)} | {name: plain(getattr(training, name)) for name in names}


def choices_on_cuda(training: TrainingArguments, given: set[str], ampere: bool) -> dict:
    """Values for the flags of a run on CUDA."""
    choices = dict(ON_CUDA)
    if not ampere:
        del choices["tf32"]
    elif not {"bf16", "fp16"} & given:
        choices |= {"bf16": True, "mixed_precision": "bf16"}
    processes = max(1, training.world_size)
    choices["dataloader_num_workers"] = min(WORKERS, max(0, (os.cpu_count() or 1) // processes - 1))
    workers = training.dataloader_num_workers if "dataloader_num_workers" in given else choices["dataloader_num_workers"]
    if not workers:  # torch refuses both without workers
        del choices["dataloader_persistent_workers"], choices["dataloader_prefetch_factor"]
    return choices


def choose(training: TrainingArguments, given: set[str], choices: dict):
    for name, value in choices.items():
        if name not in given:
            setattr(training, name, value)


def plain(value):
    """As JSON holds it."""
    return value if isinstance(value, bool | int | type(None)) else str(getattr(value, "value", value))

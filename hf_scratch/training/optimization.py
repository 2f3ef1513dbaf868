"""Optimizer and schedule, tried on one number before the data are read: what they lack shows in the first second."""

import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from ..errors import UserError


def check_optimization(training: TrainingArguments):
    """Build the optimizer and the learning-rate schedule that the flags name, and throw them away.

    Raises:
        UserError: if a package or an option is missing, or a value is refused.
    """
    optim = getattr(training.optim, "value", training.optim)
    try:
        optimizer_class, options = Trainer.get_optimizer_cls_and_kwargs(training)
        options = {name: value for name, value in options.items() if name not in ("params", "model", "optimizer_dict")}
        optimizer_class([torch.nn.Parameter(torch.zeros(1, device=training.device))], **options)
    except (ImportError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"--optim {optim} cannot be used here ({' '.join(str(error).split())}); install what it needs, mend --optim_args, "
            "or leave the flag away for AdamW"
        ) from error
    schedule = getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)
    try:
        get_scheduler(
            training.lr_scheduler_type,
            optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0),
            num_warmup_steps=1,
            num_training_steps=10,
            scheduler_specific_kwargs=dict(training.lr_scheduler_kwargs or {}),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"--lr_scheduler_type {schedule}: {' '.join(str(error).split())}; give its options by --lr_scheduler_kwargs, such "
            "as '{\"min_lr\": 1e-6}', or take linear"
        ) from error

"""Optimizer and schedule, tried on one number before the data are read: what they lack shows in the first second."""

import math

import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from ..errors import UserError

# From the first number to below the second, and one to try; torch would blame the optimizer, or take any.
RANGES = {
    "learning_rate": (0, math.inf, "5e-5"),
    "weight_decay": (0, math.inf, "0.01"),
    "adam_beta1": (0, 1, "0.9"),
    "adam_beta2": (0, 1, "0.999"),
    "adam_epsilon": (0, math.inf, "1e-8"),
    "warmup_steps": (0, math.inf, "0.1"),
    "label_smoothing_factor": (0, 1, "0.1"),
    "num_train_epochs": (0, math.inf, "3"),
}


def check_numbers(training: TrainingArguments):
    """Refuse numbers that mean nothing.

    Raises:
        UserError: if one is out of its range, infinite or no number.
    """
    for name, (low, high, good) in RANGES.items():
        value = float(getattr(training, name) or 0)
        if not low <= value < high:
            below = f"and below {high}" if math.isfinite(high) else "and finite"
            raise UserError(f"--{name} is {value:g}, but it must be at least {low} {below}; try {good}")


def check_optimization(training: TrainingArguments):
    """Build the optimizer and the learning-rate schedule that the flags name, and throw them away.

    Raises:
        UserError: if a package or an option is missing, or a value is refused.
    """
    check_numbers(training)
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

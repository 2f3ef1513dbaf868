"""Values of TrainingArguments that would end a run late, or be taken without a word: refused before the data are read."""

import math
from collections.abc import Collection

from transformers import TrainingArguments
from transformers.utils import is_liger_kernel_available

from ..errors import UserError, closest

# name: from, to below, what to try; torch would blame the optimizer, or take any
BOUNDS = {
    "per_device_train_batch_size": (1, math.inf, "8"),
    "per_device_eval_batch_size": (1, math.inf, "8"),
    "gradient_accumulation_steps": (1, math.inf, "8"),
    "learning_rate": (0, math.inf, "5e-5"),
    "weight_decay": (0, math.inf, "0.01"),
    "adam_beta1": (0, 1, "0.9"),
    "adam_beta2": (0, 1, "0.999"),
    "adam_epsilon": (0, math.inf, "1e-8"),
    "max_grad_norm": (0, math.inf, "1"),
    "warmup_steps": (0, math.inf, "0.1"),
    "label_smoothing_factor": (0, 1, "0.1"),
    "neftune_noise_alpha": (0, math.inf, "5"),
    "dataloader_num_workers": (0, math.inf, "2"),
    "seed": (0, 2**32, "42"),
    "data_seed": (0, 2**32, "42"),
}
# What scoring every row, once and in its order, rests on.
NEEDED = {
    "dataloader_drop_last": False,
    "prediction_loss_only": False,
    "batch_eval_metrics": False,
    "remove_unused_columns": True,
}


def check_training(training: TrainingArguments, metrics: Collection[str]):
    """Refuse what Trainer would trip over after the data are read, or after an epoch.

    Args:
        training: as it was parsed.
        metrics: what --metric_for_best_model may name, beside the loss; anything if empty.

    Raises:
        UserError: for the first value that cannot be.
    """
    check_numbers(training)
    for name, wanted in NEEDED.items():
        if getattr(training, name) is not wanted:
            raise UserError(
                f"--{name} {str(not wanted).lower()} is not possible here: every row is predicted and scored; leave it away"
            )
    if training.label_names not in (None, ["labels"]):
        raise UserError(
            f"--label_names {' '.join(training.label_names)} is not possible here: a model's answers are scored against the "
            "one column that --label_column_name names; leave it away"
        )
    check_loading(training)
    metric = (training.metric_for_best_model or "loss").removeprefix("eval_")
    if metrics and metric not in (*metrics, "loss"):
        raise UserError(
            f"--metric_for_best_model {metric} is not measured.{closest(metric, metrics)} Give loss or one of "
            f"{', '.join(metrics)}"
        )


def check_numbers(training: TrainingArguments):
    """Refuse numbers that mean nothing, infinite ones and NaN among them."""
    for name, (least, below, trial) in BOUNDS.items():
        value = getattr(training, name)
        if value is not None and not least <= value < below:
            limit = f" and below {below}" if below < math.inf else "" if math.isfinite(value) else " and finite"
            raise UserError(f"--{name} is {value:g}, but it must be at least {least}{limit}; try {trial}")
    if not 0 < training.num_train_epochs < math.inf and training.max_steps <= 0:
        raise UserError(f"--num_train_epochs is {training.num_train_epochs:g}, but it must be above 0 and finite; try 3")


def check_loading(training: TrainingArguments):
    """Refuse ways of loading rows and running kernels that need what is not there."""
    alone = not training.dataloader_num_workers and training.device.type == "cpu"  # elsewhere workers are chosen
    if training.dataloader_persistent_workers and alone:
        raise UserError(
            "--dataloader_persistent_workers given, but there are no workers; add --dataloader_num_workers 1, or leave it away"
        )
    for name in ("split_batches", "dispatch_batches"):
        if getattr(training.accelerator_config, name, None):
            raise UserError(
                f"--accelerator_config {name} is not possible here: each process reads its own share of one global batch, "
                "which is --per_device_train_batch_size times the processes; leave it away"
            )
    if training.use_liger_kernel and not is_liger_kernel_available():
        raise UserError("--use_liger_kernel given, but the package liger-kernel is not installed; install it, or leave it away")

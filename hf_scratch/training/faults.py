"""Training that goes wrong ends at once, and says where and what to do: losses that are no numbers, memory that is full."""

from collections.abc import Callable
from contextlib import contextmanager

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback

from ..errors import UserError

EVERY = 16  # steps between two looks at the losses on a device that a look would have to wait for


class FiniteLoss(TrainerCallback):
    """Stops at the first loss that is NaN or infinite, before anything of it is logged or saved.

    Args:
        name_of: what the user knows a row of training by, given its position.
    """

    def __init__(self, name_of: Callable[[int], str]):
        self.name_of, self.seen = name_of, []

    def watch(self, step: int, loss: torch.Tensor, rows: torch.Tensor | None):
        """Keep a batch's loss for the next look.

        Args:
            step: that the batch belongs to, counted from 1.
            loss: of the batch.
            rows: positions of its rows, `(B,)`.
        """
        self.seen.append((step, loss, rows))

    def on_step_end(self, args, state, control, **kwargs):
        near = args.device.type == "cpu" or state.global_step % EVERY == 0
        if near or control.should_log or control.should_save or control.should_evaluate:
            self.look(args)

    def look(self, args):
        """Raise if a loss since the last look, on any process, was not finite: the same on all of them."""
        seen, self.seen = self.seen, []
        finite = torch.stack([loss.isfinite() for _, loss, _ in seen]).tolist() if seen else []
        first = min((index for index, fine in enumerate(finite) if not fine), default=None)
        found = None if first is None else self.describe(args, *seen[first])
        found = [message for message in (gather_object([found]) if args.world_size > 1 else [found]) if message]
        if found:
            raise UserError(found[0])

    def describe(self, args, step: int, loss: torch.Tensor, rows: torch.Tensor | None) -> str:
        ids = [] if rows is None else [self.name_of(row) for row in rows.tolist() if row >= 0]
        where = f" on process {args.process_index}" if args.world_size > 1 else ""
        names = f", in the batch of the rows {', '.join(ids[:40])}{' ...' if len(ids) > 40 else ''}" if ids else ""
        precision = ", train in bf16 or float32 instead of fp16" if args.fp16 else ""
        return (
            f"the loss is {loss.item():g} at step {step}{where}{names}, but training needs finite numbers; lower "
            f"--learning_rate (now {args.learning_rate:g}), give a --warmup_steps or a smaller --max_grad_norm (now "
            f"{args.max_grad_norm:g}){precision}, or look at these rows"
        )


class FaultsExplained:
    """Before Trainer among the bases: a step that goes wrong says which, and what to do.

    Attributes:
        rows: positions of the rows of the present batch, `(B,)`, -1 for none; or None.
        max_tokens: the budget of a batch, where it takes the place of its size.
    """

    rows: torch.Tensor | None = None
    max_tokens: int | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.args.logging_nan_inf_filter = False  # would hide such a loss, and wait for the device at each step
        self.finite = FiniteLoss(self.name_of)
        self.add_callback(self.finite)

    def name_of(self, row: int) -> str:
        """The row's column `id`, if there is one."""
        return str(self.train_dataset[row].get("id", row))

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Trainer's, with its loss looked at, and memory that does not suffice explained."""
        with self.memory_explained(inputs, training=True):
            loss = super().training_step(model, inputs, num_items_in_batch)
        self.finite.watch(self.state.global_step + 1, loss, self.rows)
        return loss

    @contextmanager
    def memory_explained(self, inputs: dict, training: bool):
        """Around a step. Trainer finds a smaller batch of training by itself, with --auto_find_batch_size."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error) or (training and self.args.auto_find_batch_size):
                raise
            raise out_of_memory(self.args, inputs, training, self.max_tokens) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Of a device, or of the machine, which torch tells by its words alone."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def out_of_memory(args, inputs: dict, training: bool, max_tokens: int | None = None) -> UserError:
    """What did not fit, and the flags that would.

    Args:
        args: of training.
        inputs: the batch.
        training: or evaluation.
        max_tokens: the budget of a batch, which takes the place of its size.
    """
    rows, tokens = inputs["input_ids"].shape if inputs["input_ids"].dim() == 2 else (1, inputs["input_ids"].numel())
    size = args.per_device_train_batch_size if training else max(rows // max(args.n_gpu, 1), 1)
    smaller = max(size // 2, 1)
    flags = [f"--per_device_eval_batch_size {smaller}"]
    if training:
        flags = [
            f"--per_device_train_batch_size {smaller} --gradient_accumulation_steps {2 * args.gradient_accumulation_steps}",
            *([] if args.bf16 or args.fp16 or args.device.type == "cpu" else ["--bf16"]),
            "--activation_checkpointing" if hasattr(args, "activation_checkpointing") else "--gradient_checkpointing",
        ]
    if max_tokens:
        flags = [f"--max_tokens_per_batch {max_tokens // 2}", *flags[1:]]
    elif size == 1:
        flags = [f"--max_seq_length {max(tokens // 2, 3)}", *flags[1:]]
    return UserError(
        f"the memory of {args.device} is full: {'training' if training else 'evaluation'} took a batch of {rows} x {tokens} "
        f"(rows x tokens); give {', then '.join(flags)}"
    )

"""Training that ends at a given time, with the learning rate at its end value: the schedule follows the clock."""

import re
import time
from collections import deque
from statistics import median

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainingArguments, get_scheduler
from transformers.trainer_callback import ExportableState

from ..errors import UserError
from .distributed import side_channel

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TICKS = 10_000  # steps of the schedule that the clock is mapped to
ENDLESS = 10**8  # steps; the clock ends training long before


def read_budget(text: str) -> float:
    """'20m' -> 1200.0 seconds; '1h30m', '90s', '0.5h'.

    Raises:
        UserError: if it is no time.
    """
    wanted = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", wanted)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not seconds or "".join(number + unit for number, unit in parts) != wanted:
        raise UserError(f"--budget is {text!r}, but a time is a number above 0 and s, m or h; try 20m or 1h30m")
    return seconds


class Budget(TrainerCallback, ExportableState):
    """The clock of a run. It stands while the run evaluates, saves or probes, and checkpoints keep what it shows.

    Args:
        seconds: of training.
        clock: tells seconds.
        evaluate_every: share of the time after which held-out rows are scored, as long as that took a tenth of what training
            took; None: only at the end.
    """

    def __init__(self, seconds: float, clock=time.perf_counter, evaluate_every: float | None = None):
        self.seconds, self.clock, self.evaluate_every = seconds, clock, evaluate_every
        self.used, self.since = 0.0, None
        self.elapsed, self.first, self.durations = 0.0, None, deque(maxlen=21)
        self.before, self.stood_at, self.evaluating = 0.0, None, 0.0

    def state(self) -> dict:
        """What a checkpoint keeps."""
        kept = {"used": self.elapsed, "elapsed": self.elapsed, "first": self.first}
        return {"args": {"seconds": self.seconds, "evaluate_every": self.evaluate_every}, "attributes": kept}

    def now(self) -> float:
        """Seconds of training so far, on this process."""
        return self.used + (0.0 if self.since is None else self.clock() - self.since)

    def pause(self):
        """Stop the clock."""
        self.used, self.since, self.stood_at = self.now(), None, self.clock()

    def go_on(self):
        """Start the clock, if it stands."""
        if self.since is None:
            self.since = self.clock()

    @property
    def step_seconds(self) -> float:
        """Of a step, the median of the last ones."""
        return median(self.durations) if self.durations else 0.0

    def share(self) -> float:
        """Of the time, used at the end of the step to come: 1 at the last step.

        The first step is left out: it may compile for a minute, which is no reason to skip the warm-up.
        """
        first = self.first or 0.0
        return min(1.0, (self.elapsed - first + self.step_seconds) / max(self.seconds - first, 1e-9))

    def on_train_begin(self, args, state, control, **kwargs):
        """The clock starts."""
        self.go_on()

    def on_step_begin(self, args, state, control, **kwargs):
        """And goes on after what does not count."""
        self.go_on()

    def on_optimizer_step(self, args, state, control, **kwargs):
        """Measure the step, just before the schedule asks for the share."""
        self.before, self.elapsed = self.elapsed, agreed(self.now(), args)
        if self.first is None:
            self.first = self.elapsed - self.before
        else:
            self.durations.append(self.elapsed - self.before)

    def on_step_end(self, args, state, control, **kwargs):
        """Stop training when another step would end too late; evaluate on the way, for the end has an evaluation of its own."""
        if self.elapsed + self.step_seconds > self.seconds:
            control.should_training_stop = True
        elif self.evaluate_every:
            wait = self.seconds * self.evaluate_every
            if int(self.elapsed / wait) > int(self.before / wait):
                control.should_evaluate |= agreed(self.evaluating, args) <= self.elapsed / 10
        if control.should_evaluate or control.should_save:
            self.pause()

    def on_evaluate(self, args, state, control, **kwargs):
        """What it took."""
        if self.stood_at is not None:
            self.evaluating += self.clock() - self.stood_at

    def on_train_end(self, args, state, control, **kwargs):
        """The clock stops."""
        self.pause()


def agreed(seconds: float, args: TrainingArguments) -> float:
    """The first process's clock, on all: each must take the same steps at the same rates."""
    if args.world_size == 1:
        return seconds
    value = torch.tensor([seconds], dtype=torch.float64)
    torch.distributed.broadcast(value, 0, side_channel())
    return value.item()


def check_warmup(args: TrainingArguments):
    """A clock knows no steps ahead, so the warm-up is a share.

    Raises:
        UserError: if it is given in steps.
    """
    if args.warmup_steps >= 1:
        raise UserError(f"--warmup_steps is {args.warmup_steps:g}, but with --budget it is a share; try 0.05")


def budget_scheduler(args: TrainingArguments, optimizer: torch.optim.Optimizer, budget) -> LambdaLR:
    """The schedule that `args` name, over the shares of a budget in place of steps.

    Args:
        args: with lr_scheduler_type and warmup_steps, the latter as a share below 1.
        optimizer: whose rates it sets.
        budget: returns the `Budget` of the run; resuming replaces it.

    Raises:
        UserError: if the schedule is none of a step alone, or the warm-up is given in steps.
    """
    check_warmup(args)
    ticks = get_scheduler(
        args.lr_scheduler_type,
        optimizer=torch.optim.SGD([torch.zeros(1)], lr=1.0),
        num_warmup_steps=round(args.warmup_steps * TICKS),
        num_training_steps=TICKS,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )
    if not isinstance(ticks, LambdaLR):
        raise UserError(f"--lr_scheduler_type {args.lr_scheduler_type.value} cannot follow the clock; try linear or cosine")
    return LambdaLR(optimizer, lambda _: ticks.lr_lambdas[0](round(budget().share() * TICKS)))

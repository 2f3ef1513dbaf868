"""Ending on request: a signal finishes the step, saves, and leaves a run that can go on."""

import os
import signal

import torch
from torch import distributed
from transformers import TrainerCallback

from .distributed import side_channel

HANGUP = getattr(signal, "SIGHUP", None)  # the terminal is gone; Windows has none
SIGNALS = tuple(filter(None, (signal.SIGTERM, signal.SIGINT, HANGUP)))


class StopOnRequest(TrainerCallback):
    """Turns SIGTERM, SIGINT and SIGHUP into a checkpoint at the end of the step, the same on all processes.

    A signal that the process was started to ignore, as `nohup` does, stays ignored. `stopped_at` is the step at which training
    was ended so, None if it was not. As a context it also gives signals back where training fails.

    Args:
        saves: whether there is something to go on from; without, training ends and leaves nothing.
    """

    def __init__(self, saves: bool = True):
        self.saves = saves
        self.signal = self.stopped_at = self.saved_at = self.group = None
        self.handlers, self.terminals = {}, []

    def on_train_begin(self, args, state, control, **kwargs):
        if args.world_size > 1:
            self.group = side_channel()
        self.terminals = [output for output in (1, 2) if os.isatty(output)]
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self.handlers[number] = signal.signal(number, self.remember)

    def remember(self, number, frame):
        """Keep the signal for the end of the step. Asked twice by a key, end at once (launchers pass each key on twice)."""
        if self.signal and number == signal.SIGINT and self.group is None:
            raise KeyboardInterrupt
        if number == HANGUP:  # whoever writes to a terminal that is gone fails, before anything is saved
            for output in self.terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        self.signal = number

    def on_step_end(self, args, state, control, **kwargs):
        if self.agreed():
            self.stopped_at = state.global_step
            control.should_training_stop = True
            if self.saves:
                args.save_only_model = False  # what is saved now is there to go on from
                control.should_save = True

    def agreed(self) -> bool:
        """Whether any process was asked to stop."""
        if self.group is None:
            return self.signal is not None
        asked = torch.tensor(self.signal or 0)
        distributed.all_reduce(asked, distributed.ReduceOp.MAX, self.group)
        return bool(asked)

    @property
    def is_asked(self) -> bool:
        """Whether this process was asked, or training has ended because one was."""
        return self.signal is not None or self.stopped_at is not None

    def on_save(self, args, state, control, **kwargs):
        self.saved_at = state.global_step

    def on_epoch_end(self, args, state, control, **kwargs):
        """The epoch has not ended: no evaluation, and a checkpoint only if the step has left none."""
        if self.stopped_at is not None:
            control.should_log = control.should_evaluate = False
            control.should_save = self.saves and self.saved_at != self.stopped_at

    def on_train_end(self, args, state, control, **kwargs):
        self.restore()

    def restore(self):
        """Signals as they were before training."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Training may have ended in an error, and then without a word to its callbacks."""
        self.restore()

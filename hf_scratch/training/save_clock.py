"""A checkpoint every few minutes, to go on from if the run is killed: a budget plans no steps that could be counted."""

import shutil
import time
from pathlib import Path

from transformers import TrainerCallback

from .budget import agreed
from .resume import checkpoints

EVERY = 300.0  # seconds; a shorter run loses no more than itself
STEPS = 10  # between two looks at the clock, at which several processes wait for each other


class SaveClock(TrainerCallback):
    """Asks for a checkpoint when the last one is `EVERY` seconds ago. Add it before what must know of it, such as `Budget`.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock=time.monotonic):
        self.clock = clock

    def on_train_begin(self, args, state, control, **kwargs):
        """The first wait begins."""
        self.since = self.clock()

    def on_step_end(self, args, state, control, **kwargs):
        """Save, if it is time."""
        if state.global_step % STEPS == 0 and agreed(self.clock() - self.since, args) >= EVERY:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        """The next wait begins, whoever asked for the checkpoint."""
        self.since = self.clock()


def drop_checkpoints(folder: str):
    """Of a run that has come to its end: there is nothing to go on to, and its model is in the folder itself."""
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint)
    Path(folder, "last").unlink(missing_ok=True)

"""What a run says while it works: lines, notes, and steps that show how long they take."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import datasets
import huggingface_hub.utils
import transformers.utils.logging
from tqdm.auto import tqdm

from ..screen import show

PATIENCE = 2.0  # seconds; a step that is done sooner shows nothing


class Narrator:
    """Prints in one process of all, and keeps what the report needs: the notes, and the seconds of each step.

    On a terminal a step that lasts shows a bar with its time; elsewhere, one line when it is done.

    Args:
        speaks: whether this process prints.

    Attributes:
        notes: what was said by `note`.
        seconds: of each step by its name; the steps inside a step are not taken off it.
    """

    def __init__(self, speaks: bool = True):
        self.speaks = speaks
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}

    def __call__(self, line: str):
        if self.speaks:
            show(line, flush=True)

    def note(self, text: str):
        """Say what a reader of the results must know."""
        self.notes.append(text)
        self(f"  note: {text}")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        start, done = time.perf_counter(), threading.Event()
        live = self.speaks and sys.stderr.isatty()
        ticker = threading.Thread(target=tick, args=(name, done), daemon=True)
        if live:
            ticker.start()
        try:
            yield
        finally:
            done.set()
            if live:
                ticker.join()
            seconds = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0) + seconds, 2)
            if seconds >= PATIENCE and not live:
                self(f"  {name}: {seconds:.1f} s")


def quiet_bars(training, given: set[str]):
    """Where nobody watches a terminal, leave out the bars of all libraries: in a file each of their steps would be a line.

    Args:
        training: TrainingArguments; Trainer then prints what it logs.
        given: flags that the user set, and that stay.
    """
    if sys.stderr.isatty():
        return
    for module in (datasets, transformers.utils.logging, huggingface_hub.utils):
        getattr(module, "disable_progress_bars", getattr(module, "disable_progress_bar", None))()
    if "disable_tqdm" not in given:
        training.disable_tqdm = True


def tick(name: str, done: threading.Event):
    """A bar that shows the time until a step is done."""
    if done.wait(PATIENCE):
        return
    with tqdm(desc=f"  {name}", bar_format="{desc}: {elapsed}", leave=True) as bar:
        bar.start_t -= PATIENCE
        while not done.wait(0.2):
            bar.refresh()
        bar.refresh()

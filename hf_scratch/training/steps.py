"""Runs as steps of a longer work, each a process of its own: what is done stays done, what was stopped goes on."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import Stopped, UserError
from ..screen import show
from .checkpoints import what_is_missing
from .launch import environment_alone
from .resume import RECORD, checkpoints, has_optimizer

STOPPED = 75
# Asked for by a key, by the system, or by a terminal that closes; the run finishes its step and saves.
PASSED_ON = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}


@dataclass(frozen=True)
class Step:
    """One run.

    Args:
        what: it is, in the words of messages.
        place: its folder; what it says goes to a file of the same name that ends in .log.
        module: that Python runs, and its first words.
        flags: of the run, without --output_dir.
    """

    what: str
    place: Path
    module: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def log(self) -> Path:
        """What the run says."""
        return self.place.with_name(f"{self.place.name}.log")

    def record(self) -> dict:
        """What run.json holds so far."""
        path = self.place / RECORD
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def is_done(self) -> bool:
        """Whether the run came to its end; a collapsed one did."""
        return bool(self.record().get("results"))

    def command(self) -> list[str]:
        """Goes on from a checkpoint that the run was stopped at, or begins anew."""
        goes_on = any(what_is_missing(found) is None and has_optimizer(found) for found in checkpoints(str(self.place)))
        how = ["--resume_from_checkpoint", "last"] if goes_on else ["--overwrite_output_dir"]
        return [sys.executable, "-m", *self.module, *self.flags, "--output_dir", str(self.place), *how]

    def take(self):
        """Run it, if it is not done yet.

        Raises:
            UserError: if it fails, with what it said.
            Stopped: on request.
        """
        if self.is_done():
            return show(f"{self.what}: done before", flush=True)
        show(f"{self.what} (it speaks to {self.log})", flush=True)
        started = time.perf_counter()
        code, asked = self.wait()
        if self.is_done():
            collapsed = self.record().get("collapsed")
            show(f"  done in {time.perf_counter() - started:.0f} s{f'; note: {collapsed}' if collapsed else ''}", flush=True)
        elif not asked and code != STOPPED:
            raise UserError(
                f"{self.what} ended with code {code}, but every step is needed; mend what it says below, then give the "
                f"command again, which keeps the steps that are done: {last_words(self.log)}"
            )
        if asked or code == STOPPED:
            raise Stopped(f"stopped: {self.what}; what is done is kept, go on with the same command")

    def wait(self) -> tuple[int, bool]:
        """Run the process to its end; its exit code, and whether it was asked to stop.

        It has a session of its own, so that a key on the terminal reaches it once: through us.
        """
        asked = []
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, env=environment_alone(), start_new_session=True
            )

        def pass_on(number, frame):
            asked.append(number)
            child.send_signal(PASSED_ON[number])

        handlers = {number: signal.getsignal(number) for number in PASSED_ON}
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, pass_on)
        try:
            return child.wait(), bool(asked)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def last_words(log: Path) -> str:
    """The error that a process ended with, or the end of what it said."""
    words = log.read_text(encoding="utf-8", errors="replace").strip()
    return words[-2000:].rpartition("error: ")[2]

"""How a command ends that does not end well: what the user can mend, and what was stopped and can go on."""

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from .screen import show

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
INTERRUPTED = 130  # 128 + SIGINT, as shells count
LOST = ("Connection closed by peer", "Connection reset by peer", "connection was lost", "ProcessGroup", "Socket Timeout")
ROOM = (
    "make room, mend the permissions, or take other places: --output_dir for a run, the variable HF_HOME for rows and tokens; "
    "checkpoints that are whole stay, and --resume_from_checkpoint last goes on from them"
)


class UserError(ValueError):
    """What the user can mend. Its message gives the value, the rule and the remedy; commands exit with code 2."""


class Stopped(Exception):
    """A run that ended on request, between two steps, and can go on from there; commands exit with code 75 (EX_TEMPFAIL)."""


def ended(action: Callable[[], int | None]) -> int:
    """Run a command; its exit code: 0 done, 2 the user can mend it, 75 stopped and can go on, 130 ended by Ctrl-C at once.

    One of several processes ends at once, whatever the others do: their launcher ends them, so that nobody waits.
    """
    try:
        return action() or 0
    except UserError as error:
        code, words = 2, f"error: {error}"
    except Stopped as error:
        code, words = 75, str(error)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        code, words = 2, f"error: {error}, but files have to be read and written here; {ROOM}"
    except KeyboardInterrupt:
        code, words = INTERRUPTED, "ended by Ctrl-C; nothing more was saved, and what was saved before stays"
    except Exception:
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            raise
        code, words = 1, traceback.format_exc()
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        show(words, file=sys.stderr)
        return code
    leave(code, words)


def leave(code: int, words: str):
    """End one of several processes, the one that failed first: where all fail alike, one message is enough."""
    rank = int(os.environ.get("RANK", 0))
    lost = any(mark in words for mark in LOST)
    time.sleep(5 if lost else 2 if rank else 0)
    if code != 75 or rank == 0:
        show("ended, because another process has" if lost else words, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(code)  # waiting for the others' last exchange would be waiting for ever


def closest(word: str, choices) -> str:
    """' Did you mean ...?' for the choice that looks most like `word`, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def runs_near(folder: str) -> str:
    """'give one of ...': the runs inside a folder, or beside one that is not there; those that begin alike, the newest first.

    A name without a slash may be one of the Hub's: beside it only those that begin alike count.
    """
    path = Path(folder)
    records = (path if path.is_dir() else path.parent).glob("*/run.json")
    runs = [record.parent for record in sorted(records, key=os.path.getmtime, reverse=True)]
    if not path.exists():
        alike = [run for run in runs if run.name.startswith(path.name)]
        runs = alike or (runs if path.parent.name else [])
    return f"give one of {', '.join(map(str, runs[:3]))}" if runs else ""


def missing_folder(name: str, remedy: str) -> UserError:
    """The refusal of a run's folder that is not there: with the runs that are near, or the remedy if there are none."""
    return UserError(f"{name}: no such folder; {runs_near(name) or remedy}")

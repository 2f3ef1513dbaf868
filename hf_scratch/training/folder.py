"""The folder of a run: never one that holds something else, never a run overwritten unasked."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from ..errors import UserError
from .checkpoints import what_is_missing
from .resume import RECORD, checkpoints, has_optimizer

# What a run writes: the rest of a folder is the user's, and stays.
WRITTEN = (
    *("checkpoint-*", "config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*", "vocab.txt"),
    *("special_tokens_map.json", "best", "last", "unfinished", "*_results.json", "trainer_state.json", "predictions.*"),
    *("roundtrip.json", "report", "probe", "probes.json", "seed-*", "README.md", "*.py", RECORD),
)
HELD = {}  # descriptors of the folders that this process writes, by device and inode


def check_folder(folder: str, checkpoint: str | None, overwrite: bool, inputs: Iterable[str | None] = ()):
    """Refuse a folder that is in use; changes nothing.

    Args:
        folder: of the run.
        checkpoint: that the run goes on from, if it does.
        overwrite: whether the run that the folder holds may be replaced.
        inputs: files and folders that the run reads.

    Raises:
        UserError: if it cannot be written, holds a run that is neither continued nor replaced, or holds other things.
    """
    path = Path(folder).resolve()
    ground = next(parent for parent in (path, *path.parents) if parent.exists())
    if not ground.is_dir():
        raise UserError(f"--output_dir {folder}: {ground} is a file, but a run needs a folder; give another name")
    if not os.access(ground, os.W_OK):
        raise UserError(f"--output_dir {folder}: {ground} cannot be written to; give another folder, or mend its permissions")
    if ground != path or not any(path.iterdir()):
        return
    if not Path(path, RECORD).exists():
        raise UserError(
            f"--output_dir {folder} holds files that are no run ({', '.join(sorted(e.name for e in path.iterdir())[:3])}), and "
            "they could be overwritten; give a new or an empty folder"
        )
    if checkpoint:
        return
    if not overwrite:
        resumable = any(what_is_missing(found) is None and has_optimizer(found) for found in checkpoints(folder))
        going_on = "continue it with --resume_from_checkpoint last, " if resumable else ""
        raise UserError(
            f"--output_dir {folder} holds a run; {going_on}replace it with --overwrite_output_dir, or give another folder"
        )
    inside = [name for name in inputs if name and Path(name).resolve().is_relative_to(path)]
    if inside:
        raise UserError(f"--overwrite_output_dir would delete what the run reads: {inside[0]}; give another --output_dir")


def open_folder(folder: str, overwrite: bool, goes_on: bool = False):
    """Make the folder, and keep it to this process; with `overwrite`, without the files of the run that it holds.

    Raises:
        UserError: if another process is writing a run into it, or has written one since it was looked at.
    """
    path = Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    hold(path)
    if not Path(path, RECORD).exists() or goes_on:
        return
    if not overwrite:
        raise UserError(f"--output_dir {folder} holds a run that began meanwhile; give another folder")
    for entry in [entry for pattern in WRITTEN for entry in path.glob(pattern)]:
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def hold(folder: Path):
    """Lock a folder until this process ends, even by SIGKILL. Nothing is left in it; some file systems know no locks.

    Raises:
        UserError: if another process holds it.
    """
    place = (folder.stat().st_dev, folder.stat().st_ino)
    if fcntl is None or place in HELD:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(
            f"--output_dir {folder}: another process is writing a run there, and both would be lost; wait for it, or give "
            "another folder"
        ) from error
    except OSError:
        pass
    HELD[place] = descriptor


def let_go():
    """Of a forked process: it would hold the folder longer than the one that writes there."""
    for descriptor in HELD.values():
        os.close(descriptor)
    HELD.clear()


if fcntl:
    os.register_at_fork(after_in_child=let_go)

"""The folder of a run: never one that holds something else, never a run overwritten unasked."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from .checkpoints import what_is_missing
from .resume import RECORD, checkpoints, has_optimizer

# What a run writes: the rest of a folder is the user's, and stays.
WRITTEN = (
    *("checkpoint-*", "config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*", "vocab.txt"),
    *("special_tokens_map.json", "best", "last", "unfinished", "*_results.json", "trainer_state.json", "predictions.*"),
    *("roundtrip.json", "report", "seed-*", "README.md", "*.py", RECORD),
)


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


def open_folder(folder: str, overwrite: bool):
    """Make the folder; with `overwrite`, without the files of the run that it holds."""
    path = Path(folder).resolve()
    if overwrite and Path(path, RECORD).exists():
        for entry in [entry for pattern in WRITTEN for entry in path.glob(pattern)]:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    path.mkdir(parents=True, exist_ok=True)

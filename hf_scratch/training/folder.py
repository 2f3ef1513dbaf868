"""The folder of a run: never one that holds something else, never a run overwritten unasked."""

import shutil
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from ..errors import UserError

RECORD = "run.json"


def check_folder(folder: str, resume: bool, overwrite: bool):
    """Refuse a folder that is in use; changes nothing.

    Raises:
        UserError: if it is a file, holds a run that is neither continued nor replaced, or holds other things.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UserError(f"--output_dir {folder} is a file, but a run needs a folder; give another name")
    if not path.exists() or not any(path.iterdir()) or resume:
        return
    if not Path(path, RECORD).exists():
        raise UserError(
            f"--output_dir {folder} holds files that are no run ({', '.join(sorted(e.name for e in path.iterdir())[:3])}), and "
            "they could be overwritten; give a new or an empty folder"
        )
    if not overwrite:
        raise UserError(
            f"--output_dir {folder} holds a run; continue it with --resume_from_checkpoint last, replace it with "
            "--overwrite_output_dir, or give another folder"
        )


def open_folder(folder: str, overwrite: bool):
    """Make the folder; with `overwrite`, without the run that it holds."""
    if overwrite and Path(folder, RECORD).exists():
        shutil.rmtree(folder)
    Path(folder).mkdir(parents=True, exist_ok=True)


def find_checkpoint(folder: str, asked: str | None) -> str | None:
    """The checkpoint to go on from: None, a path, or the `last` of the folder.

    Raises:
        UserError: if there is none.
    """
    if asked is None:
        return None
    found = asked
    if asked in ("last", "true", "True"):
        found = get_last_checkpoint(folder) if Path(folder).is_dir() else None
    if found is None or not Path(found).is_dir():
        raise UserError(
            f"--resume_from_checkpoint {asked}: there is no such checkpoint in {folder}; give the folder of one, or leave the "
            "flag away to begin anew"
        )
    return found

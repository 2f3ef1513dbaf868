"""Checkpoints that are complete or absent: written aside, synchronized with the disk, renamed; `best` and `last` by name."""

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError
from transformers.trainer_utils import rotate_checkpoints

from ..errors import UserError

ASIDE = "unfinished"  # where a checkpoint is until it is whole
FILES = "files.json"  # what a whole checkpoint holds, and how many bytes of each
PENDING = "pending.json"  # losses since the last line of the log, one a process: the next line is a mean over them too
STATE = "trainer_state.json"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}


def save_whole(trainer, save):
    """Let a Trainer write its checkpoint aside, and put it into its place when all of it is on the disk.

    Args:
        trainer: writes to `aside` while that is set.
        save: writes the checkpoint, on every process.

    Raises:
        UserError: if the disk is full or cannot be written; earlier checkpoints are left as they are.
    """
    output_dir, name = Path(trainer.args.output_dir), f"checkpoint-{trainer.state.global_step}"
    aside, place = output_dir / ASIDE, output_dir / name
    pending = trainer.accelerator.gather(trainer._tr_loss.detach().reshape(1)).tolist()
    trainer.aside = str(aside)
    try:
        save()
        trainer.accelerator.wait_for_everyone()  # each process writes its own random state
        if trainer.args.should_save:
            (aside / name / PENDING).write_text(json.dumps({"losses": pending, "step": trainer._globalstep_last_logged}))
            settle_best(trainer.state, aside / name, place)
            seal(aside / name)
            move(aside / name, place)
            shutil.rmtree(aside, ignore_errors=True)
            point(output_dir, trainer.state.best_model_checkpoint, name)
            rotate_checkpoints(str(output_dir), trainer.args.save_total_limit, trainer.state.best_model_checkpoint)
        trainer.accelerator.wait_for_everyone()
    except Exception as error:
        if not is_of_the_disk(error):
            raise
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(not_written(name, output_dir, error)) from error
    finally:
        trainer.aside = None
    settle_best(trainer.state, place, place)


def read_pending(trainer, checkpoint: str | None):
    """Give a Trainer that goes on the losses since the last line of the log, as far as they were this process's."""
    path = Path(checkpoint or "", PENDING)
    if not checkpoint or not path.exists():
        return
    pending = json.loads(path.read_text())
    world_size, losses = trainer.args.world_size, pending["losses"]
    own = losses[trainer.args.process_index] if len(losses) == world_size else sum(losses) / len(losses)
    trainer._tr_loss += own
    trainer._globalstep_last_logged = pending["step"]


def settle_best(state, written: Path, place: Path):
    """Trainer takes the best checkpoint to be where this one was written; it is where it will be."""
    if state.best_model_checkpoint and Path(state.best_model_checkpoint).name == place.name:
        state.best_model_checkpoint = str(place)
    elif state.best_model_checkpoint is None and state.best_global_step:
        best = place.with_name(f"checkpoint-{state.best_global_step}")
        state.best_model_checkpoint = str(best) if best.is_dir() or best == place else None
    if written != place:
        state.save_to_json(str(written / STATE))


def seal(folder: Path):
    """Write down what a checkpoint holds, and wait until the disk has it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files}
    (folder / FILES).write_text(json.dumps(sizes, indent=1), encoding="utf-8")
    for path in [*files, folder / FILES, *(path for path in folder.rglob("*") if path.is_dir()), folder]:
        synchronize(path)


def move(written: Path, place: Path):
    """Rename, which is done whole or not at all; what stood there before goes aside first."""
    if place.exists():
        place.rename(written.with_name("replaced"))
    written.rename(place)
    synchronize(place.parent)


def synchronize(path: Path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point(folder: Path, best: str | None, last: str):
    """The links `best` and `last`; a file system without links has the names in trainer_state.json alone."""
    for name, target in (("best", best and Path(best).name), ("last", last)):
        if target:
            with contextlib.suppress(OSError):
                aside = folder / f".{name}"
                aside.unlink(missing_ok=True)
                aside.symlink_to(target, target_is_directory=True)
                aside.replace(folder / name)


def what_is_missing(folder: Path) -> str | None:
    """Why a checkpoint is not whole, in words; None if it is."""
    if not (folder / STATE).is_file():
        return f"it has no {STATE}: it was cut off while it was saved"
    try:
        json.loads((folder / STATE).read_text(encoding="utf-8"))
        sizes = json.loads((folder / FILES).read_text(encoding="utf-8")) if (folder / FILES).exists() else {}
    except ValueError as error:
        return f"its {STATE} or {FILES} is cut off or damaged ({error})"
    for name, size in sizes.items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found != size:
            return f"{name} has {'gone' if found is None else f'{found:,} of {size:,} bytes'}"
    return None


def is_of_the_disk(error: BaseException) -> bool:
    """Whether writing failed because of the disk; libraries in Rust and C++ give its words, not its number."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    words = str(error)
    named = any(os.strerror(number) in words for number in NO_ROOM) or "PytorchStreamWriter failed" in words
    return (named and not isinstance(error, UserError)) or isinstance(error, SafetensorError)


@contextlib.contextmanager
def explained(folder: str):
    """Around writing the model: a disk that takes no more is the user's to mend."""
    try:
        yield
    except Exception as error:
        if is_of_the_disk(error):
            raise UserError(not_written("model.safetensors", Path(folder), error)) from error
        raise


def not_written(name: str, folder: Path, error: BaseException) -> str:
    """What to do when the disk takes no more."""
    whole = [path for path in folder.glob("checkpoint-*") if what_is_missing(path) is None]
    newest = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    free = shutil.disk_usage(folder if folder.exists() else ".").free / 1e6
    rest = f"{newest} is whole: go on from it with --resume_from_checkpoint last" if newest else "no checkpoint is whole yet"
    return (
        f"{folder / name} could not be written ({' '.join(str(error).split())}; {free:,.0f} MB are free), but a checkpoint is "
        f"whole or absent; make room or give another --output_dir, --save_total_limit 1 keeps fewer; {rest}"
    )

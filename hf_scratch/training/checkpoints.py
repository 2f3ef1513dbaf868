"""Checkpoints that are complete or absent: written aside, synchronized with the disk, renamed; `best` and `last` by name."""

import contextlib
import json
import shutil
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError
from torch.distributed.fsdp import FSDPModule
from torch.serialization import register_package
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import rotate_checkpoints

from ..errors import UserError
from .disk import is_of_the_disk, put_in_place, replace_json, synchronize
from .faults import is_out_of_memory
from .sharding import whole_copy

ASIDE = "unfinished"  # where a checkpoint is until it is whole
FILES = "files.json"  # what a whole checkpoint holds, and how many bytes of each
PENDING = "pending.json"  # losses since the last line of the log, one a process: the next line is a mean over them too
STATE = "trainer_state.json"

# Before 5.23 transformers has several processes on a CPU load their optimizer to cpu:0, which torch knows as cpu only.
register_package(15, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None)


class WholeCheckpoints:
    """Before Trainer among the bases: what it leaves in its folder is whole, and holds no pickle of its arguments.

    Attributes:
        aside: where a checkpoint is written, while it is.
        whole: the model as it was saved last, if the one that trains is in shards; on the process that saves.
    """

    aside: str | None = None
    whole: PreTrainedModel | None = None

    def _get_output_dir(self, trial):
        return self.aside or super()._get_output_dir(trial)

    def _save_checkpoint(self, model, trial):
        save_whole(self, lambda: super(WholeCheckpoints, self)._save_checkpoint(model, trial))

    def save_model(self, output_dir=None, _internal_call=False):
        """Trainer's; but the model that a run ends in replaces an earlier one at a stroke."""
        if _internal_call:
            return super().save_model(output_dir, True)
        save_model_whole(self, Path(output_dir or self.args.output_dir), super().save_model)

    def _save(self, output_dir=None, state_dict=None):
        """Trainer's, without the pickle of its arguments, which holds the token; run.json has them."""
        sharded = self.model
        if isinstance(sharded, FSDPModule) and self.args.should_save:
            self.model = self.whole = whole_copy(sharded, state_dict)
        super()._save(output_dir, state_dict)
        self.model = sharded
        Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def save_metrics(self, split, metrics, combined=True):
        """Trainer's files. It reads all_results.json again: half of one would end every later run in this folder."""
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        replace_json(folder / f"{split}_results.json", metrics)
        if combined:
            path = folder / "all_results.json"
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            replace_json(path, before | metrics)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        with read_explained(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self):
        with read_explained(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _load_optimizer_and_scheduler(self, checkpoint):
        with read_explained(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint):
        """Trainer's random states, and the losses that the next line of the log is a mean over, too."""
        with read_explained(checkpoint):
            super()._load_rng_state(checkpoint)
            read_pending(self, checkpoint)

    def _finalize_training(self, trial, num_train_samples, start_time):
        """Trainer's, without deleting the last checkpoint where it is not the best: it is there to go on from."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        output = super()._finalize_training(trial, num_train_samples, start_time)
        self.args.save_total_limit = limit
        return output


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
        clear(trainer, aside)
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


def save_model_whole(trainer, folder: Path, save):
    """Let a Trainer write its model aside, and put it over the one that stands in the folder, the weights last.

    Args:
        trainer: whose process writes, or does not.
        folder: of the model.
        save: writes the model into a folder, on every process.

    Raises:
        UserError: if the disk is full or cannot be written; an earlier model is left as it is.
    """
    aside = folder / ASIDE
    try:
        clear(trainer, aside)
        save(str(aside / "model"), True)
        if trainer.args.should_save:
            put_in_place(aside / "model", folder, last="model.safetensors")
            shutil.rmtree(aside, ignore_errors=True)
    except Exception as error:
        if not is_of_the_disk(error):
            raise
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(not_written("model.safetensors", folder, error)) from error


@contextlib.contextmanager
def read_explained(checkpoint: str | None):
    """Around reading a checkpoint, whose files may be as long as they were and hold something else.

    Raises:
        UserError: in place of the many errors that readers of damaged files have.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, UnpicklingError, SafetensorError) as error:
        if checkpoint is None or is_out_of_memory(error):
            raise
        others = [path for path in Path(checkpoint).parent.glob("checkpoint-*") if path != Path(checkpoint)]
        whole = sorted((path for path in others if what_is_missing(path) is None), key=lambda path: path.stat().st_mtime)
        remedy = f"go on from {whole[-1]} by --resume_from_checkpoint" if whole else "begin anew in another --output_dir"
        words = " ".join(str(error).split())[:300]
        raise UserError(
            f"{checkpoint} cannot be read ({words}), but a run goes on from a whole checkpoint of its own model; if its files "
            f"are damaged, {remedy}; if it is of another model, name that one"
        ) from error


def clear(trainer, aside: Path):
    """Away with what a run that was killed while it saved has left."""
    if trainer.args.should_save:
        shutil.rmtree(aside, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


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

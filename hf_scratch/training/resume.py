"""Going on from a checkpoint: which one, and whether it is the same run."""

import json
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from .checkpoints import what_is_missing

RECORD = "run.json"
LAST = ("last", "true", "True")
# Arguments that change neither weights nor curve; where the rows are is in the fingerprint of the data.
HARMLESS = (
    *("output_dir", "resume", "restore", "log", "save", "hub", "push", "report", "run_name", "project", "trackio", "disable"),
    *("dataloader", "ddp", "debug", "skip_memory", "include", "per_device", "gradient_accumulation_steps", "do_", "cache_dir"),
    *("train_batch_size", "eval_batch_size"),  # derived from per_device_...: the rows of an update are compared
    *(
        "local_rank",
        "eval_accumulation",
        "eval_do_concat",
        "eval_on_start",
        "eval_by_tokens",
        "use_cpu",
        "token",
        "auto_find",
        "torch_empty",
    ),
    *("train_file", "validation_file", "test_file", "preprocessing_num_workers", "overwrite", "enable_jit"),
    *("recipe", "probe"),
)
COMPARED = ("model", "data", "pretrain", "regularization", "intermediate", "speed", "training")


def find_checkpoint(folder: str, asked: str | None, say: Callable = print) -> str | None:
    """The checkpoint to go on from: None, a path, or the `last` whole one of the folder.

    Args:
        folder: of the run.
        asked: `last`, a path or nothing.
        say: told of the checkpoints that are passed over.

    Raises:
        UserError: if there is none that is whole and holds its optimizer.
    """
    if asked is None:
        return None
    wanted = checkpoints(folder) if asked in LAST else [Path(asked)]
    flaws = {path: what_is_missing(path) for path in wanted}
    whole = [path for path, flaw in flaws.items() if flaw is None]
    resumable = [path for path in whole if has_optimizer(path)]
    if asked in LAST and not Path(folder).exists():
        raise UserError(
            f"--resume_from_checkpoint {asked}: there is no whole checkpoint in {folder}, for there is no such folder; give "
            "the --output_dir of the run to go on with, or leave the flag away to begin anew"
        )
    if not whole:
        seen = "".join(f"; {path.name}: {flaw}" for path, flaw in flaws.items())
        others = [path for path in checkpoints(folder) if what_is_missing(path) is None and has_optimizer(path)]
        other = f"; {others[0]} is whole: --resume_from_checkpoint last takes it" if others else ""
        raise UserError(
            f"--resume_from_checkpoint {asked}: there is no whole checkpoint in {folder}{seen}{other}; give the folder of one, "
            "or leave the flag away to begin anew"
        )
    if not resumable:
        raise UserError(
            f"{whole[0]} was saved without its optimizer (save_only_model), so that going on from it would be another run; "
            "begin anew, and add --save_only_model false to be able to resume"
        )
    for path in wanted[: wanted.index(resumable[0])]:
        say(f"note: {path} is not whole ({flaws[path] or 'saved without its optimizer'}); going on from {resumable[0]}")
    return str(resumable[0])


def checkpoints(folder: str) -> list[Path]:
    """Of a run, the newest first."""
    steps = {path: path.name.split("-")[1] for path in Path(folder).glob("checkpoint-*") if path.is_dir()}
    return sorted((path for path, step in steps.items() if step.isdigit()), key=lambda path: int(steps[path]), reverse=True)


def has_optimizer(checkpoint: Path) -> bool:
    return any(checkpoint.glob("optimizer*")) or any(checkpoint.glob("pytorch_model_fsdp*"))


def check_same_run(checkpoint: str, arguments: dict, fingerprint: str, processes: int) -> str | None:
    """Compare with the record of the run that the checkpoint is of.

    Args:
        checkpoint: its folder is in that of its run.
        arguments: of this run, by group, as run.json holds them.
        fingerprint: of this run's data.
        processes: of this run.

    Returns:
        What differs and changes no more than the last digits; or None.

    Raises:
        UserError: if anything else differs.
    """
    path = Path(checkpoint).resolve().parent / RECORD
    if not path.exists():
        return f"{path} is not there: whether data and flags are those of the checkpoint cannot be told"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} is cut off or damaged ({error}), but it tells data and flags of the run; to go on without it, give "
            f"--resume_from_checkpoint {checkpoint} and another --output_dir, and move the file away"
        ) from error
    now = json.loads(json.dumps({"arguments": arguments}))
    if "data" in before and before["data"] != fingerprint:
        raise UserError(
            f"{checkpoint} belongs to other rows than those read now (their fingerprints differ), and its position in them "
            "would mean nothing; give the same data flags and files, or begin anew in another --output_dir"
        )
    different = differences(before.get("arguments", {}), now["arguments"])
    batches = [global_batch(before, before.get("processes", 1)), global_batch(now, processes)]
    if batches[0] != batches[1]:
        different.append(f"rows an update: {batches[0]}, now {batches[1]}{flags_for(batches, now, processes)}")
    if different:
        raise UserError(
            f"{checkpoint} was trained with other flags ({'; '.join(different)}), and going on would be neither run; give the "
            "same flags, or begin a new run in another --output_dir"
        )
    if before.get("processes", 1) != processes:
        return (
            f"the run began on {before.get('processes', 1)} processes and goes on with {processes}: the batches stay the same, "
            "what is drawn at random (dropout) does not"
        )
    return None


def write_start(folder: str, checkpoint: str | None, facts: dict, write: Callable):
    """Write the record of a run that begins; of one that goes on, when and where it did, and leave the rest as it is.

    Args:
        folder: of the run.
        checkpoint: that it goes on from, or None.
        facts: of the record.
        write: writes keys into a folder's record.
    """
    path = Path(folder, RECORD)
    before = json.loads(path.read_text(encoding="utf-8")) if checkpoint and path.exists() else None
    if before is None:
        return write(folder, **facts, **({"resumed": [{"from": checkpoint}]} if checkpoint else {}))
    again = {name: value for name, value in facts.items() if before.get(name) != value and name != "arguments"}
    write(folder, resumed=[*before.get("resumed", []), {"from": checkpoint, **again}])


def differences(before: dict, now: dict) -> list[str]:
    """`flag: value, now value` for each argument that matters and that both know."""
    found = []
    for group in COMPARED:
        old, new = before.get(group, {}), now.get(group, {})
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name] and not name.startswith(HARMLESS):
                found.append(f"--{name}: {old[name]}, now {new[name]}")
    return found


def global_batch(record: dict, processes: int) -> int:
    """Rows of an update; of batches filled with tokens, which do not depend on the processes, how many."""
    arguments = record.get("arguments", {})
    training = arguments.get("training", {})
    if arguments.get("speed", {}).get("max_tokens_per_batch"):
        return training.get("gradient_accumulation_steps", 1)
    return training.get("per_device_train_batch_size", 1) * training.get("gradient_accumulation_steps", 1) * processes


def flags_for(batches: list[int], record: dict, processes: int) -> str:
    """What would keep the rows of an update on another number of processes, in words; nothing where they do not divide.

    Args:
        batches: rows of an update, before and now.
        record, processes: of this run.
    """
    (before, now), training = batches, record["arguments"].get("training", {})
    size, steps = (training.get(name, 1) for name in ("per_device_train_batch_size", "gradient_accumulation_steps"))
    if before % now == 0:
        flag = f"--gradient_accumulation_steps {steps * before // now}"
    elif size * before % now == 0:
        flag = f"--per_device_train_batch_size {size * before // now}"
    else:
        return ""
    return f"; {flag} keeps them on {processes} process{'es' if processes > 1 else ''}"


def epochs_before(checkpoint: str | None) -> float:
    """How many epochs a checkpoint was trained for, 0 for none."""
    return json.loads(Path(checkpoint, "trainer_state.json").read_text(encoding="utf-8"))["epoch"] if checkpoint else 0.0

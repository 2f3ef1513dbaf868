"""How many processes a run has, how many were asked for, and the command that starts it again."""

import ctypes
import os
import shlex
import signal
import sys
from functools import cache
from pathlib import Path

import psutil
from accelerate.commands.config import config_args

from ..errors import UserError
from .arguments import RunArguments, hide_token

LAUNCHERS = ("accelerate", "torchrun", "torch.distributed.run", "accelerate.commands.launch")
# Of a process among several; what it starts must not take itself for one of them.
OF_A_LAUNCH = ("RANK", "LOCAL_", "WORLD_SIZE", "MASTER_", "GROUP_", "ROLE_", "TORCHELASTIC_", "ACCELERATE_", "FSDP_")
STARTER = "HF_SCRATCH_STARTED_BY"  # the process whose step or probe this one is
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
DROPPED = ("--resume_from_checkpoint", "--overwrite_output_dir")


def check_processes(running: int, script: str = "run_glue_style.py"):
    """Refuse to be one of several copies that know nothing of each other, and to be fewer than were asked for.

    Args:
        running: processes that train together.
        script: what they run, as torchrun takes it.

    Raises:
        UserError: if more were asked for.
    """
    asked, by = asked_for(launcher(), os.environ)
    if asked > running:
        raise UserError(
            f"{by} asks for {asked} processes, but {running} {'is' if running == 1 else 'are'} running together (accelerate "
            f"starts one where it was told --cpu); start them with torchrun --nproc_per_node {asked} {script} ... "
            "--use_cpu (or without --use_cpu on GPUs)"
        )


def end_with_launcher():
    """Take the end of the launcher, or of the ladder that this run is a step of, even by SIGKILL, for a request to stop.

    Its processes would go on alone, and write into the folder of whoever goes on with the run. (Linux tells them, others not.)
    """
    starter = os.environ.get(STARTER)
    if sys.platform == "linux" and (launcher() or starter):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        ended = os.getppid() != int(starter) if starter else parent_words() != launcher()
        if ended:  # before, and nobody tells
            signal.raise_signal(signal.SIGTERM)


def asked_for(words: list[str], environment) -> tuple[int, str]:
    """How many processes the launcher's command line or the job asks for, and which of them says so.

    Args:
        words: of the launcher's command line, empty if there is none.
        environment: variables.
    """
    if any(Path(word).name.startswith("accelerate") for word in words[:3]) and "launch" in " ".join(words):
        named = value_of(words, "--num_processes")
        if named is None:
            path = value_of(words, "--config_file") or config_args.default_config_file
            named = config_args.load_config_from_file(path).num_processes if Path(path).is_file() else 1
        return int(named), "accelerate launch"
    for variable in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
        if environment.get(variable, "").isdigit():
            return int(environment[variable]), variable
    return 1, "nobody"


def value_of(words: list[str], flag: str) -> str | None:
    """Of `--flag value` or `--flag=value`, underscores and dashes alike."""
    spelled = [word.replace("-", "_") if word.startswith("--") else word for word in words]
    for place, word in enumerate(spelled):
        name, equals, value = word.partition("=")
        if name == flag.replace("-", "_"):
            return value if equals else words[place + 1] if place + 1 < len(words) else None
    return None


@cache
def launcher() -> list[str]:
    """The command line of the launcher that started this process, if it has ended since too; empty if nobody launched it."""
    words = parent_words()
    return words if any(Path(word).name in LAUNCHERS for word in words[:4]) else []


def parent_words() -> list[str]:
    """The command line of the process that is this one's parent now; empty if that cannot be known."""
    try:
        return psutil.Process().parent().cmdline()
    except (psutil.Error, AttributeError):
        return []


def environment_alone() -> dict[str, str]:
    """The environment for a process that belongs to no launch, and ends with this one."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(OF_A_LAUNCH)}
    return alone | {STARTER: str(os.getpid())}


def start_words(args: RunArguments) -> list[str]:
    """The words before the flags: the launcher with its own flags, and the script."""
    path = Path(args.command[0])
    script = ["-m", path.parent.name] if path.name == "__main__.py" else [str(path)]
    words, name = launcher(), Path(script[-1]).name
    places = [place for place, word in enumerate(words) if Path(word).name in (name, Path(name).stem)]
    return words[: places[0] + 1] if places else [Path(sys.executable).name, *script]


def resume_command(args: RunArguments) -> str:
    """The command that goes on with this run from its last checkpoint."""
    words, skipped = [], False
    for word in hide_token(args.command[1:]):
        name = word.split("=")[0].replace("-", "_").replace("__", "--", 1)
        skipped = (word.startswith("--") and name in DROPPED) or (skipped and not word.startswith("--"))
        words += [] if skipped else [word]
    if value_of(words, "--output_dir") is None:
        words += ["--output_dir", args.training.output_dir]
    return shlex.join([*start_words(args), *words, "--resume_from_checkpoint", "last"])


def record(args: RunArguments) -> dict:
    """What run.json holds of the processes."""
    training = args.training
    return {
        "processes": training.world_size,
        "launcher": hide_token(start_words(args)),
        "mode": training.parallel_mode.value,
        "precision": "bf16" if training.bf16 else "fp16" if training.fp16 else "float32",
    }

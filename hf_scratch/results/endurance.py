"""Kill runs again and again, go on with them, and compare what they end in with a run that was never killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..errors import UserError

WORDS = (("dull", "cold", "awful", "grim"), ("fine", "warm", "lovely", "bright"))
SIZES = "hidden_size=12,num_hidden_layers=1,num_attention_heads=3,intermediate_size=29,max_position_embeddings=37"
FLAGS = (
    *("--model_type", "scratch", "--config_overrides", f"{SIZES},hidden_dropout_prob=0.1", "--tokenizer_vocab_size", "151"),
    *("--max_seq_length", "37", "--r_drop", "1.0", "--token_dropout", "0.2", "--train_sampling_strategy", "group_by_length"),
    *("--gradient_accumulation_steps", "2", "--num_train_epochs", "40", "--learning_rate", "0.003", "--warmup_steps", "50"),
    *("--eval_strategy", "steps", "--eval_steps", "20", "--save_strategy", "steps", "--save_steps", "20"),
    *("--load_best_model_at_end", "--save_total_limit", "1", "--logging_steps", "7", "--early_stopping_patience", "999"),
    *("--baselines", "never", "--do_train", "--use_cpu", "--disable_tqdm", "true", "--no_collapse_stop"),
)
KILLS_A_RUN = 4
CLOCK = ("runtime", "per_second", "train_loss", "total_flos")


@dataclass(frozen=True)
class Ending:
    """What a run ended in, after `kills` at the given steps."""

    steps: list[int]
    weights_equal: bool
    curve_equal: bool


def kill_runs(times: int, processes: int, more: Sequence[str] = (), seed: int = 0):
    """Yield an `Ending` for every run, until `times` kills are done.

    Args:
        times: kills; up to four of them meet the same run, at random moments.
        processes: of each run.
        more: flags of the runs.
        seed: of the moments.
    """
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.csv")
        rows.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in make_rows(generator)), encoding="utf-8")
        whole = Path(folder, "whole")
        flags = [*FLAGS, "--train_file", str(rows), "--per_device_train_batch_size", str(8 // processes), *more]
        seconds = train(flags, whole, processes)
        while times > 0:
            kills, broken = min(KILLS_A_RUN, times), Path(folder, f"broken-{times}")
            steps = [kill(flags, broken, processes, generator.uniform(0, 1.2 * seconds / (kills + 1))) for _ in range(kills)]
            train(flags, broken, processes)
            same = (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
            yield Ending(steps, same, curve(broken) == curve(whole))
            times -= kills


def make_rows(generator: random.Random) -> list[tuple[str, str]]:
    """211 short texts whose words decide the label, most of the time."""
    rows = []
    for row in range(211):
        words = generator.choices(WORDS[row % 2], k=2) + generator.choices(WORDS[0] + WORDS[1], k=generator.randint(1, 9))
        rows.append((f"{' '.join(words)} {row}", ("bad", "good")[row % 2]))
    return rows


def start(flags: list[str], folder: Path, processes: int) -> subprocess.Popen:
    """Start a run, or go on with it."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "run_glue_style", *flags, "--output_dir", str(folder)]
    if (folder / "last").exists():
        command += ["--resume_from_checkpoint", "last"]
    elif folder.exists():
        command.append("--overwrite_output_dir")
    with open(f"{folder}.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def end(process: subprocess.Popen):
    """End a run's processes at once, as a machine that loses its power does; a launcher's are no part of its group."""
    process.send_signal(signal.SIGSTOP)  # or it would see them end
    processes = psutil.Process(process.pid).children(recursive=True)
    for one in (*processes, process):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(processes)


def wait_until(condition, process: subprocess.Popen, log: Path):
    while not condition():
        if process.poll() is not None:
            raise UserError(
                f"{log.stem!r} ended by itself with code {process.returncode}, but only kills may end a run; mend what it says "
                f"or try other --flags: {log.read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.01)


def train(flags: list[str], folder: Path, processes: int) -> float:
    """Train to the end; the seconds from the first checkpoint on. What follows training is left out."""
    process = start(flags, folder, processes)
    log = Path(f"{folder}.log")
    wait_until(lambda: (folder / "last").exists(), process, log)
    begun = time.perf_counter()
    wait_until(lambda: (folder / "model.safetensors").exists(), process, log)  # which comes last
    seconds = time.perf_counter() - begun
    end(process)
    return seconds


def kill(flags: list[str], folder: Path, processes: int, delay: float) -> int:
    """Start, and kill `delay` seconds after training has begun or gone on; the last step that was saved, 0 for none."""
    process = start(flags, folder, processes)
    log = Path(f"{folder}.log")
    wait_until(lambda: "{'loss'" in log.read_text(errors="replace"), process, log)
    time.sleep(delay)
    end(process)
    return int(os.readlink(folder / "last").split("-")[1]) if (folder / "last").is_symlink() else 0


def curve(folder: Path) -> list[dict]:
    """The log of a run without what depends on the clock."""
    log = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [{name: value for name, value in entry.items() if not name.endswith(CLOCK)} for entry in log]

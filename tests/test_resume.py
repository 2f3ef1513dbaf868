"""A run that is killed and started again is the run that was never killed."""

import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest

import run_glue_style
from hf_scratch.training import checkpoints
from hf_scratch.training.faults import FiniteLoss
from tests.conftest import TINY

# Everything that has a memory: dropout and R-Drop, token dropout, groups of length, warm-up, patience, the best checkpoint. A
# line of the log is a mean over 5 steps, a checkpoint is saved every 2: no rhythm meets another.
FLAGS = (
    *("--config_overrides", f"{TINY},hidden_dropout_prob=0.1", "--r_drop", "1.0", "--token_dropout", "0.2"),
    *("--per_device_train_batch_size", "9", "--gradient_accumulation_steps", "2", "--num_train_epochs", "3"),
    *("--train_sampling_strategy", "group_by_length", "--learning_rate", "0.01", "--warmup_steps", "3"),
    *("--logging_steps", "5", "--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"),
    *("--load_best_model_at_end", "--metric_for_best_model", "accuracy", "--save_total_limit", "2"),
    *("--early_stopping_patience", "9", "--baselines", "never"),
)
STEPS = 30


def start(flags: list[str], step: int | None = None, saving: bool = False):
    """Run the script; with `step`, be killed when it is done, or while its checkpoint is written."""

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    run_glue_style.certify = lambda *_: {"weights": 0, "texts": 0}
    if step and saving:
        seal = checkpoints.seal
        checkpoints.seal = lambda folder: die() if folder.name == f"checkpoint-{step}" else seal(folder)
    elif step:
        look = FiniteLoss.on_step_end
        FiniteLoss.on_step_end = lambda self, args, state, control, **kwargs: (
            die() if state.global_step == step else look(self, args, state, control, **kwargs)
        )
    raise SystemExit(run_glue_style.main(flags))


@pytest.fixture(scope="module")
def processes():
    """Processes of a server that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_resume"])

    def run(*args, **kwargs) -> int:
        process = context.Process(target=start, args=args, kwargs=kwargs)
        process.start()
        process.join(120)
        return process.exitcode

    return run


def curve(folder: Path) -> list[dict]:
    """The log without what depends on the clock."""
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    clock = ("runtime", "per_second", "train_loss", "total_flos")
    return [{key: value for key, value in entry.items() if not key.endswith(clock)} for entry in log]


@pytest.mark.slow
def test_three_kills_change_nothing(processes, scratch_flags, tmp_path):
    flags = [*scratch_flags, *FLAGS]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert processes([*flags, "--output_dir", str(unbroken)]) == 0
    generator = random.Random(8)
    first, second = sorted(generator.sample(range(3, STEPS - 2), 2))
    again = [*flags, "--output_dir", str(broken), "--resume_from_checkpoint", "last"]
    assert processes([*flags, "--output_dir", str(broken)], first) == -signal.SIGKILL
    assert processes(again, second) == -signal.SIGKILL
    while_saving = (second // 2 + 1) * 2
    assert processes(again, while_saving, saving=True) == -signal.SIGKILL
    assert (broken / "unfinished" / f"checkpoint-{while_saving}").exists()  # half a checkpoint, which nobody takes for one
    assert not (broken / f"checkpoint-{while_saving}").exists()
    assert processes(again) == 0
    assert (broken / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    assert curve(broken) == curve(unbroken)
    states = [json.loads((folder / "trainer_state.json").read_text()) for folder in (broken, unbroken)]
    for key in ("best_metric", "best_global_step", "global_step", "epoch", "stateful_callbacks"):
        assert states[0][key] == states[1][key]
    assert states[0]["best_global_step"] and Path(states[0]["best_model_checkpoint"]).parent == broken
    record = json.loads((broken / "run.json").read_text())
    assert len(record["resumed"]) == 3 and "--resume_from_checkpoint" not in record["command"]
    assert not (broken / "unfinished").exists()

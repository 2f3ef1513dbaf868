"""A run that is killed and started again is the run that was never killed."""

import contextlib
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
from tests.conftest import TINY, make_reviews

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


def start(flags: list[str], step: int | None = None, saving: bool = False, number: int = signal.SIGKILL):
    """Run the script; with `step`, get a signal when it is done, or while its checkpoint is written."""

    def die(*_, **__):
        os.kill(os.getpid(), number)

    run_glue_style.certify = lambda *_: {"weights": 0, "texts": 0}
    if step and saving:
        seal = checkpoints.seal
        checkpoints.seal = lambda folder: die() if folder.name == f"checkpoint-{step}" else seal(folder)
    elif step:
        look = FiniteLoss.on_step_end

        def signalled(self, args, state, control, **kwargs):
            if state.global_step == step:
                die()
            look(self, args, state, control, **kwargs)

        FiniteLoss.on_step_end = signalled
    log = Path(f"{flags[-1]}.log")  # the last flag names the folder
    with log.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        code = run_glue_style.main(flags)
    raise SystemExit(code)


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


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Flags that all runs share, but for their folder."""
    rows = tmp_path_factory.mktemp("rows") / "reviews.csv"
    rows.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in make_reviews(211)), encoding="utf-8")
    shared = ["--train_file", str(rows), "--model_type", "scratch", "--tokenizer_vocab_size", "151", "--max_seq_length", "37"]
    return [*shared, *FLAGS, "--disable_tqdm", "true", "--use_cpu"]


@pytest.fixture(scope="module")
def unbroken(processes, flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert processes([*flags, "--output_dir", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_three_kills_change_nothing(processes, flags, unbroken, tmp_path):
    broken = tmp_path / "broken"
    generator = random.Random(8)
    first, second = sorted(generator.sample(range(3, STEPS - 2), 2))
    again = [*flags, "--resume_from_checkpoint", "last", "--output_dir", str(broken)]
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
    results = [json.loads((folder / "all_results.json").read_text()) for folder in (broken, unbroken)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    record = json.loads((broken / "run.json").read_text())
    assert len(record["resumed"]) == 3 and "--resume_from_checkpoint" not in record["command"]
    assert not (broken / "unfinished").exists()


@pytest.mark.slow
def test_a_request_ends_with_a_code_and_the_command_that_goes_on(processes, flags, unbroken, tmp_path):
    """And a token is nowhere in what such a run leaves or prints."""
    secret = ["--token", "hf_seekrit", "--hub_token=hf_seekrit", "--output_dir", str(tmp_path / "run")]
    assert processes([*flags, *secret], 7, number=signal.SIGTERM) == 75
    printed = (tmp_path / "run.log").read_text()
    command = printed.split("stopped after step 7, all of it saved; go on with\n")[1].splitlines()[0]
    assert command.endswith("--resume_from_checkpoint last") and str(tmp_path / "run") in command
    assert processes([*flags, "--resume_from_checkpoint", "last", *secret]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    assert curve(tmp_path / "run") == curve(unbroken)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20 and not [path for path in files if b"seekrit" in path.read_bytes()]


@pytest.mark.slow
def test_other_flags_are_another_run(processes, flags, unbroken):
    changed = ["--learning_rate", "0.02", "--resume_from_checkpoint", "last", "--output_dir", str(unbroken)]
    assert processes([*flags, *changed]) == 2
    assert "was trained with other flags (--learning_rate: 0.01, now 0.02)" in Path(f"{unbroken}.log").read_text()

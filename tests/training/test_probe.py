import json
import subprocess
from types import SimpleNamespace

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.budget import Budget
from hf_scratch.training.probe import Probe


class Saved:
    """Stands for a model and a tokenizer: saving makes the folder."""

    def save_pretrained(self, folder):
        folder.mkdir(parents=True, exist_ok=True)


@pytest.fixture
def started(monkeypatch):
    """The commands that were started, each answered by an evaluation's file."""
    commands = []

    def answer(command, env, **kwargs):
        commands.append((command, env))
        folder = command[command.index("--output_dir") + 1]
        subprocess.os.makedirs(folder)
        results = {
            "eval_accuracy": 0.5 + 0.1 * len(commands),
            "eval_accuracy_low": 0.1,
            "eval_runtime": 3.0,
            "eval_class_a_f1": 1.0,
        }
        with open(f"{folder}/eval_results.json", "w") as file:
            json.dump(results, file)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", answer)
    return commands


def probe_of(task="sst2", budget=None, every=0.25):
    logged = []
    probe = Probe(task, every, "--seed 3", Saved(), lambda: budget, logged.append)
    probe.logged = logged
    return probe


def train(probe, folder, steps=40, start=0):
    args = SimpleNamespace(output_dir=str(folder))
    state = SimpleNamespace(global_step=start, max_steps=40, is_world_process_zero=True)
    probe.on_train_begin(args, state, None)
    for step in range(start + 1, steps + 1):
        state.global_step = step
        probe.on_step_end(args, state, None, model=Saved())
    probe.on_train_end(args, state, None, model=Saved())


def test_copies_are_fine_tuned_at_equal_shares_and_at_the_end(started, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    probe = probe_of()
    train(probe, tmp_path)
    curve = json.loads((tmp_path / "probes.json").read_text())
    assert [point["step"] for point in curve] == [10, 20, 30, 40]
    assert curve[0] == {"step": 10, "share": 0.25, "probe_accuracy": 0.6} and probe.logged[0] == {"probe_accuracy": 0.6}
    assert not (tmp_path / "probe").exists()
    command, environment = started[0]
    assert command[command.index("--task_name") + 1] == "sst2" and command[-2:] == ["--seed", "3"]
    assert not {"WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"} & set(environment)  # a probe is one process


def test_where_a_run_goes_on_past_probes_are_not_repeated(started, tmp_path):
    train(probe_of("mine.csv"), tmp_path, start=22)
    assert [point["step"] for point in json.loads((tmp_path / "probes.json").read_text())] == [30, 40]
    assert started[0][0][started[0][0].index("--train_file") + 1] == "mine.csv"


def test_the_clock_stands_meanwhile(started, tmp_path):
    now = [0.0]
    budget = Budget(100.0, lambda: now[0])
    budget.go_on()
    now[0], budget.elapsed = 60.0, 60.0
    probe = probe_of(budget=budget, every=0.5)
    probe.next = 0.5
    probe.on_step_end(
        SimpleNamespace(output_dir=str(tmp_path)),
        SimpleNamespace(global_step=7, is_world_process_zero=True),
        None,
        model=Saved(),
    )
    now[0] = 1000.0
    assert budget.now() == 60.0 and len(started) == 1


def test_a_probe_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=2, stderr="error: no such file", stdout="")
    )
    with pytest.raises(UserError, match=r"--probe nowhere.csv ended with code 2, but .* mend --probe .*error: no such file"):
        train(probe_of("nowhere.csv"), tmp_path)

import json
import os
import sys
from types import SimpleNamespace

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training import probe as probes
from hf_scratch.training.budget import Budget
from hf_scratch.training.launch import environment_alone
from hf_scratch.training.probe import Probe, run_until


class Saved:
    """Stands for a model and a tokenizer: saving makes the folder."""

    def save_pretrained(self, folder):
        folder.mkdir(parents=True, exist_ok=True)


class Run:
    """Stands for the Trainer."""

    def __init__(self, budget=None, asked=()):
        self.logged, self.clock, self.asked = [], budget, iter(asked)
        self.log = self.logged.append

    def budget(self):
        return self.clock

    def asked_to_stop(self):
        return next(self.asked, False)


@pytest.fixture
def started(monkeypatch):
    """The commands that were started, each answered by an evaluation's file."""
    commands = []

    def answer(command, asked_to_stop):
        commands.append(command)
        if asked_to_stop():
            return -9, "killed"
        folder = command[command.index("--output_dir") + 1]
        os.makedirs(folder)
        results = {
            "eval_accuracy": 0.5 + 0.1 * len(commands),
            "eval_accuracy_low": 0.1,
            "eval_runtime": 3.0,
            "eval_class_a_f1": 1.0,
        }
        with open(f"{folder}/eval_results.json", "w") as file:
            json.dump(results, file)
        return 0, ""

    monkeypatch.setattr(probes, "run_until", answer)
    return commands


def probe_of(task="sst2", every=0.25, **trainer):
    return Probe(task, every, "--seed 3", Saved(), Run(**trainer))


def steps_of(folder):
    return [point["step"] for point in json.loads((folder / "probes.json").read_text())]


def train(probe, folder, steps=40, start=0):
    args = SimpleNamespace(output_dir=str(folder))
    state = SimpleNamespace(global_step=start, max_steps=40, is_world_process_zero=True)
    probe.on_train_begin(args, state, None)
    for step in range(start + 1, steps + 1):
        state.global_step = step
        probe.on_step_end(args, state, None, model=Saved())
    probe.on_train_end(args, state, None, model=Saved())


def test_copies_are_fine_tuned_at_equal_shares_and_at_the_end(started, tmp_path):
    probe = probe_of()
    train(probe, tmp_path)
    assert steps_of(tmp_path) == [10, 20, 30, 40]
    curve = json.loads((tmp_path / "probes.json").read_text())
    assert curve[0] == {"step": 10, "share": 0.25, "probe_accuracy": 0.6} and probe.trainer.logged[0] == {"probe_accuracy": 0.6}
    assert not (tmp_path / "probe").exists()
    command = started[0]
    assert command[command.index("--task_name") + 1] == "sst2" and command[-2:] == ["--seed", "3"]


def test_where_a_run_goes_on_past_probes_are_not_repeated(started, tmp_path):
    train(probe_of("mine.csv", every=0.2999), tmp_path)
    assert steps_of(tmp_path) == [12, 24, 36, 40]
    train(probe_of("mine.csv", every=0.2999), tmp_path, start=25)
    assert steps_of(tmp_path) == [12, 24, 36, 40] and len(started) == 6
    assert started[0][started[0].index("--train_file") + 1] == "mine.csv"


def test_probes_after_the_checkpoint_are_measured_again(started, tmp_path):
    train(probe_of(), tmp_path)
    train(probe_of(), tmp_path, start=15)
    curve = json.loads((tmp_path / "probes.json").read_text())
    assert steps_of(tmp_path) == [10, 20, 30, 40] and curve[1]["probe_accuracy"] == pytest.approx(1.0)


def test_a_probe_that_was_cut_off_is_made_up_for(started, tmp_path):
    asked = [False, False, False, True, True, True, True]  # before and in a probe; while the second one runs, and from then on
    train(probe_of(asked=asked), tmp_path, steps=20)
    assert steps_of(tmp_path) == [10] and len(started) == 2 and not (tmp_path / "probe").exists()
    train(probe_of(), tmp_path, start=20)
    assert steps_of(tmp_path) == [10, 21, 30, 40]


def test_what_a_run_that_was_killed_has_left_is_no_hindrance(started, tmp_path):
    (tmp_path / "probe" / "run").mkdir(parents=True)
    train(probe_of(), tmp_path)
    assert steps_of(tmp_path) == [10, 20, 30, 40]


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


def test_task_and_flags_are_looked_at_before_training(started, tmp_path):
    probe_of().check(Saved())
    assert started[0][-1] == "--dry_run" and not os.path.exists(started[0][started[0].index("--output_dir") + 1])


def test_a_probe_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "run_until", lambda *a: (2, "error: no such file"))
    with pytest.raises(UserError, match=r"--probe nowhere.csv ended with code 2, but .* mend --probe .*error: no such file"):
        train(probe_of("nowhere.csv"), tmp_path)
    assert not (tmp_path / "probe").exists()


def test_a_probe_is_one_process_that_ends_when_it_is_asked_to(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert not {"WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"} & set(environment_alone())
    program = "import os, sys; print(os.environ.get('WORLD_SIZE')); sys.exit(3)"
    assert run_until([sys.executable, "-c", program], lambda: False) == (3, "None\n")
    assert run_until([sys.executable, "-c", "import threading; threading.Event().wait()"], lambda: True)[0] != 0

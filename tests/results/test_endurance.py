import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hf_scratch.__main__ import main
from hf_scratch.errors import UserError
from hf_scratch.results import endurance
from hf_scratch.results.endurance import Ending, kill_runs, make_rows


def test_rows_are_texts_with_both_labels():
    rows = make_rows(random.Random(0))
    assert len(rows) == len({text for text, _ in rows}) == 211
    assert {label for _, label in rows} == {"good", "bad"}


@pytest.fixture
def played(monkeypatch):
    """Training that takes no time; a run that was killed ends in other weights if `damaged`."""
    kills = []

    def train(flags: list[str], folder: Path, processes: int) -> float:
        folder.mkdir()
        train.flags = flags
        (folder / "model.safetensors").write_text("other" if kills and train.damaged else "same")
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": [{"loss": 1.0, "train_runtime": len(kills)}]}))
        return 10.0

    def kill(flags, folder, processes, delay):
        kills.append(delay)
        return len(kills)

    train.damaged = False
    monkeypatch.setattr(endurance, "train", train)
    monkeypatch.setattr(endurance, "kill", kill)
    return train, kills


def test_each_kill_is_counted_and_the_clock_is_not_compared(played):
    train, kills = played
    endings = list(kill_runs(6, processes=1, more=["--max_tokens_per_batch", "211"]))
    assert train.flags[-2:] == ["--max_tokens_per_batch", "211"]
    assert endings == [Ending([1, 2, 3, 4], True, True), Ending([5, 6], True, True)]
    assert len(kills) == 6 and all(0 <= delay <= 6 for delay in kills)


@pytest.mark.parametrize("damaged", [False, True])
def test_the_verb_fails_where_a_run_ended_differently(played, damaged, capsys):
    played[0].damaged = damaged
    assert main(["benchmark", "kill", "--times", "3"]) == int(damaged)
    assert f"3 kills of 1 processes: {int(not damaged)} of 1 runs ended" in capsys.readouterr().out


def test_no_kills_are_no_benchmark(capsys):
    assert main(["benchmark", "kill", "--times", "0"]) == 2
    assert "--times is 0" in capsys.readouterr().err


def test_a_run_that_ends_by_itself_is_told_with_what_it_said(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"])
    (tmp_path / "whole.log").write_text("error: no such file")
    with pytest.raises(UserError, match=r"'whole' ended by itself with code 2, but .*--flags: error: no such file"):
        endurance.wait_until(lambda: False, process, tmp_path / "whole.log")


def test_all_processes_of_a_run_end_even_those_of_a_session_of_their_own(tmp_path):
    """As the processes are that torchrun starts."""
    sleep = f"open({str(tmp_path / 'begun')!r}, 'w').close(); import time; time.sleep(600)"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}], start_new_session=True).wait()"
    process = subprocess.Popen([sys.executable, "-c", start])
    endurance.wait_until((tmp_path / "begun").exists, process, tmp_path / "log")
    (child,) = psutil.Process(process.pid).children()
    endurance.end(process)
    assert process.returncode == -signal.SIGKILL and not child.is_running()

import json
import random
from pathlib import Path

import pytest

from hf_scratch.__main__ import main
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

    def train(rows: Path, folder: Path, processes: int) -> float:
        folder.mkdir()
        (folder / "model.safetensors").write_text("other" if kills and train.damaged else "same")
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": [{"loss": 1.0, "train_runtime": len(kills)}]}))
        return 10.0

    def kill(rows, folder, processes, delay):
        kills.append(delay)
        return len(kills)

    train.damaged = False
    monkeypatch.setattr(endurance, "train", train)
    monkeypatch.setattr(endurance, "kill", kill)
    return train, kills


def test_each_kill_is_counted_and_the_clock_is_not_compared(played):
    _, kills = played
    endings = list(kill_runs(6, processes=1))
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

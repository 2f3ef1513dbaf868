import errno
import os
import sys
from pathlib import Path

import pytest

from hf_scratch.errors import ROOM, Stopped, UserError, closest, ended, runs_near

NEEDED = "files have to be read and written here"


def raising(error):
    def action():
        raise error

    return action


def test_the_closest_choice_is_proposed_and_none_if_all_are_far():
    assert closest("hiden_size", ["hidden_size", "vocab_size"]) == " Did you mean hidden_size?"
    assert closest("zebra", ["hidden_size"]) == ""


@pytest.mark.parametrize(
    ("action", "code", "printed"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (raising(UserError("x is 1, but 2; give 3")), 2, "error: x is 1, but 2; give 3\n"),
        (raising(Stopped("stopped after step 3")), 75, "stopped after step 3\n"),
        (
            raising(OSError(errno.ENOSPC, "No space left", "a")),
            2,
            f"error: [Errno 28] No space left: 'a', but {NEEDED}; {ROOM}\n",
        ),
        (raising(KeyboardInterrupt()), 130, "ended by Ctrl-C; nothing more was saved, and what was saved before stays\n"),
        (raising(UserError("class \x1b[2J")), 2, "error: class \\x1b[2J\n"),
    ],
)
def test_exit_codes_and_messages(action, code, printed, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert ended(action) == code
    assert capsys.readouterr().err == printed


def test_what_is_our_fault_keeps_its_trace(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ZeroDivisionError):
        ended(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (UserError("x is 1"), 2, "error: x is 1"),
        (KeyError("x"), 1, "KeyError: 'x'"),
        (RuntimeError("Connection closed by peer"), 1, "ended, because another process has"),
    ],
)
def test_one_of_several_processes_ends_at_once_with_its_message(error, code, printed, monkeypatch, capsys):
    """By os._exit: without waiting for threads and exit handlers, which may wait for other processes."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(os, "_exit", lambda code: sys.exit(code))
    with pytest.raises(SystemExit) as end:
        ended(raising(error))
    assert end.value.code == code
    assert capsys.readouterr().err.strip().splitlines()[-1] == printed


def test_a_folder_that_is_not_there_is_answered_with_the_runs_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["quickstart-2", "quickstart-1", "other", "no-run"]):
        Path("runs", name).mkdir(parents=True)
        record = Path("runs", name, "run.json" if name != "no-run" else "config.json")
        record.write_text("{}")
        os.utime(record, (1000 - age, 1000 - age))
    assert runs_near("runs/quickstart") == "give one of runs/quickstart-2, runs/quickstart-1"
    assert runs_near("runs/nothing") == "give one of runs/quickstart-2, runs/quickstart-1, runs/other"
    assert runs_near("runs/other") == runs_near("nowhere/quickstart") == ""
    assert runs_near("runs") == runs_near("runs/nothing")  # of the folder that holds them, where a run is asked for
    monkeypatch.chdir("runs")
    assert runs_near("quickstart") == "give one of quickstart-2, quickstart-1"
    assert runs_near("bert-base-cased") == ""  # of the Hub: these have nothing to do with it

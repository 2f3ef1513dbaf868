import subprocess

import pytest

from hf_scratch.__main__ import main
from hf_scratch.commands import compare
from tests.runs import make_run


@pytest.fixture
def two(tmp_path):
    return [str(make_run(tmp_path / name, seed=seed, model=name)) for seed, name in enumerate(["ours", "theirs"])]


def test_two_runs_are_compared(two, capsys):
    assert main(["compare", *two, "--examples", "1"]) == 0
    out = capsys.readouterr().out
    assert "accuracy, 60 rows, 95% intervals" in out and "12,347" in out and "2,114" in out and "1.0" in out
    assert "in accuracy" in out and "McNemar's exact test: p = " in out
    assert "rows that ours gets and theirs misses:" in out and "theirs says" in out
    assert "\x1b" not in out and "\u202e" not in out


def test_a_marked_run_is_told_beside_its_number(tmp_path, capsys):
    marks = {"selected_on_reported": "The checkpoint was chosen on rows that are reported."}
    runs = [str(make_run(tmp_path / name, seed=seed, model=name)) for seed, name in enumerate(["ours", "theirs"])]
    runs.append(str(make_run(tmp_path / "marked", seed=2, model="marked", marks=marks)))
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert out.count("note:") == 1 and "  note: marked: The checkpoint was chosen on rows that are reported." in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["x"], "1 runs given, but it takes two"),
        (["x", "y"], "x: no such folder"),
        (["x", "y", "--learning_rate", "1"], "'--learning_rate' is a flag of a training, but nothing is trained"),
        (["--models", "scratch"], "--models scratch: it takes two different models"),
        (["--models", "a,b", "--seeds", "0"], "--seeds is 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(argv, message, capsys):
    assert main(["compare", *argv]) == 2
    assert message in capsys.readouterr().err


def test_models_are_trained_under_equal_conditions_first(tmp_path, monkeypatch, capsys):
    """Only the model and the folder differ between the two commands."""
    commands = []

    def run(command, **_):
        commands.append(command)
        make_run(tmp_path / "out" / command[command.index("--output_dir") + 1].split("/")[-1], model=command[4])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(compare.subprocess, "run", run)
    flags = ["--task_name", "sst2", "--learning_rate=1e-3", "--fp16", "--warmup_steps", "0.1"]
    own = ["--seeds", "3", "--models=scratch,org/bert", "--output_dir", str(tmp_path / "out")]
    assert main(["compare", *own, *flags]) == 0
    first, second = (command[3:] for command in commands)
    assert first == ["--model_type", "scratch", *flags, "--output_dir", str(tmp_path / "out/scratch"), "--seeds", "3"]
    assert second == [
        "--model_name_or_path",
        "org/bert",
        *flags,
        "--output_dir",
        str(tmp_path / "out/org-bert"),
        "--seeds",
        "3",
    ]
    assert "as good as" in capsys.readouterr().out


def test_a_training_that_fails_ends_the_comparison(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 2))
    assert main(["compare", "--models", "scratch,bert", "--output_dir", str(tmp_path)]) == 2
    assert "scratch: its training ended with exit code 2 and no results" in capsys.readouterr().err

import signal

import pytest

from hf_scratch.errors import Stopped, UserError
from hf_scratch.training.steps import Step

RUN = """
import json, os, signal, sys
from pathlib import Path
place = Path(sys.argv[sys.argv.index("--output_dir") + 1])
place.mkdir(exist_ok=True)
what = sys.argv[1]
if what == "stop":
    def save(number, frame):
        (place / "asked").write_text(str(number))
        sys.exit(75)
    signal.signal(signal.SIGINT, save)
    signal.signal(signal.SIGTERM, save)
    os.kill(os.getppid(), int(sys.argv[2]))
    signal.pause()
if what == "fail":
    print("reading\\nerror: --budget is 'x'; try 20m", file=sys.stderr)
    sys.exit(2)
(place / "words").write_text(" ".join(sys.argv))
(place / "run.json").write_text(json.dumps({"results": {"eval_loss": 1.0}, "collapsed": what == "collapse" and "one answer"}))
sys.exit(2 if what == "collapse" else 0)
"""


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Makes steps of a program that does what it is told."""
    (tmp_path / "a_run.py").write_text(RUN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda *words: Step("a run", tmp_path / "place", ("a_run",), words)


def test_a_step_is_taken_once(step, capsys):
    step("train").take()
    assert "--overwrite_output_dir" in (step("train").place / "words").read_text()
    step("fail").take()
    assert capsys.readouterr().out.endswith("a run: done before\n")


def test_a_step_that_fails_is_told_with_its_last_words(step):
    with pytest.raises(UserError, match=r"a run ended with code 2, but every step is needed; .*: --budget is 'x'; try 20m$"):
        step("fail").take()


def test_a_collapsed_run_is_a_result(step, capsys):
    step("collapse").take()
    assert "note: one answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("to_us", "to_the_run"), [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)]
)
def test_a_signal_is_passed_on_once_and_the_run_is_waited_for(step, to_us, to_the_run):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="stopped: a run; what is done is kept, go on with the same command"):
        step("stop", str(int(to_us))).take()
    assert (step("stop").place / "asked").read_text() == str(int(to_the_run))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_what_was_stopped_goes_on_where_there_is_something_to_go_on_from(step, monkeypatch):
    from hf_scratch.training import steps

    one = step("train")
    checkpoint = one.place / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    assert one.command()[-1] == "--overwrite_output_dir"  # not whole
    monkeypatch.setattr(steps, "what_is_missing", lambda path: None)
    assert one.command()[-1] == "--overwrite_output_dir"  # saved without its optimizer
    (checkpoint / "optimizer.pt").write_bytes(b"")
    assert one.command()[-2:] == ["--resume_from_checkpoint", "last"]

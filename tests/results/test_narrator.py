import sys
from types import SimpleNamespace

import pytest

from hf_scratch.results import narrator
from hf_scratch.results.narrator import Narrator, quiet_bars


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(narrator, "PATIENCE", 0.0)


def test_a_short_step_says_nothing_and_is_timed_all_the_same(capsys):
    say = Narrator()
    with say.step("tokenize"):
        pass
    assert capsys.readouterr() == ("", "") and 0 <= say.seconds["tokenize"] < 1


def test_a_long_step_is_one_line_where_there_is_no_terminal(impatient, capsys):
    say = Narrator()
    with say.step("tokenize"):
        pass
    out, err = capsys.readouterr()
    assert out.startswith("  tokenize: 0.0 s") and out.count("\n") == 1 and "\r" not in out and not err


def test_a_long_step_shows_its_time_on_a_terminal(impatient, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    say = Narrator()
    with say.step("tokenize"):
        pass
    out, err = capsys.readouterr()
    assert "tokenize: 00:00" in err and not out


def test_times_of_one_name_add_up_and_a_failure_is_timed_too():
    say = Narrator()
    for _ in range(2):
        with pytest.raises(KeyError), say.step("x"):
            raise KeyError
    assert list(say.seconds) == ["x"]


def test_notes_are_said_and_kept_and_other_processes_are_silent(capsys):
    for speaks in (True, False):
        say = Narrator(speaks)
        say("hello")
        say.note("empty texts")
        assert say.notes == ["empty texts"]
        assert capsys.readouterr().out == ("hello\n  note: empty texts\n" if speaks else "")


@pytest.mark.parametrize(
    ("terminal", "given", "off"), [(False, set(), True), (False, {"disable_tqdm"}, False), (True, set(), False)]
)
def test_bars_are_for_terminals(monkeypatch, terminal, given, off):
    """In a process of tests all bars may be off already: what is told is Trainer's."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    training = SimpleNamespace(disable_tqdm=False)
    quiet_bars(training, given)
    assert training.disable_tqdm is off

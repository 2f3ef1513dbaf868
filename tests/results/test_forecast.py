import pytest

from hf_scratch.__main__ import main
from hf_scratch.commands import benchmark  # noqa: F401  binds what a test replaces
from hf_scratch.results import forecast
from hf_scratch.results.forecast import Forecast, foretell_and_run

PAGE = "  in all      2 min 10 s  (130.0 s)\n  peak memory      1,234 MB\n"


class Usage:
    """What `os.wait4` tells of a process."""

    ru_maxrss = 1100 * 1024


def pretend(flags, log):
    """In place of a process: prints a forecast, or leaves a record."""
    if "--dry_run" in flags:
        return PAGE, Usage
    return "runs/x: done in 104 s\n", Usage


def test_the_error_is_a_share_of_the_measured_seconds(monkeypatch, capsys):
    monkeypatch.setattr(forecast, "finished", pretend)
    result = foretell_and_run(["--recipe", "quickstart"])
    assert result == Forecast(130.0, 104.0, 1234.0, 1100.0) and result.error == pytest.approx(0.25)
    assert main(["benchmark", "dry_run", "--flags", "--recipe tiny"]) == 0
    assert "--recipe tiny: foretold 130.0 s, took 104.0 s, error +25%" in capsys.readouterr().out

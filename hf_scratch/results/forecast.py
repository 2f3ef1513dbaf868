"""What `--dry_run` foretells, beside what the same run takes: both as whole processes."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


@dataclass(frozen=True)
class Forecast:
    """Foretold and measured.

    Args:
        foretold, measured: seconds of the run, by its own clock, without the import of the libraries.
        foretold_mb, measured_mb: peak memory; on a GPU the first is its memory, and the second the process's.
    """

    foretold: float
    measured: float
    foretold_mb: float
    measured_mb: float

    @property
    def error(self) -> float:
        """Share of the measured seconds by which the forecast is too long, negative if it is too short."""
        return self.foretold / self.measured - 1


def foretell_and_run(flags: list[str]) -> Forecast:
    """Run the dry run, and then the run.

    Args:
        flags: of run_glue_style.py.

    Raises:
        UserError: if one of the two fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        page, _ = finished([*flags, "--dry_run", "--output_dir", str(Path(folder, "dry"))], Path(folder, "page"))
        if Path(folder, "dry").exists():
            raise RuntimeError(f"the dry run wrote {sorted(Path(folder, 'dry').iterdir())}")
        seconds, megabytes = re.search(r"in all .*\(([\d.]+) s\)\n +peak memory +([\d,]+) MB", page).groups()
        log, usage = finished([*flags, "--output_dir", str(Path(folder, "run"))], Path(folder, "log"))
        measured = re.search(r"done in (\d+) s$", log, flags=re.M)[1]
    return Forecast(float(seconds), float(measured), float(megabytes.replace(",", "")), peak_megabytes(usage))


def finished(flags: list[str], log: Path):
    """Run run_glue_style.py as a process.

    Args:
        flags: of it.
        log: file for what it prints.

    Returns:
        What it printed, and what the operating system counted for it: `(str, struct_rusage)`.

    Raises:
        UserError: if it fails.
    """
    with open(log, "wb") as file:
        command = [sys.executable, "-m", "run_glue_style", *flags]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    printed = log.read_text(encoding="utf-8", errors="replace")
    if status:
        raise UserError(
            f"run_glue_style.py {shlex.join(flags)} ended with code {process.returncode}, but only a run that ends well can be "
            f"measured; mend its flags by what it says: {printed[-2000:].strip()}"
        )
    return printed, usage


def peak_megabytes(usage) -> float:
    """The most that a process held at once."""
    return usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)

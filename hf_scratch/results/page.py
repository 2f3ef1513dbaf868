"""What the pages of all runs share: sections that may lack something, pictures, costs, the command, one template."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import jinja2
from markupsafe import Markup

from ..screen import plain
from . import plots
from .run import Run

Section = Callable[[Run, dict[str, plots.Figure]], dict]


class Missing(Exception):
    """What a section lacks, in words."""


def write_page(run: Run, sections: dict[str, Section], template: str, shared: bool, **more) -> Path:
    """Write report/report.html and its pictures into the folder of a run.

    Args:
        run: which may be old or incomplete.
        sections: name to what fills it, and draws its pictures.
        template: a file of this folder.
        shared: whether others will read it: the command then has names of files in place of paths.
        more: for the template.

    Returns:
        The page.
    """
    target = Path(run.folder, "report")
    target.mkdir(exist_ok=True)
    figures: dict[str, plots.Figure] = {}
    filled = {name: fill(section, run, figures) for name, section in sections.items()}
    for name, figure in figures.items():
        plots.png(figure, target / f"{name}.png")
    page = render(template, run=run, figures=figures, command=command_line(run, shared), **filled, **more)
    aside = target / "report.html.new"
    aside.write_text(page, encoding="utf-8")
    return aside.replace(target / "report.html")


def fill(section, run: Run, figures: dict) -> dict:
    """The contents of a section, or why it has none: a page about an old run must not fail for one of its parts."""
    try:
        return section(run, figures)
    except Missing as lack:
        return {"missing": str(lack)}
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        return {"missing": f"the files of the run do not fit together ({type(error).__name__}: {error})"}


def render(template: str, filters: dict[str, Callable] | None = None, **contents) -> str:
    """A page in which every text is shown as it is, and nothing in it is obeyed."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(str(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(drawn=drawn, **contents)


def drawn(figure: plots.Figure, name: str) -> Markup:
    """A picture as a part of the page."""
    return Markup(plain(plots.svg(figure, name, name.replace("_", " "))))


def costs(run: Run, figures: dict) -> dict:
    """Minutes, speed, memory, and what it ran on."""
    record, results = run.record, run.results
    memory, versions = record.get("memory") or {}, record.get("versions") or {}
    facts = {
        "whole run": record.get("seconds") and f"{record['seconds'] / 60:.1f} minutes",
        "training": results.get("train_runtime") and f"{results['train_runtime'] / 60:.1f} minutes",
        "real tokens a second": results.get("train_tokens_per_second") and f"{results['train_tokens_per_second']:,.0f}",
        "rows a second": results.get("train_samples_per_second") and f"{results['train_samples_per_second']:,.1f}",
        "steps": run.state.get("global_step") and f"{run.state['global_step']:,}",
        "parameters": record.get("parameters") and f"{record['parameters']:,}",
        "peak memory": memory.get("process_mb") and f"{memory['process_mb']:,} MB",
        "peak memory of the device": memory.get("device_mb") and f"{memory['device_mb']:,} MB",
        "hardware": ", ".join(record.get("devices") or []) or (record.get("cpus") and f"{record['cpus']} CPU cores"),
        "started": record.get("started"),
        "code": record.get("git_revision"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
    }
    facts = {name: text for name, text in facts.items() if text}
    if not facts:
        raise Missing("run.json and all_results.json say nothing of it")
    phases = [(name, float(spent)) for name, spent in (record.get("seconds_of") or {}).items()]
    return {"facts": facts, "phases": sorted(phases, key=lambda phase: -phase[1])}


def command_line(run: Run, shared: bool) -> str:
    """The command that made the run, for a shell; if it is shared, with no path of this machine."""
    words = [str(word) for word in run.record.get("command") or []]
    if shared:
        words = [without_folders(word) for word in words]
    quoted = [word if re.fullmatch(r"[\w@%+=:,./~-]+", word) else "'" + word.replace("'", "'\"'\"'") + "'" for word in words]
    return " ".join(["python", *quoted]) if words else ""


def without_folders(word: str) -> str:
    """`--train_file=/home/me/rows.csv` -> `--train_file=rows.csv`; names on the Hub keep their slash."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    windows = PureWindowsPath(value)
    if windows.drive or "\\" in value:
        return flag + equals + windows.name
    outside = value.startswith(("/", "~", "./", "../"))
    return flag + equals + (PurePosixPath(value).name if outside else value)

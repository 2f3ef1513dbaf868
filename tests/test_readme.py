"""The README tells the truth: its commands parse, its Python runs, its file tree is the disk's."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import run_glue_style
from hf_scratch.__main__ import main as hf_scratch_main
from hf_scratch.training.arguments import parse_arguments

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every command line of the shell blocks, continued lines joined, chains taken apart."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in re.split(r"&&|;", line.split(" #")[0]) if part.strip()]


def test_the_first_screen_has_the_two_commands():
    first_screen = "\n".join(README.splitlines()[:30])
    assert 'pip install -e ".[demo]" && python run_glue_style.py\n' in first_screen
    assert 'pip install -e ".[test]" && pytest\n' in first_screen


@pytest.mark.parametrize("command", [line for line in commands() if "run_glue_style.py" in line])
def test_every_command_of_the_script_parses(command):
    words = shlex.split(command)
    assert words[:2] == ["python", "run_glue_style.py"] or words[:3:2] + words[3:4] == ["torchrun", "2", "run_glue_style.py"]
    parse_arguments(words[words.index("run_glue_style.py") + 1 :])


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("hf-scratch")])
def test_every_verb_exists(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        hf_scratch_main([shlex.split(command)[1], "--help"])


@pytest.mark.slow
def test_the_python_of_the_readme_runs(scratch_flags, tmp_path, monkeypatch):
    """In a folder where a run has left what the README's own command leaves."""
    assert run_glue_style.main(scratch_flags) == 0
    shutil.copytree(tmp_path / "run", tmp_path / "runs" / "quickstart")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)


def test_the_file_tree_is_the_disks():
    """Every file of the house is in the tree, and every entry of the tree on the disk."""
    (tree,) = [block for block in blocks("text") if "hf_scratch/" in block]
    listed, folders = set(), []
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name.rstrip("/")]
        listed.add("/".join(folders) + ("/" if name.endswith("/") else ""))
    missing = [entry for entry in listed if not (ROOT / entry).exists()]
    assert not missing
    package = (path for path in (ROOT / "hf_scratch").rglob("*") if path.suffix in (".py", ".yaml"))
    files = {str(path.relative_to(ROOT)) for path in package if path.name != "__init__.py" or path.parent.name == "hf_scratch"}
    assert files - listed == set()

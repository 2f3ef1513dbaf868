"""The laws of the house, checked by reading the source."""

import ast
import configparser
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hf_scratch"
TOP = {
    *("setup.cfg", "pyproject.toml", "hf_scratch", "run_glue_style.py", "tests", "README.md", "LICENSE"),
    *(".ci", ".gitignore"),
}
ARROW = ["data", "model", "training", "results", "sharing"]
GROUND = {"errors", "screen", "__init__"}
MODEL_MAY_IMPORT = {"torch", "transformers", "huggingface_hub"}
REPORT_MAY_NOT_IMPORT = {"torch", "transformers"}


def sources(folder: Path = PACKAGE) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path):
    """(level, module, names) of every import in a file, inside functions too; level 0 is absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    """The rooms, or the modules on the package's ground floor, that a file imports."""
    here = path.relative_to(PACKAGE).parent.parts
    found = set()
    for level, module, names in imports(path):
        if level == 0 and module.split(".")[0] == "hf_scratch":
            parts = module.split(".")[1:]
        elif level:
            parts = [*here[: len(here) - level + 1], *filter(None, module.split("."))]
        else:
            continue
        found |= {parts[0]} if parts else set(names)
    return found


def test_the_top_level_holds_exactly_the_entries_of_the_plan():
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    assert {name.split("/")[0] for name in listed if name and (ROOT / name).exists()} == TOP


def test_the_model_travels_flat_and_imports_only_what_its_readers_have():
    folder = PACKAGE / "model"
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"]
    standard_library = __import__("sys").stdlib_module_names
    for path in sources(folder):
        for level, module, _ in imports(path):
            if level == 0:
                assert module.split(".")[0] in MODEL_MAY_IMPORT | standard_library, f"{path.name} imports {module}"
            else:
                assert level == 1 and module and "." not in module, f"{path.name}: siblings are imported `from .name import X`"


def test_no_docstring_of_the_model_looks_like_an_import():
    """transformers finds the files to copy by a regular expression, which reads docstrings too."""
    for path in sources(PACKAGE / "model"):
        lines = path.read_text(encoding="utf-8").splitlines()
        real = {node.lineno for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.ImportFrom)}
        looks = {number for number, line in enumerate(lines, 1) if line.strip().startswith("from .")}
        assert looks <= real, path.name


@pytest.mark.parametrize("room", ARROW)
def test_a_room_imports_only_from_rooms_before_it(room):
    before = set(ARROW[: ARROW.index(room) + 1]) | GROUND
    before -= {"model"} if room == "data" else set()
    for path in sources(PACKAGE / room):
        late = rooms_imported(path) - before
        assert not late, f"{path.relative_to(ROOT)} imports {late}, which come later in {' -> '.join(ARROW)}"


def test_only_the_main_module_imports_commands_and_nobody_the_script():
    for path in sources():
        if path.parent != PACKAGE / "commands":
            assert "commands" not in rooms_imported(path) or path.name == "__main__.py", path
        assert not [module for _, module, _ in imports(path) if module.split(".")[0] == "run_glue_style"], path


def test_the_report_needs_neither_torch_nor_transformers():
    report = PACKAGE / "results" / "report.py"
    if report.exists():
        assert not {module.split(".")[0] for _, module, _ in imports(report)} & REPORT_MAY_NOT_IMPORT


def test_every_source_file_has_a_test_file_of_its_name():
    missing = []
    for path in sources():
        if path.name != "__init__.py":
            place = path.relative_to(PACKAGE).parent
            name = "test_main.py" if path.name == "__main__.py" else f"test_{path.name}"
            if not (ROOT / "tests" / place / name).exists():
                missing.append(str(path.relative_to(ROOT)))
    assert not missing
    assert (ROOT / "tests" / "test_run_glue_style.py").exists()


def test_every_module_function_and_class_says_what_it_is():
    """Public ones; a docstring is the first thing that a reader looks for."""
    silent = []
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(str(path.relative_to(ROOT)))
        silent += [
            f"{path.relative_to(ROOT)}: {node.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
        ]
    assert not silent


def test_metadata_stands_in_setup_cfg_alone():
    assert "[project]" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "run_glue_style" in config["options"]["py_modules"]
    assert "==" not in config["options"]["install_requires"]

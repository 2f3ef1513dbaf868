"""The record of what made a run."""

import datetime
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from datasets import DatasetDict

from ..data.cache import digest_of_parts

PACKAGES = ("hf-scratch", "torch", "transformers", "datasets", "evaluate", "accelerate", "scikit-learn", "tokenizers")


def write_record(folder: str, **facts):
    """Write or extend run.json: all that is needed to run it again. It holds paths of this machine."""
    path = Path(folder, "run.json")
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    aside = path.with_suffix(".json.new")  # whoever is stopped while writing leaves the old one whole
    aside.write_text(json.dumps(record | facts, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)


def environment() -> dict:
    """Versions, hardware, git revision and time."""
    import torch

    return {
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "git_revision": git_revision(),
        "platform": platform.platform(),
        "cpu_threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """The commit of the checkout that this file belongs to, with -dirty if it was changed; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    options = {"capture_output": True, "text": True, "check": True, "timeout": 10}
    try:
        # An environment inside somebody's own checkout is not theirs.
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], **options)
        describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run([*git, *describe], **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def data_fingerprint(parts: DatasetDict) -> str:
    """A hash of every part's ids, texts and labels: equal for equal rows, wherever they were read from."""
    return digest_of_parts(parts)

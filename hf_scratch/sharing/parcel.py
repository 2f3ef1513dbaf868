"""What of a run goes to other people: weights, code, tokenizer, card and numbers; no optimizer, no pickle, no paths."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

# Whatever is not named here stays at home.
SENT = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "adapter_config.json"),
    *("tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
    *("*.py", "README.md", "LICENSE*", "*_results.json", "roundtrip.json", "run.json", "report/*.png"),
)
# Written by the run about itself, and so about its machine.
TOLD = ("run.json", "roundtrip.json")
# The folders of an absolute path, up to the name in its end; not those of an address on the web.
FOLDERS = re.compile(r"(?<![\w.:/~-])(?:file://|~|[A-Za-z]:)?[/\\]+(?:[\w.@+~-]+(?: [\w.@+~-]+)*[/\\]+)*(?=[\w.@+~-])")


@contextlib.contextmanager
def packed(folder: str | Path, *copies: str):
    """A folder that holds what is sent of another one, for as long as it takes; big files are linked, not copied.

    Args:
        folder: of a run or a checkpoint.
        copies: names of sub-folders that hold the same once more.
    """
    source = Path(folder).resolve()
    # Beside the folder, so that links can be made, and the parcel outlives a checkpoint that is deleted.
    beside = source.parent if os.access(source.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".parcel-", dir=beside) as parcel:
        for path in sorted({path for pattern in SENT for path in source.glob(pattern) if path.is_file()}):
            for copy in ("", *copies):
                put(path, Path(parcel, copy, path.relative_to(source)))
        yield parcel


def put(path: Path, place: Path):
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.name in TOLD:
        place.write_text(without_folders(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    try:
        os.link(path, place)
    except OSError:  # another file system, or one without links
        shutil.copy2(path, place)


def without_folders(text: str) -> str:
    """The text with every absolute path cut down to the name in its end: what it is called, and not where it lay."""
    return FOLDERS.sub("", text)

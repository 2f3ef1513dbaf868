"""Files that are whole or absent: written aside, synchronized, renamed; and the words of a disk that takes no more."""

import json
import os
from pathlib import Path

from safetensors import SafetensorError

from ..errors import NO_ROOM, UserError

OF_TORCH = ("PytorchStreamWriter failed", "inline_container.cc")  # of its writer of zip archives


def replace_json(path: Path, value: dict):
    """Write a file that others read again: whoever is stopped meanwhile leaves the old one whole."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(value, indent=4, sort_keys=True), encoding="utf-8")
    synchronize(aside)
    aside.replace(path)


def put_in_place(written: Path, folder: Path, last: str):
    """Move the files of one folder over those of another, each at a stroke.

    Args:
        written: holds the files, whole.
        folder: that they go to; its other files stay.
        last: begins the names of the files without which the others mean nothing. They come last, so that whoever is stopped
            between two strokes leaves a folder that is what it was, as far as the others say the same as before.
    """
    files = sorted((path for path in written.rglob("*") if path.is_file()), key=lambda path: path.name.startswith(last))
    for path in files:
        synchronize(path)
    for path in files:
        place = folder / path.relative_to(written)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    synchronize(folder)


def synchronize(path: Path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_of_the_disk(error: BaseException) -> bool:
    """Whether writing failed because of the disk; libraries in Rust and C++ give its words, not its number."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    words = str(error)
    named = any(os.strerror(number) in words for number in NO_ROOM) or any(mark in words for mark in OF_TORCH)
    return (named and not isinstance(error, UserError)) or isinstance(error, SafetensorError)

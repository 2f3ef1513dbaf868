"""What is wrong with a file of rows, in words that say how to mend it: before it is read, and when it could not be."""

import bz2
import codecs
import gzip
import importlib.util
import json
import lzma
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

BLOCK = 1 << 20  # bytes
COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None, ".zst": None}  # how to look inside
SEPARATORS = {".csv": ",", ".tsv": "\t"}
WORDS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
FROM_UTF16, FROM_LATIN1 = (f"convert it: iconv -f {name} -t UTF-8 OLD > NEW" for name in ("UTF-16", "LATIN1"))
# What a file begins with -> how its name should end, what it is, and what to do.
SIGNATURES = {
    b"PAR1": (".parquet", "is a parquet file, but its name says {kind}", "rename it to .parquet"),
    b"\x1f\x8b": (".gz", "is compressed by gzip, but its name says {kind}", "add .gz to its name"),
    b"PK\x03\x04": (".zip", "is a zip archive or a spreadsheet, but not {kind}", "unpack it, or save the sheet as .csv"),
    b"\x89PNG": ("", "is a picture, but not {kind}", "give a file of rows"),
    b"%PDF": ("", "is a PDF document, but not {kind}", "give a file of rows"),
    b"\xff\xfe": ("", "is in UTF-16, but text is read as UTF-8", FROM_UTF16),
    b"\xfe\xff": ("", "is in UTF-16, but text is read as UTF-8", FROM_UTF16),
    b"version https://git-lfs": ("", "is a pointer of Git LFS, but not the rows themselves", "fetch them: git lfs pull"),
    b"<!doctype html": ("", "is a web page, but not {kind}", "download the file of rows behind it"),
    b"<html": ("", "is a web page, but not {kind}", "download the file of rows behind it"),
}


def check_file(address: str, path: Path, kind: str):
    """Refuse what the readers would read wrongly, or refuse without saying why.

    Args:
        address: as the user gave it.
        path: on disk.
        kind: .csv, .jsonl, ..., without .gz.

    Raises:
        UserError: if the file cannot be what its name says.
    """
    if not os.access(path, os.R_OK):
        raise UserError(f"{address}: may not be read by you, but a run needs its rows; mend its permissions: chmod u+r FILE")
    start, name = first_bytes(path), path.name.lower()
    for signature, (end, fault, remedy) in SIGNATURES.items():
        if start[: len(signature)].lower() == signature.lower() and not (end and name.endswith(end)):
            raise UserError(f"{address}: {fault.format(kind=kind)}; {remedy}")
    for signature, (end, _, _) in SIGNATURES.items():
        if start and end and name.endswith(end) and not start.startswith(signature):
            raise UserError(f"{address}: begins with {start[:20]!r}, but a file that ends in {end} does not; mend its name")
    if name.endswith(".zst") and importlib.util.find_spec("zstandard") is None:
        raise UserError(f"{address}: is unpacked by zstandard, which is not installed; pip install zstandard, or zstd -d FILE")
    if kind in (".json", ".jsonl"):  # their reader lets bytes of other encodings pass
        check_utf8(address, path)
    if kind != ".parquet" and path.suffix.lower() not in COMPRESSED:
        check_text(address, path, kind)


def first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(BLOCK)


def check_utf8(address: str, path: Path):
    """Refuse other encodings; a broken archive is left for the reader to complain of."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with unpacked(path) as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
    except UnicodeDecodeError as error:
        fault, remedy = explain_line(path, "", "")
        raise UserError(f"{address}: {fault}; {remedy}") from error
    except (OSError, EOFError):
        pass


def unpacked(path: Path):
    """The file's bytes, unpacked where the standard library can."""
    return (COMPRESSED.get(path.suffix.lower()) or open)(path, "rb")


def check_text(address: str, path: Path, kind: str):
    """Refuse NUL bytes, a header that is not one, and JSON that is no rows."""
    for number, line in lines_with_nul(path):
        raise UserError(f"{address}: line {number} holds a NUL byte, but text has none; {remedy_for_nul(line)}")
    if kind in SEPARATORS:
        check_header(address, first_bytes(path), kind)
    elif kind == ".json":
        check_json(address, first_bytes(path))


def lines_with_nul(path: Path) -> Iterator[tuple[int, bytes]]:
    """The first line with a NUL byte by its number, counted from 1, if there is one; read in blocks."""
    number = 1
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            if (at := block.find(0)) >= 0:
                begin, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
                yield number + block.count(b"\n", 0, at), block[begin : end if end >= 0 else None]
                return
            number += block.count(b"\n")


def remedy_for_nul(line: bytes) -> str:
    """A byte that is out of place, text in UTF-16, or no text at all."""
    if len({byte for byte in line if byte < 9}) > 1:
        return "it is no text: give a file of rows"
    return FROM_UTF16 if line.count(0) > len(line) // 3 else "remove them: tr -d '\\000' < OLD > NEW"


def check_header(address: str, start: bytes, kind: str):
    """Refuse another separator than the kind's, and a name that two columns have."""
    header = start.decode("utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r")
    separator = SEPARATORS[kind]
    others = [sign for sign in WORDS if sign in header]
    if separator not in header and others:
        remedy = next((f"rename it to {end}" for end, sign in SEPARATORS.items() if sign == others[0]), "")
        raise UserError(
            f"{address}: the header {header[:60]!r} is separated by {WORDS[others[0]]}, but {kind} by {WORDS[separator]}; "
            f"{remedy or f'write it with {WORDS[separator]}'}"
        )
    names = [name.strip().strip('"') for name in header.split(separator)]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise UserError(f"{address}: two columns are called {twice[0]!r}, but each needs a name of its own; rename one")


def check_json(address: str, start: bytes):
    """Refuse one object: rows are a list of objects, or one object a line."""
    text = start.decode("utf-8-sig", errors="replace").strip()
    first, _, rest = text.partition("\n")
    if first.startswith("{") and not (rest and is_json(first)) and (len(start) == BLOCK or is_json(text)):
        keys = re.findall(r'"([^"]*)"\s*:', start.decode("utf-8", errors="replace"))[:3]
        raise UserError(
            f"{address}: is one object (of {', '.join(map(repr, keys)) or 'no keys'}), but rows are a list of objects or one "
            'object a line; write {"text": ..., "label": ...} for each row'
        )


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def explain(path: Path, kind: str, cause: str) -> tuple[str, str]:
    """Why a file could not be read, and what to do.

    Args:
        path: on disk.
        kind: .csv, .jsonl, ..., without .gz.
        cause: what the reader said.
    """
    if (
        path.stat().st_size == 0
        or "corresponds to no data" in cause
        or "No columns to parse" in cause
        or "BatchSize must be" in cause
    ):
        return "the file has no rows, but a split needs some", "check how it was written"
    if fields := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", cause):
        wanted, line, seen = fields.groups()
        return (
            f"line {line} has {seen} cells, but the header {wanted}",
            f'put a text that holds a separator into quotes: "..." (or check that the file is {kind} at all)',
        )
    if row := re.search(r"EOF inside string starting at row (\d+)", cause):
        return f"a quote that opens in row {row[1]} is never closed", 'close it, or double the quotes inside a text: ""'
    if kind == ".parquet":
        return f"cannot be read as {kind} ({cause})", "check that it is whole: copy it again"
    if path.name.lower().endswith(".gz") and re.search("gzip|end-of-stream|decompress|CRC", cause):
        return f"cannot be unpacked ({cause})", "check that it is whole: gzip -t FILE"
    return explain_line(path, kind, cause)


def explain_line(path: Path, kind: str, cause: str) -> tuple[str, str]:
    """The first line that is no UTF-8 or no JSON."""
    number, line = first_bad_line(path, lambda line: line.decode("utf-8"))
    if number:
        shown = line.decode("latin-1").strip()[:40]
        return f"line {number} is not in UTF-8 (as Latin-1 it reads {shown!r})", FROM_LATIN1
    if kind == ".jsonl":
        number, line = first_bad_line(path, lambda line: line.strip() and json.loads(line))
        if number:
            shown = line.decode().strip()[:40]
            return f"line {number} is not JSON: {shown!r}", "write one object a line, with quoted names and no comma at the end"
    return f"cannot be read as {kind} ({cause})", "check that it is whole, and of the kind that its name says"


def first_bad_line(path: Path, read) -> tuple[int, bytes]:
    """The number, counted from 1, and the bytes of the first line that `read` refuses with a ValueError; 0 for none."""
    with unpacked(path) as file:
        for number, line in enumerate(file, 1):
            try:
                read(line)
            except ValueError:
                return number, line
    return 0, b""

"""The texts that are asked about: words of the command line, lines of standard input, rows of a file; never all at once."""

import queue
import threading
from collections.abc import Iterator
from io import BufferedIOBase

from ..data.sources import load_file
from ..errors import UserError
from .predict import WINDOW

PATIENCE = 0.02  # seconds that a window waits for its next line


def split_pair(line: str):
    """Two texts with a tab between them.

    Raises:
        UserError: if there is not exactly one tab.
    """
    parts = line.split("\t")
    if line and len(parts) != 2:
        raise UserError(
            f"{line[:60]!r} holds {len(parts) - 1} tabs, but a pair is two texts with one tab between them; put one "
            "tab there, or leave --pairs away"
        )
    return (parts[0], parts[-1])


def lines(stream: BufferedIOBase, pairs: bool = False) -> Iterator:
    """One text a line, whatever else it holds: only a line feed ends a line; what is no UTF-8 becomes a mark."""
    for line in stream:
        text = line.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
        yield split_pair(text) if pairs else text


def live_windows(rows: Iterator, size: int = WINDOW) -> Iterator[list]:
    """Lists of at most `size` rows: full ones where rows come fast, and what is there where whoever writes them pauses."""
    waiting: queue.Queue = queue.Queue(maxsize=size)
    end = object()

    def read():
        try:
            for row in rows:
                waiting.put(row)
            waiting.put(end)
        except BaseException as error:  # raised where it is read
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    row = None
    while row is not end:
        window = []
        try:
            row = waiting.get()
            while row is not end and len(window) < size:
                if isinstance(row, BaseException):
                    raise row
                window.append(row)
                if len(window) < size:
                    row = waiting.get(timeout=PATIENCE)
        except queue.Empty:
            pass
        if window:
            yield window


def file_rows(address: str, columns: str | None = None) -> Iterator:
    """The texts of a file, or its pairs of texts.

    Args:
        address: csv, tsv, json, jsonl, parquet or txt, also .gz; a path or package://NAME/PATH.
        columns: the text column, or two separated by a comma; by default `text` (and `text_pair`), or the only one of text.

    Raises:
        UserError: if the file cannot be read, or it is not clear which column is meant.
    """
    table = load_file(address)
    names = choose_columns(address, table, columns)
    table = table.select_columns(names)
    for batch in table.iter(batch_size=WINDOW):
        texts = ([as_text(cell) for cell in batch[name]] for name in names)
        yield from (row[0] if len(row) == 1 else row for row in zip(*texts, strict=True))


def choose_columns(address: str, table, columns: str | None) -> list[str]:
    there = table.column_names
    if columns:
        names = [name.strip() for name in columns.split(",")]
        unknown = [name for name in names if name not in there]
        if unknown or len(names) > 2:
            raise UserError(
                f"--text_column_names {columns}: {address} has the columns {', '.join(there)}; name one or two of them"
            )
        return names
    if "text" in there:
        return ["text", "text_pair"] if "text_pair" in there else ["text"]
    of_text = [name for name in there if getattr(table.features[name], "dtype", None) in ("string", "large_string")]
    if len(of_text) != 1:
        raise UserError(
            f"{address}: which of its columns {', '.join(there)} is the text is not clear; name it by --text_column_names"
        )
    return of_text


def as_text(cell) -> str:
    return "" if cell is None else str(cell)

"""Columns of a `Dataset` as Arrow holds them: a million rows cost no million Python objects at once."""

import secrets
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

ROWS_AT_ONCE = 10_000
TEXT_COLUMNS = ("text", "text_pair")


def arrow_column(rows: Dataset, name: str) -> pa.ChunkedArray:
    """One column of the rows, in their order."""
    return rows.select_columns(name).with_format("arrow")[:][name]


def iterate_texts(rows: Dataset) -> Iterator[tuple[str, ...]]:
    """Each row's text, or text and pair, one after the other."""
    names = [name for name in TEXT_COLUMNS if name in rows.column_names]
    for table in rows.select_columns(names).with_format("arrow").iter(ROWS_AT_ONCE):
        yield from zip(*(table[name].to_pylist() for name in names), strict=True)


def count_tokens(rows: Dataset) -> int:
    """How many tokens tokenized rows hold together."""
    return pc.sum(pc.list_value_length(arrow_column(rows, "input_ids"))).as_py() or 0


def with_column(rows: Dataset, name: str, cells) -> Dataset:
    """The rows with a column added or replaced; `Dataset.add_column` alone would hash all cells to name the result."""
    beside = rows.add_column(f"new {name}", cells, new_fingerprint=secrets.token_hex(8))
    beside = beside.remove_columns(name) if name in rows.column_names else beside
    return beside.rename_column(f"new {name}", name)

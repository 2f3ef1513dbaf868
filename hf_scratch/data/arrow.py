"""Columns of a `Dataset` as Arrow holds them: a million rows cost no million Python objects at once."""

import secrets
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from datasets.fingerprint import get_temporary_cache_files_directory

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


def as_rows(table: pa.Table) -> list[dict]:
    """The rows of a table; lists of numbers are arrays that look into the table's memory, and can only be read."""
    names = table.column_names
    return [dict(zip(names, row, strict=True)) for row in zip(*map(cells, table.columns), strict=True)]


def cells(column: pa.ChunkedArray) -> list:
    """Each cell of a column as an array if it is a list of numbers, else as Python holds it."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not is_list or not pa.types.is_primitive(column.type.value_type) or column.null_count:
        return column.to_pylist()
    lists = column.combine_chunks()
    if lists.values.null_count:
        return lists.to_pylist()
    values = lists.values.to_numpy(zero_copy_only=False)
    return [values[start:end] for start, end in pairwise(lists.offsets.to_numpy().tolist())]


def contiguous(rows: Dataset) -> Dataset:
    """Selected rows written out one after the other, in a file that ends with the process, for fast passes over them."""
    if rows._indices is None:
        return rows
    if len(rows) <= ROWS_AT_ONCE:
        return rows.flatten_indices(keep_in_memory=True)
    options = {"cache_file_name": str(Path(get_temporary_cache_files_directory(), f"{secrets.token_hex(8)}.arrow"))}
    options |= {"writer_batch_size": ROWS_AT_ONCE}
    chosen = rows._indices.column(0).to_numpy()
    if (chosen[1:] <= chosen[:-1]).any():
        return rows.flatten_indices(**options)  # fetches one row after the other
    whole = Dataset(rows.data, rows.info, rows.split).with_format("arrow")
    is_chosen = np.zeros(len(whole), bool)
    is_chosen[chosen] = True

    def chosen_of(table, places):
        return table.filter(pa.array(is_chosen[places]))

    options |= {"features": rows.features, "new_fingerprint": secrets.token_hex(8)}
    return whole.map(chosen_of, with_indices=True, batched=True, batch_size=ROWS_AT_ONCE, **options).with_format(None)


def with_column(rows: Dataset, name: str, cells) -> Dataset:
    """The rows with a column added or replaced; `Dataset.add_column` alone would hash all cells to name the result."""
    beside = rows.add_column(f"new {name}", cells, new_fingerprint=secrets.token_hex(8))
    beside = beside.remove_columns(name) if name in rows.column_names else beside
    return beside.rename_column(f"new {name}", name)

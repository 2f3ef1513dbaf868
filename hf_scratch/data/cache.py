"""What is kept on disk for the next run: rows as they were read, and tokens, under names that their contents give.

`datasets` names what it keeps of a file by path and date, and what it computes by the code that did it. A file that is
written anew within a second, or a tokenizer that was changed in place, would meet what is not theirs.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from .arrow import ROWS_AT_ONCE

BLOCK = 1 << 20  # bytes
COLUMNS = ("id", "text", "text_pair", "label")


def kept_under(digest: str, cache_dir: str | None = None) -> str:
    """The folder for what has this digest, in --cache_dir or the cache of `datasets`."""
    return str(Path(cache_dir or datasets.config.HF_DATASETS_CACHE, "hf_scratch", digest[:24]))


def digest_of_files(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 of the names and the bytes of files.

    Args:
        folder: that the names are relative to.
        files: below it.
    """
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as content:
            while block := content.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def digest_of_rows(rows: Dataset) -> str:
    """SHA-256 of ids, texts and labels: equal for equal rows, wherever they were read from and however they are held."""
    digest = hashlib.sha256()
    names = [name for name in COLUMNS if name in rows.column_names]
    for table in rows.select_columns(names).with_format("arrow").iter(ROWS_AT_ONCE):
        for name in names:
            digest.update(f"\0{name}\0".encode())
            for block in column_bytes(table[name].combine_chunks()):
                digest.update(block)
    return digest.hexdigest()


def column_bytes(column: pa.Array) -> Iterable[bytes]:
    """The cells of a column, of whatever width Arrow holds them in."""
    if pa.types.is_nested(column.type):
        yield np.asarray(pc.list_value_length(column), np.int64).tobytes()
        column = column.flatten()
    if pa.types.is_floating(column.type):
        yield np.asarray(column, np.float64).tobytes()
    elif pa.types.is_integer(column.type):
        yield np.asarray(column, np.int64).tobytes()
    else:
        column = column.cast(pa.large_binary())
        yield np.asarray(pc.binary_length(column), np.int64).tobytes()
        yield b"".join(column.to_pylist())


def digest_of_parts(parts: DatasetDict) -> str:
    """SHA-256 of every part's name and rows."""
    return digest_of(**{part: digest_of_rows(rows) for part, rows in sorted(parts.items())})


def digest_of_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all that decides which tokens a text gets: vocabulary, rules, special tokens, and the library's version."""
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules |= {"truncation": None, "padding": None}  # the last call's
    else:
        rules = {"vocabulary": tokenizer.get_vocab(), "settings": str(sorted(tokenizer.init_kwargs.items(), key=str))}
    names = [tokenizer.model_input_names, sorted(map(str, tokenizer.special_tokens_map.items())), type(tokenizer).__name__]
    return digest_of(rules=rules, names=names, version=tokenizers.__version__)


def digest_of(**facts) -> str:
    """SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

"""Counts over many rows in bounded memory: which texts are equal, which hold nothing, how long they are in tokens."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from .arrow import arrow_column
from .encoding import encode
from .labels import Labels

BATCH = 10_000  # rows held as Python strings at a time
SAMPLE = 50_000  # rows whose tokens are counted
KEYS = ("first of two key", "second  of  them")  # SipHash takes 16 bytes
QUANTILES = (50, 90, 95, 99)
NOTHING = ("nan", "none", "null", "n/a", "na", "#n/a")


def text_groups(parts: DatasetDict) -> dict[str, np.ndarray]:
    """Number the different texts of all parts: equal numbers, equal texts (or equal pairs of texts).

    Of a text no more is held than 128 bits of SipHash. That two of a billion different texts share them has a probability of
    10⁻²¹ (n² / 2¹²⁹), so equal numbers are taken for equal texts without another look.

    Returns:
        For each part its rows' numbers, `(N,)` int64, counted from 0 over all parts.
    """
    digests = np.concatenate([digest for rows in parts.values() for digest in text_digests(rows)])
    return split_by_part(pd.DataFrame(digests).groupby([0, 1], sort=False).ngroup().to_numpy(), parts)


def text_digests(rows: Dataset) -> Iterator[np.ndarray]:
    """128 bits of each row's text, batch after batch, `(n, 2)` uint64."""
    for table in text_tables(rows):
        texts = pd.DataFrame({name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}, dtype=object)
        halves = [pd.util.hash_pandas_object(texts, index=False, hash_key=key, categorize=False) for key in KEYS]
        yield np.stack([half.to_numpy() for half in halves], axis=1)


def text_tables(rows: Dataset) -> Iterator[pa.Table]:
    """The text columns in batches."""
    names = [name for name in ("text", "text_pair") if name in rows.column_names]
    for table in rows.select_columns(names).with_format("arrow").iter(BATCH):
        yield table.combine_chunks()  # of selected rows each is a chunk, and a regular expression is compiled for each chunk


def rows_without_text(rows: Dataset) -> np.ndarray:
    """Positions of the rows that hold nothing but space; of pairs, in both texts."""
    return rows_where(rows, lambda texts: pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0))


def rows_without_letters(rows: Dataset) -> np.ndarray:
    """Positions of the rows whose text is a number, a sign, or a word that stands for nothing, such as NaN."""

    def wordless(texts):
        trimmed = pc.utf8_trim_whitespace(texts)
        nothing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(NOTHING))
        silent = pc.invert(pc.match_substring_regex(trimmed, r"\pL"))
        return pc.and_(pc.or_(nothing, silent), pc.greater(pc.utf8_length(trimmed), 0))

    return rows_where(rows, wordless)


def rows_where(rows: Dataset, holds) -> np.ndarray:
    """Positions of the rows of which every text fulfils `holds`, a function of a column of strings."""
    found, start = [], 0
    for table in text_tables(rows):
        every = np.all([holds(table[name]).to_numpy() for name in table.column_names], axis=0)
        found.append(start + every.nonzero()[0])
        start += len(table)
    return np.concatenate(found)


def label_numbers(parts: DatasetDict, labels: Labels) -> dict[str, np.ndarray]:
    """Number the different answers of all parts: equal numbers, equal answers; -1 where a row has none.

    Returns:
        For each part its rows' numbers, `(N,)` int64.
    """
    gold = np.concatenate([labels.gold(rows) for rows in parts.values()])
    known = np.concatenate([labels.known(rows) for rows in parts.values()])
    numbers = gold if labels.single else np.unique(gold, axis=0, return_inverse=True)[1].reshape(-1)
    return split_by_part(np.where(known, numbers, -1), parts)


def split_by_part(values: np.ndarray, parts: DatasetDict) -> dict[str, np.ndarray]:
    """One value a row, of all parts one after the other -> the values of each part."""
    ends = np.cumsum([len(rows) for rows in parts.values()])
    return dict(zip(parts, np.split(values, ends[:-1]), strict=True))


@dataclass(frozen=True)
class TokenStatistics:
    """Lengths of texts, or of a sample of them, special tokens included.

    Args:
        rows: in the sample.
        of: rows that it was drawn from.
        lengths: in tokens, ascending, `(rows,)`.
        limit: --max_seq_length.
        unknown: share of the text's tokens that the vocabulary does not hold.
    """

    rows: int
    of: int
    lengths: np.ndarray
    limit: int
    unknown: float

    @property
    def quantiles(self) -> dict[str, int]:
        """{"p50": ..., "p90": ..., "p95": ..., "p99": ..., "max": ...}: that share of the texts is no longer."""
        at = {f"p{share}": self.lengths[int(np.ceil(share / 100 * self.rows)) - 1] for share in QUANTILES}
        return {name: int(length) for name, length in (at | {"max": self.lengths[-1]}).items()}

    @property
    def rows_cut(self) -> float:
        """Share of the texts that are longer than the limit."""
        return float((self.lengths > self.limit).mean())

    @property
    def tokens_lost(self) -> float:
        """Share of all tokens that lie beyond the limit."""
        return float(np.maximum(self.lengths - self.limit, 0).sum() / self.lengths.sum())

    @property
    def wanted(self) -> int:
        """The limit that keeps 99 of 100 texts whole, a multiple of 8."""
        return -8 * (-self.quantiles["p99"] // 8)


def sample_rows(rows: Dataset, size: int, seed: int) -> Dataset:
    """A seeded random sample in the order of the rows; all of them if there are no more."""
    if len(rows) <= size:
        return rows
    return rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:size]))


def count_tokens(sample: Dataset, of: int, tokenizer: PreTrainedTokenizerBase, limit: int) -> TokenStatistics:
    """Tokenize a sample of texts, uncut, and keep no more than their lengths.

    Args:
        sample: of the training part.
        of: rows that it was drawn from.
        tokenizer: the model's.
        limit: --max_seq_length.
    """
    lengths, unknown = [], 0
    for start in range(0, len(sample), 1000):
        batch = sample[start : start + 1000]
        encoded = encode(tokenizer, batch["text"], batch.get("text_pair"))["input_ids"]
        lengths += map(len, encoded)
        if tokenizer.unk_token_id is not None:
            unknown += sum(ids.count(tokenizer.unk_token_id) for ids in encoded)
    return TokenStatistics(len(sample), of, np.sort(lengths), limit, unknown / sum(lengths))


def tokens_of(rows: Dataset, limit: int, unk_token_id: int | None) -> TokenStatistics:
    """Lengths of all rows, as they were before they were cut; what is unknown is a share of what is left of them.

    Args:
        rows: tokenized, with `input_ids` and `lost`.
        limit: --max_seq_length.
        unk_token_id: of the tokenizer, None if it has none.
    """
    ids = arrow_column(rows, "input_ids")
    kept = np.asarray(pc.list_value_length(ids))
    is_unknown = [] if unk_token_id is None else (pc.equal(chunk.flatten(), unk_token_id) for chunk in ids.chunks)
    unknown = sum(pc.sum(found).as_py() or 0 for found in is_unknown)
    lengths = np.sort(kept + np.asarray(arrow_column(rows, "lost")))
    return TokenStatistics(len(rows), len(rows), lengths, limit, unknown / kept.sum())

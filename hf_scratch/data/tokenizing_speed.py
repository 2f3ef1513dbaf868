"""How fast rows come from a file to tokens, beside the tokenizer alone: made-up reviews with the lengths of yelp_review_full.

Its reviews have 153 tokens in the mean and 117 in the median if cut at 512, the 95th percentile 428; the rows that are made
here 153, 117 and 430: lengths from a lognormal distribution, words from the tokenizer's own vocabulary by Zipf's law, every
seventh a comma.
"""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase

from . import cleaning, columns, doctor, sources, splits, tasks
from .arguments import DataArguments
from .arrow import count_tokens
from .statistics import sample_rows
from .tokenization import Tokenizing, tokenize

MEDIAN, SPREAD, LONGEST = 115, 0.8, 1100  # tokens, of the lognormal distribution and of the longest review
AT_ONCE = 5_000  # rows that are made at once, and that the tokenizer alone is timed on
STARS = ("1 star", "2 star", "3 stars", "4 stars", "5 stars")


@dataclass
class Timing:
    """What was measured.

    Args:
        rows: in the file.
        alone: rows a second of the tokenizer alone, before and after the rest.
        seconds: of each step from file to tokens.
        tokens: after cutting, in all parts.
        peak: of the process's memory, in bytes.
    """

    rows: int
    alone: list[float]
    seconds: dict[str, float]
    tokens: int
    peak: int

    @property
    def speed(self) -> float:
        """Rows a second, from file to tokens."""
        return self.rows / sum(self.seconds.values())

    @property
    def ratio(self) -> float:
        """Of that to the tokenizer's own speed."""
        return self.speed * len(self.alone) / sum(self.alone)


def make_file(path: Path, rows: int, tokenizer: PreTrainedTokenizerBase, seed: int = 0):
    """Write reviews and stars as csv or parquet, by the end of the name, some thousands at a time."""
    schema = pa.schema({"label": pa.string(), "text": pa.string()})
    writers = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}
    rng = np.random.default_rng(seed)
    words = rng.permutation(sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha()))
    rising = np.cumsum(1 / np.arange(1, len(words) + 1))
    with writers[path.suffix](str(path), schema) as writer:
        for start in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - start)
            texts = [make_review(words, rising / rising[-1], rng) for _ in range(count)]
            writer.write_table(pa.table({"label": rng.choice(STARS, count).tolist(), "text": texts}, schema=schema))


def make_review(words: np.ndarray, rising: np.ndarray, rng: np.random.Generator) -> str:
    """Words by their rising shares, each seventh a comma."""
    length = min(LONGEST, 1 + round(rng.lognormal(np.log(MEDIAN), SPREAD)))
    drawn = words[np.searchsorted(rising, rng.random(length))].tolist()
    drawn[6::7] = [","] * len(drawn[6::7])
    return " ".join(drawn)


def time_tokenizing(path: Path, tokenizer: PreTrainedTokenizerBase, args: DataArguments, cache_dir: str) -> Timing:
    """From a file to tokens by what a run does itself, and by the tokenizer alone on some of the same rows.

    Args:
        path: of the rows.
        tokenizer: the model's.
        args: length, processes, and all else that decides about rows.
        cache_dir: an empty folder.
    """
    args.train_file = str(path)
    seconds, alone, rows = {}, [], 0
    for step, spent, parts in steps(tokenizer, args, cache_dir):
        seconds[step] = spent
        if not rows:
            rows = len(parts["train"])
            sample = sample_rows(parts["train"], AT_ONCE, seed=0)["text"][:]
            alone.append(speed_alone(sample, tokenizer, args.max_seq_length))
    alone.append(speed_alone(sample, tokenizer, args.max_seq_length))
    return Timing(rows, alone, seconds, sum(map(count_tokens, parts.values())), peak_memory())


def steps(tokenizer: PreTrainedTokenizerBase, args: DataArguments, cache_dir: str) -> Iterator[tuple[str, float, DatasetDict]]:
    """The steps of a run by name, the seconds of each, and the rows after it."""
    start = time.perf_counter()
    task = tasks.choose_task(args)
    rows = sources.load_splits(task, sources.Access(cache_dir))
    yield "read the file", time.perf_counter() - start, rows

    start = time.perf_counter()
    examples, labels = cleaning.clean(*columns.to_examples(rows, columns.find_columns(rows, task)), args)
    yield "find texts and labels", time.perf_counter() - start, examples

    start = time.perf_counter()
    parts = splits.choose_parts(examples, args, labels, selects=True, evaluates=True)
    del rows, examples  # as a run does
    yield "carve parts", time.perf_counter() - start, parts

    start = time.perf_counter()
    doctor.examine(parts, labels)
    yield "examine", time.perf_counter() - start, parts

    start = time.perf_counter()
    how = Tokenizing(tokenizer, args.max_seq_length, num_proc=args.preprocessing_num_workers, cache_dir=cache_dir)
    fingerprints = how.fingerprints(parts)
    yield "fingerprint", time.perf_counter() - start, parts

    start = time.perf_counter()
    parts = tokenize(parts, how, fingerprints)
    yield "tokenize", time.perf_counter() - start, parts


def speed_alone(texts: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> float:
    """Rows a second of the tokenizer, called as the reference scripts call it."""
    start = time.perf_counter()
    for first in range(0, len(texts), 1000):
        tokenizer(texts[first : first + 1000], truncation=True, max_length=max_length)
    return len(texts) / (time.perf_counter() - start)


def peak_memory() -> int:
    """The most that this process, or one that it started, ever held, in bytes; files that are mapped count too."""
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(peaks) * (1 if sys.platform == "darwin" else 1024)

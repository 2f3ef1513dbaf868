"""Batches with a budget of real tokens: every example once an epoch, and the same batches on any number of processes."""

import heapq
import math
from collections.abc import Iterator

import numpy as np
import pyarrow.compute
from datasets import Dataset
from torch.utils.data import Sampler

from ..data.arrow import arrow_column
from ..errors import UserError

# Tokens of a batch: enough to keep a GPU busy, and a gigabyte of its memory for an encoder of BERT's size.
MOST_EVALUATED = 32768
ORDERS = ("random", "group_by_length", "sequential")  # of --train_sampling_strategy, those that a budget can follow


class TokenBatches(Sampler[list[int]]):
    """A batch sampler. The number of batches is the same in every epoch, so that schedules count right.

    `random` mixes lengths: the rows are sorted by length, cut into strata of as many rows as there are batches, and each
    stratum is dealt out at random, one row a batch. So batches have about equal numbers of rows and of tokens, and each has
    the lengths of the whole. Where the budget is too tight for that, each row goes to the batch that has the fewest tokens,
    the longest first. `group_by_length`: a batch holds rows of about one length, so that little padding is computed.
    `sequential`: the rows as they come.

    Args:
        lengths: real tokens of each row, `(N,)`.
        max_tokens: of a batch, over all processes.
        seed: of the shuffling; every epoch draws anew from it.
        rank, world_size: this process gets its share of each batch, about equal in tokens; where a batch has fewer rows than
            there are processes, one that is left without gets a filler.
        order: `random`, `group_by_length` or `sequential`.

    Raises:
        UserError: if a row is longer than a batch may be, or the order is another.
    """

    def __init__(self, lengths, max_tokens: int, seed: int = 0, rank: int = 0, world_size: int = 1, order: str = "random"):
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.max_tokens, self.seed, self.rank, self.world_size, self.order = max_tokens, seed, rank, world_size, order
        self.epoch = 0
        if order not in ORDERS:
            raise UserError(
                f"--train_sampling_strategy {order} given with --max_tokens_per_batch, whose batches are balanced already; "
                f"leave one of them away, or take {', '.join(ORDERS)}"
            )
        longest = self.lengths.max(initial=0)
        if max_tokens < longest:
            raise UserError(
                f"--max_tokens_per_batch is {max_tokens}, but the longest training row has {longest} tokens; give at least "
                f"that, or a lower --max_seq_length"
            )
        self.level, self.num_batches = False, 0
        if order == "random":
            self.num_batches = number_of_batches(self.lengths, max_tokens)
            if self.num_batches > 1.05 * self.lengths.sum() / max_tokens + 1:
                fewer = number_of_level_batches(self.lengths, max_tokens, self.num_batches)
                self.level, self.num_batches = fewer < self.num_batches, fewer
        self.num_batches = len(self.batches(0))

    @property
    def sampler(self):
        """Itself: accelerate looks here for `set_epoch` when it skips batches."""
        return self

    def set_epoch(self, epoch: int):
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches(self.epoch):
            yield share(batch, self.rank, self.world_size).tolist() or [~batch[-1].item()]

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of every batch of an epoch, in the order of training; within a batch the longest first."""
        if self.order == "sequential":
            batches = fill(np.arange(len(self.lengths)), self.lengths, self.max_tokens)
            return [batch[np.argsort(-self.lengths[batch], kind="stable")] for batch in batches]
        rng = np.random.default_rng((self.seed, epoch))
        order = np.lexsort((rng.random(len(self.lengths)), -self.lengths))
        if self.order == "group_by_length":
            batches = fill(order, self.lengths[order], self.max_tokens)
            return [batches[index] for index in rng.permutation(len(batches))]
        if self.level:
            return level(order, self.lengths, self.num_batches, rng)[0]
        while True:  # almost always once
            batches, loads = deal(order, self.lengths, self.num_batches, rng)
            if loads.max(initial=0) <= self.max_tokens:
                return batches


def longest_first(lengths: np.ndarray, rows: int | None = None, max_tokens: int | None = None) -> list[np.ndarray]:
    """All rows in batches whose texts are of about one length, so that next to no padding is in them.

    The longest come first: memory that does not suffice shows at once.

    Args:
        lengths: tokens of each row, `(N,)`.
        rows: of a batch; or
        max_tokens: of a batch, its padding included; a longer row is a batch of its own.
    """
    order, ends = np.argsort(-lengths, kind="stable"), [0]
    while ends[-1] < len(order):
        ends.append(ends[-1] + (rows or max(1, max_tokens // max(1, lengths[order[ends[-1]]]))))
    return np.split(order, ends[1:-1])


def number_of_batches(lengths: np.ndarray, max_tokens: int) -> int:
    """As few as random dealing fits into the budget.

    A batch's tokens are a sum over the strata of one draw each. Its mean is total / batches, its variance the sum of the
    strata's; of so many batches the fullest lies about √(2 ln batches) standard deviations above the mean, and never by more
    than the longest row.
    """
    rows, total = np.sort(lengths)[::-1], int(lengths.sum())
    batches = max(1, -(-total // max_tokens))
    while batches < len(rows):
        strata = np.pad(rows, (0, -len(rows) % batches)).reshape(-1, batches)
        deviation = math.sqrt(strata.var(axis=1).sum())
        if total / batches + min((2 + math.sqrt(2 * math.log(batches))) * deviation, rows[0]) <= max_tokens:
            break
        batches = max(batches + 1, batches * 101 // 100)
    return min(batches, len(rows))


def number_of_level_batches(lengths: np.ndarray, max_tokens: int, enough: int) -> int:
    """As few as `level` fits into the budget, `enough` at most: its tokens depend on the lengths only, not on chance."""
    batches, order = -(-int(lengths.sum()) // max_tokens), np.argsort(-lengths)
    while batches < enough and level(order, lengths, batches)[1].max() > max_tokens:
        batches = max(batches + 1, batches * 101 // 100)
    return min(batches, enough)


def deal(order: np.ndarray, lengths: np.ndarray, num_batches: int, rng) -> tuple[list[np.ndarray], np.ndarray]:
    """Deal each stratum of `num_batches` rows out at random; the batches, and their tokens."""
    strata = np.pad(order, (0, -len(order) % num_batches), constant_values=-1).reshape(-1, num_batches)
    strata = rng.permuted(strata, axis=1)
    loads = np.append(lengths, 0)[strata].sum(axis=0)  # -1 is no row, and has the length of the one appended
    return [column[column >= 0] for column in strata.T], loads


def level(order: np.ndarray, lengths: np.ndarray, num_batches: int, rng=None) -> tuple[list[np.ndarray], np.ndarray]:
    """Give each row, the longest first, to the batch with the fewest tokens (Graham 1969); the batches, and their tokens."""
    heap, batches = [(0, index) for index in range(num_batches)], [[] for _ in range(num_batches)]
    for row, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        tokens, index = heap[0]
        heapq.heapreplace(heap, (tokens + length, index))
        batches[index].append(row)
    shuffled = range(num_batches) if rng is None else rng.permutation(num_batches)
    rows = [np.array(batches[index]) for index in shuffled]
    return rows, np.array([lengths[batch].sum() for batch in rows])


def fill(order: np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Cut rows, as they come, into batches within the budget."""
    ends, tokens = [], 0
    for place, length in enumerate(lengths.tolist()):
        tokens += length
        if tokens > max_tokens:
            ends.append(place)
            tokens = length
    return np.split(order, ends)


def share(batch: np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """A process's part of a batch sorted by length: dealt there and back, as 0 1 2 2 1 0, the parts have about equal tokens."""
    turn, place = np.divmod(np.arange(len(batch)), world_size)
    return batch[np.where(turn % 2, world_size - 1 - place, place) == rank]


def row_lengths(rows) -> np.ndarray:
    """Tokens of each row of a tokenized data set, `(N,)`."""
    if isinstance(rows, Dataset):
        return pyarrow.compute.list_value_length(arrow_column(rows, "input_ids")).to_numpy()
    return np.array([len(row["input_ids"]) for row in rows])

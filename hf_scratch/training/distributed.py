"""One global batch on any number of processes: who computes which rows, and how their answers come back in order."""

import gc
from collections.abc import Iterator
from functools import cache

import datasets
import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import nested_numpify

from ..data.arrow import as_rows
from .spool import Spool, loaded, room

RECENT = 64  # batches whose answers wait on the device
FILLER = -1  # the number of a row that keeps a process busy, and counts for nothing


@cache
def side_channel() -> torch.distributed.ProcessGroup:
    """All processes, beside the devices' own channel: what they ask of each other at every step waits for no computation."""
    return torch.distributed.new_group(backend="gloo")


def destroy_process_groups():
    """Leave all groups, at the end of a process that holds no Trainer any more.

    A thread of gloo takes the GIL to drop the tensors of the last exchange. If Python is ending by then, it ends that thread
    inside a C++ destructor, and the process aborts though its work is done. The thread is joined when nothing refers to its
    group, and that a Trainer and its DistributedDataParallel do in cycles, until they are collected.
    """
    side_channel.cache_clear()
    gc.collect()
    PartialState().destroy_process_group()


class NumberedRows(Dataset):
    """Rows that carry their position through batches as `row`; a position of `~p` gives row p as a filler.

    Args:
        rows: anything that `rows[position]` answers with a dict. A `datasets.Dataset` is read as Arrow holds it: to make Python
            numbers of its lists takes longer than all the rest of a batch.
    """

    def __init__(self, rows):
        is_plain = isinstance(rows, datasets.Dataset) and rows.format["type"] is None
        self.rows = rows.with_format("arrow") if is_plain else rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position: int) -> dict:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: list[int]) -> list[dict]:
        """A whole batch at once, which data sets on disk answer many times faster than row by row."""
        places = [position if position >= 0 else ~position for position in positions]
        return [
            {**row, "row": max(position, FILLER)} for row, position in zip(fetch(self.rows, places), positions, strict=True)
        ]


def fetch(rows, places: list[int]) -> list[dict]:
    """The rows at some places."""
    if isinstance(rows, datasets.Dataset) and rows.format["type"] == "arrow":
        return as_rows(rows[places])
    return rows.__getitems__(places) if hasattr(rows, "__getitems__") else [rows[place] for place in places]


class SeededByEpoch(Sampler):
    """A sampler whose order follows from seed and epoch alone: the same on every process, and after a resume.

    Args:
        sampler: draws from its `generator`.
        seed: of epoch 0; epoch e has seed + e, as in accelerate's SeedableRandomSampler.
    """

    def __init__(self, sampler: Sampler, seed: int):
        self.sampler, self.seed, self.epoch = sampler, seed, 0
        sampler.generator = torch.Generator()

    def __len__(self):
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        self.sampler.generator.manual_seed(self.seed + self.epoch)
        return iter(self.sampler)

    def set_epoch(self, epoch: int):
        self.epoch = epoch


class SharedBatches(Sampler):
    """Training: each run of `batch_size * world_size` rows is one global batch, of which every process takes its share.

    What is left at the end is shared evenly too, and nothing is repeated to fill it up: an epoch trains on each row once. A
    process that nothing is left for computes one row as a filler.

    Args:
        sampler: the order of the rows; None is theirs.
        size: number of rows.
        batch_size: rows of a process.
        rank, world_size: which process this is, of how many.
    """

    def __init__(self, sampler: Sampler | None, size: int, batch_size: int, rank: int = 0, world_size: int = 1):
        self.sampler = sampler if sampler is not None else range(size)
        self.size, self.batch_size, self.rank, self.world_size = size, batch_size, rank, world_size

    def __len__(self):
        return -(-self.size // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[int]]:
        order, step = list(self.sampler), self.batch_size * self.world_size
        for start in range(0, self.size, step):
            whole = order[start : start + step]
            cuts = [len(whole) * rank // self.world_size for rank in (self.rank, self.rank + 1)]
            yield whole[slice(*cuts)] or [~whole[0]]

    def set_epoch(self, epoch: int):
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)


class BatchesInTurn(Sampler):
    """Evaluation: the batches of one process, dealt out in turn, so that each holds the same rows on any number of processes.

    Args:
        batches: of all processes, arrays of rows.
        rank, world_size: as for SharedBatches.
    """

    def __init__(self, batches: list[np.ndarray], rank: int = 0, world_size: int = 1):
        # Every process computes as many batches: sharded models (FSDP) exchange weights in each.
        self.batches = [*batches, *[np.array([~0])] * (-len(batches) % world_size)][rank::world_size]

    def __len__(self):
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches)


class Answers:
    """What a model answered, batch by batch, on this process; and, gathered, on all rows."""

    def __init__(self):
        self.batches, self.recent, self.spool = [], [], Spool()

    def add(self, rows: torch.Tensor, loss, logits, labels):
        """Keep one batch, for a while on its device: to move each away at once would wait for the device.

        Args:
            rows: their positions, `(B,)`.
            loss: mean over the batch, or None.
            logits, labels: tensors or tuples of tensors, the first dimension B, or None.
        """
        self.recent.append((rows, loss, logits, labels))
        if len(self.recent) == RECENT:
            self.move()

    def move(self):
        """Off the device what is still there."""
        recent, self.recent = self.recent, []
        for rows, loss, *answers in recent:
            answers = [None if part is None else self.spool.keep(nested_numpify(part)) for part in answers]
            self.batches.append([rows.cpu().numpy(), None if loss is None else float(loss), *answers])

    def gather(self, size: int):
        """Loss, logits and labels of rows 0 to size-1, each exactly once, in their order: `(loss, (N, ...), (N, ...))`."""
        self.move()
        if PartialState().num_processes > 1:
            self.batches = gather_object([[loaded(part) for part in batch] for batch in self.batches])
        batches = [batch for batch in self.batches if batch[0][0] != FILLER]
        batches.sort(key=lambda batch: batch[0][0])
        rows = np.concatenate([batch[0] for batch in batches])
        if not np.array_equal(np.sort(rows), np.arange(size)):
            raise RuntimeError(
                f"{len(rows)} answers came back to {size} rows, not one to each: no number on them would be true"
            )
        places, losses, logits, labels = zip(*batches, strict=True)
        # In double precision and in one order: the same sum on any number of processes.
        mean = None if losses[0] is None else sum(batch[1] * len(batch[0]) for batch in batches) / size
        return mean, in_order(logits, places), in_order(labels, places)


def in_order(parts, places):
    """Arrays, or tuples of arrays, as one array whose rows stand in their places; shorter second dimensions end in -100.

    Args:
        parts: the answers of each batch.
        places: of the rows of each batch, which are 0 to N-1 together.
    """
    if parts[0] is None:
        return None
    if isinstance(parts[0], tuple):
        return tuple(in_order(same, places) for same in zip(*parts, strict=True))
    columns = [max(part.shape[1] for part in parts)] if len(parts[0].shape) > 1 else []
    whole = room((sum(map(len, places)), *columns, *parts[0].shape[2:]), parts[0].dtype)
    for rows, part in zip(places, map(loaded, parts), strict=True):
        if columns:
            whole[rows, part.shape[1] :] = -100
            whole[rows, : part.shape[1]] = part
        else:
            whole[rows] = part
    return whole

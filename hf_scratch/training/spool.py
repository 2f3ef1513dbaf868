"""Arrays that may be larger than memory: beyond a bound they lie in a file, which ends with the process."""

import math
import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import IO

import numpy as np

MOST_BYTES = 2**28  # in memory


@dataclass(frozen=True)
class OnDisk:
    """An array in a file."""

    file: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def load(self) -> np.ndarray:
        """Read it."""
        self.file.seek(self.offset)
        count = math.prod(self.shape)
        return np.frombuffer(self.file.read(count * self.dtype.itemsize), self.dtype, count).reshape(self.shape)


class Spool:
    """Keeps arrays: in memory as long as they take no more than `MOST_BYTES`, then in a file that nobody else sees."""

    def __init__(self):
        self.bytes, self.file = 0, None

    def keep(self, array):
        """The array, or the place where it lies; of a tuple, of each."""
        if isinstance(array, tuple):
            return tuple(map(self.keep, array))
        self.bytes += array.nbytes
        if self.bytes <= MOST_BYTES:
            return array
        if self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  it ends with the spool
            weakref.finalize(self, self.file.close)
        place = OnDisk(self.file, self.file.seek(0, os.SEEK_END), array.shape, array.dtype)
        self.file.write(array.tobytes())
        return place


def loaded(part):
    if isinstance(part, tuple):
        return tuple(map(loaded, part))
    return part.load() if isinstance(part, OnDisk) else part


def room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Space for an array, in a file if it is large."""
    if math.prod(shape) * dtype.itemsize <= MOST_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the map keeps it
        return np.memmap(file, dtype, "w+", shape=shape)

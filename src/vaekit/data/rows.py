r"""Rows on the disk, read on demand at constant memory, and the order in which an epoch visits them.

Rows lie in *blocks* that are cheap to read whole: runs of some 64 KiB of a memory-mapped array, row groups of a parquet
file. An epoch visits them in a block shuffle: the blocks are permuted, and the rows of as many successive blocks as make up
16 MiB are permuted together. Its memory does not grow with the data, its reads are local, and it is a function of the
seed and the epoch alone. It mixes less than a permutation of all rows: two rows of one block are visited within the same
16 MiB. Where neighbours in the file are alike (sorted by class), some 256 blocks in a buffer still mix them.

Pages of a mapped file count as resident until they are given back, so every read gives them back at once.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vaekit.data.source import Array, Stored

BLOCK_BYTES, BUFFER_BYTES = 2**16, 2**24
Indices: TypeAlias = npt.NDArray[np.int64]


class Rows(ABC):
    """Rows that are like an array (`shape`, `dtype`, `len`, slices) but are read on demand.

    Attributes:
        shape: the number of rows and the shape of one, (N, *event).
        dtype: the type of a value.
        bounds: where the blocks begin, ascending, and N; shape (blocks + 1,).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bounds: Indices

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> Array:
        first, last, step = rows.indices(len(self))
        return self.take(np.arange(first, last, step))

    @abstractmethod
    def take(self, rows: Indices) -> Array:
        """Read rows by their ascending numbers, shape (R,), into an array of shape (R, *event)."""

    def subset(self, rows: Indices) -> Rows:
        """Return the rows of these ascending numbers as rows of their own, without reading them."""
        return Subset(self, rows)

    def sample(self, rows: int) -> Array:
        """Read about as many rows as asked for, in a few whole blocks that are spread evenly."""
        blocks = len(self.bounds) - 1
        wanted = min(blocks, max(1, rows * blocks // max(1, len(self))))
        chosen = np.unique(np.linspace(0, blocks - 1, wanted, dtype=np.int64))
        spans = [slice(self.bounds[block], self.bounds[block + 1]) for block in chosen]
        return np.concatenate([self[span] for span in spans])[:rows]


class StoredRows(Rows):
    """A memory-mapped array (or any other) whose pages are given back after every read.

    Arguments:
        array: the values, shape (N, *event).

    Example:
        >>> StoredRows(np.arange(5)).subset(np.array([1, 3, 4]))[1:]
        array([3, 4])
    """

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        block = max(1, BLOCK_BYTES // max(1, prod(array.shape[1:]) * array.dtype.itemsize))
        self.bounds = np.append(np.arange(0, len(array), block), len(array))
        self._values, self._mapping = np.asarray(array), _mapping(array)

    def take(self, rows: Indices) -> Array:
        read = self._values[rows]
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)
        return read


class Subset(Rows):
    """Some rows of others.

    Arguments:
        rows: all rows.
        index: the ascending numbers of those that are kept, shape (N,).
    """

    def __init__(self, rows: Rows, index: Indices) -> None:
        self.rows, self.index = rows, index
        self.shape, self.dtype = (len(index), *rows.shape[1:]), rows.dtype
        self.bounds = np.unique(np.searchsorted(index, rows.bounds))

    def take(self, rows: Indices) -> Array:
        return self.rows.take(self.index[rows])


def stored(x: Stored) -> Rows:
    """Return rows as they are, and an array as rows."""
    return x if isinstance(x, Rows) else StoredRows(np.asanyarray(x))


def _mapping(array: Array) -> mmap.mmap | None:
    """Return the mapping of a file that an array looks into, if its pages may be given back: private changes may not."""
    if getattr(array, "mode", "r") == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


@dataclass(frozen=True)
class BlockShuffle:
    """The order in which epochs visit rows that lie in blocks.

    Attributes:
        bounds: where the blocks begin, ascending, and the number of rows; shape (blocks + 1,).
        buffer: how many rows, at least, are permuted together.
        seed: seeds the order, with the epoch's index.

    Example:
        >>> order = BlockShuffle(np.array([0, 2, 4, 5]), buffer=4, seed=0)
        >>> sorted(np.concatenate([rows for _, rows in order.chunks(0)]).tolist())
        [0, 1, 2, 3, 4]
    """

    bounds: Indices
    buffer: int
    seed: int

    def chunks(self, epoch: int, start: int = 0) -> Iterator[tuple[int, Indices]]:
        """Yield the rows of an epoch, a buffer at a time, from the one that holds position `start` on.

        Yields:
            The position in the epoch of the first row, and the row numbers in the order of the visit.
        """
        blocks = np.random.default_rng((self.seed, epoch)).permutation(len(self.bounds) - 1)
        lengths = np.diff(self.bounds)[blocks]
        ends = np.cumsum(lengths)
        buffers = np.flatnonzero(np.diff((ends - lengths) // self.buffer)) + 1
        for number, chosen in enumerate(np.split(np.arange(len(blocks)), buffers)):
            if len(chosen) and ends[chosen[-1]] > start:
                spans = [np.arange(self.bounds[block], self.bounds[block + 1]) for block in blocks[chosen]]
                shuffle = np.random.default_rng((self.seed, epoch, number + 1))
                yield int(ends[chosen[0]] - lengths[chosen[0]]), shuffle.permutation(np.concatenate(spans))


def buffer_rows(rows: Rows) -> int:
    """Return how many rows make up a buffer of the block shuffle."""
    return max(1, BUFFER_BYTES // max(1, prod(rows.shape[1:]) * rows.dtype.itemsize))

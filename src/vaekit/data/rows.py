r"""Rows on the disk, read on demand at constant memory, and the order in which an epoch visits them.

Rows lie in *blocks* that are cheap to read whole: runs of some 64 KiB of a memory-mapped array, row groups of a parquet
file. An epoch visits them in a block shuffle: the blocks are permuted, and the rows of successive blocks, 16 MiB of them
and at least four blocks, are permuted together. Its memory does not grow with the data, its reads are local, and it is a
function of the seed and the epoch alone. It mixes less than a permutation of all rows: two rows of one block are visited
within the same 16 MiB. Where neighbours are alike (a file sorted by class), the some 256 blocks of 64 KiB still mix them.

Mapped files are read by system calls, not through the mapping: pages that a program touches count as its own memory, and
a recent Linux maps up to 2 MiB around each.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vaekit.data.source import Array, Stored
from vaekit.errors import DataError

BLOCK_BYTES, BUFFER_BYTES, GAP_BYTES, FEWEST = 2**16, 2**24, 2**12, 4
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
        """Read about as many rows as asked for, in runs from blocks that are spread evenly."""
        blocks = len(self.bounds) - 1
        wanted = min(blocks, max(FEWEST, rows * blocks // max(1, len(self))))
        chosen = np.unique(np.linspace(0, blocks - 1, wanted, dtype=np.int64))
        ends = np.minimum(self.bounds[chosen] + -(-rows // len(chosen)), self.bounds[chosen + 1])
        return np.concatenate([self[first:last] for first, last in zip(self.bounds[chosen], ends, strict=True)])


class StoredRows(Rows):
    """The rows of an array: read from its file where it is memory-mapped, so that they do not stay resident.

    Arguments:
        array: the values, shape (N, *event).

    Raises:
        DataError: in use, if the file was cut short.

    Example:
        >>> StoredRows(np.arange(5)).subset(np.array([1, 3, 4]))[1:]
        array([3, 4])
    """

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self._row_bytes = prod(array.shape[1:]) * array.dtype.itemsize
        self.bounds = np.append(np.arange(0, len(array), max(1, BLOCK_BYTES // max(1, self._row_bytes))), len(array))
        self._file, self._start = _file_of(array) or (-1, 0)
        if self._file >= 0:
            weakref.finalize(self, os.close, self._file)

    def take(self, rows: Indices) -> Array:
        if self._file < 0:
            return np.asarray(self.array)[rows]
        read = np.empty((len(rows), *self.shape[1:]), self.dtype)
        near = 1 + GAP_BYTES // max(1, self._row_bytes)
        spans = np.flatnonzero(np.diff(rows, prepend=-near - 1, append=len(self) + near) > near).tolist()
        for here, end in pairwise(spans):
            first, last = int(rows[here]), int(rows[end - 1]) + 1
            if last - first == end - here:
                self._fill(read[here:end], first)
            else:
                around = np.empty((last - first, *self.shape[1:]), self.dtype)
                self._fill(around, first)
                read[here:end] = around[rows[here:end] - first]
        return read

    def _fill(self, values: Array, first: int) -> None:
        """Read successive rows from the file."""
        wanted, at = memoryview(values.reshape(-1).view(np.uint8).data), self._start + first * self._row_bytes
        while len(wanted):
            count = os.preadv(self._file, [wanted], at)
            if not count:
                raise DataError(
                    f"`{getattr(self.array, 'filename', None)}` ends before row {first + len(values)} of {len(self)}: it was "
                    f"cut short. Restore the file."
                )
            wanted, at = wanted[count:], at + count


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


def _file_of(array: Array) -> tuple[int, int] | None:
    """Open the file that a memory-mapped array looks into, and return its descriptor and where in it the array begins.

    None where the values may differ from those of the file (private changes), or do not lie there in one piece, and where
    the system has no `preadv`.
    """
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.mode == "c" or root.filename is None:
        return None
    if not (array.size and array.flags.c_contiguous and hasattr(os, "preadv")):
        return None
    within = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    try:
        return os.open(root.filename, os.O_RDONLY), root.offset + within
    except OSError:
        return None


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
    """Return how many rows make up a buffer of the block shuffle: 16 MiB of them, or four blocks."""
    usual = BUFFER_BYTES // max(1, prod(rows.shape[1:]) * rows.dtype.itemsize)
    return max(1, usual, FEWEST * len(rows) // (len(rows.bounds) - 1))

"""Training batches of data larger than memory: rows are read in a block shuffle, by a thread that is one chunk ahead.

The order is a function of the seed and the epoch (`vaekit.data.rows`), whatever the number of processes. Each process reads
its own rows alone: its contiguous part of every global batch. To start in the middle of an epoch it skips what lies before
without reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from vaekit.data.batches import Batch, Loader, count_steps, part
from vaekit.data.rows import BlockShuffle, Indices, buffer_rows, stored
from vaekit.data.source import Array, Stored

Item = TypeVar("Item")


class StreamedLoader(Loader):
    """Reads rows from the disk, shuffled anew each epoch, at constant memory.

    Arguments:
        x: all training rows as they are stored, shape (N, *event): memory-mapped, or `vaekit.data.rows.Rows`.
        context: what goes with them, each of shape (N, C).
        prepare: maps stored rows on the device to what the model is trained on, shape (B, *event).
        batch_size: rows of a global batch, over all processes; the last one of an epoch is shorter where it must be.
        device: where the batches go.
        seed: seeds the order, with the epoch's index.
        rank: which of the processes this one is.
        world: how many processes share each batch.

    Raises:
        ConfigError: if a batch would have no row.
        DataError: if there are no rows.

    Example:
        >>> loader = StreamedLoader(np.arange(5.0)[:, None], (), lambda x: x, 2, device=torch.device("cpu"), seed=0)
        >>> [len(batch.given[0]) for batch in loader.epoch(0)]
        [2, 2, 1]
    """

    def __init__(
        self,
        x: Stored,
        context: Sequence[Array],
        prepare: Callable[[Tensor], Tensor],
        batch_size: int,
        *,
        device: torch.device,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.steps = count_steps(len(x), batch_size)
        self.x, self.context, self.prepare, self.batch_size = stored(x), tuple(context), prepare, batch_size
        self.device, self.rank, self.world = device, rank, world
        self.order = BlockShuffle(self.x.bounds, buffer_rows(self.x), seed)

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch `index` from batch `start` on; a process without rows gets one row of share 0."""
        chunks = ahead(self._chunks(index, start))
        visit = Visit(chunks)
        try:
            for batch in range(start, self.steps):
                mine, share = self._part(batch)
                taken = visit.take(mine.stop - mine.start)
                yield Batch(tuple(self._moved(values) for values in taken), self._made, share)
        finally:
            chunks.close()

    def _made(self, x: Tensor, *context: Tensor) -> tuple[Tensor, ...]:
        return (self.prepare(x), *context)

    def _moved(self, values: Tensor) -> Tensor:
        ready = values.pin_memory() if self.device.type == "cuda" else values
        return ready.to(self.device, non_blocking=True)

    def _part(self, batch: int) -> tuple[slice, float]:
        """Return this process's rows of a global batch, and its share of it."""
        return part(min(self.batch_size, len(self.x) - batch * self.batch_size), self.rank, self.world)

    def _mine(self, first: int, chunk: Indices, start: int) -> Indices:
        """Keep those rows of a chunk, whose first is at position `first` of the epoch, that this process needs."""
        batch, within = np.divmod(np.arange(first, first + len(chunk)), self.batch_size)
        usual, last = self._part(0)[0], self._part(self.steps - 1)[0]
        ends = batch == self.steps - 1
        lower, upper = np.where(ends, last.start, usual.start), np.where(ends, last.stop, usual.stop)
        mine: Indices = chunk[(batch >= start) & (within >= lower) & (within < upper)]
        return mine

    def _chunks(self, index: int, start: int) -> Iterator[Chunk]:
        """Yield this process's rows of an epoch, a chunk at a time: x and context."""
        for first, chunk in self.order.chunks(index, start * self.batch_size):
            rows = self._mine(first, chunk, start)
            ascending = np.argsort(rows)
            place = np.empty_like(ascending)
            place[ascending] = np.arange(len(rows))
            arrays = [self.x.take(rows[ascending]), *(values[rows[ascending]] for values in self.context)]
            yield Chunk(tuple(map(torch.from_numpy, arrays)), torch.from_numpy(place))


class Chunk(NamedTuple):
    """Rows that are in memory together.

    Attributes:
        values: x and context in the order of the disk, each of shape (R, ...).
        order: which of these rows come first, second, ..., shape (R,).
    """

    values: tuple[Tensor, ...]
    order: Tensor


class Visit:
    """Takes the rows of an epoch from successive chunks; a chunk that is used up is let go before the next is waited for.

    Arguments:
        chunks: those of the epoch.

    Example:
        >>> chunks = [Chunk((torch.tensor([5, 6]),), torch.tensor([1, 0])), Chunk((torch.tensor([7]),), torch.tensor([0]))]
        >>> Visit(iter(chunks)).take(3)
        (tensor([6, 5, 7]),)
    """

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self.chunks = chunks
        self.chunk = Chunk((), torch.empty(0))

    def take(self, rows: int) -> tuple[Tensor, ...]:
        """Copy the next rows, each of shape (rows, ...)."""
        pieces = []
        while rows:
            pieces.append(self._piece(rows))
            rows -= len(pieces[-1][0])
        return tuple(parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*pieces, strict=True))

    def _piece(self, rows: int) -> list[Tensor]:
        """Copy so many rows, or those that a chunk has left."""
        while not len(self.chunk.order):
            self.chunk = self.chunk._replace(values=())
            self.chunk = next(self.chunks)
        values, order = self.chunk
        self.chunk = Chunk(values, order[rows:])
        return [each.index_select(0, order[:rows]) for each in values]


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield items that a thread gets while the one before is in use; errors are raised where their item would come.

    Example:
        >>> list(ahead(iter("abc")))
        ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(lambda: [*islice(items, 1)])
        while item := coming.result():
            coming = thread.submit(lambda: [*islice(items, 1)])
            yield item[0]

"""What a training loader yields: batches whose order is a function of the seed and the epoch alone.

N processes with a global batch of B rows see what one process with B rows sees: each takes its contiguous part of every
global batch, and weighs its mean by its share of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor

from vaekit.errors import ConfigError, DataError


class Batch:
    """The rows of one global batch that fall to one process, prepared for the model when they are asked for.

    Arguments:
        stored: what is on the device before that: the rows' indices, or the rows as they are stored.
        make: makes the data, and its context, of it.
        share: rows of this process * processes / rows of the global batch, so that the mean over processes of
            share * local mean is the mean over the global batch.
    """

    __slots__ = ("_given", "make", "share", "stored")

    def __init__(self, stored: tuple[Tensor, ...], make: Callable[..., tuple[Tensor, ...]], share: float) -> None:
        self.stored, self.make, self.share = stored, make, share
        self._given: tuple[Tensor, ...] | None = None

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The data, and its context, each of shape (rows, ...), on the device."""
        if self._given is None:
            self._given = self.make(*self.stored)
        return self._given


class Loader(ABC):
    """Training batches, epoch by epoch.

    Attributes:
        steps: batches in an epoch, the last, short one included.
    """

    steps: int

    @abstractmethod
    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch `index` from batch `start` on."""


def part(rows: int, rank: int, world: int) -> tuple[slice, float]:
    """Return the rows of a global batch that fall to one process, and its share; one without rows gets one of share 0.

    Example:
        >>> part(10, 0, 4), part(10, 3, 4), part(1, 0, 2)
        ((slice(0, 2, None), 0.8), (slice(7, 10, None), 1.2), (slice(0, 1, None), 0.0))
    """
    mine = slice(rows * rank // world, rows * (rank + 1) // world)
    count = mine.stop - mine.start
    return (mine, count * world / rows) if count else (slice(0, 1), 0.0)


def count_steps(rows: int, batch_size: int) -> int:
    """Return the number of batches in an epoch of so many rows, the last, short one included.

    Raises:
        ConfigError: if a batch would have no row.
        DataError: if there are no rows.

    Example:
        >>> count_steps(5, 2)
        3
    """
    if batch_size < 1:
        raise ConfigError(f"`batch_size` is {batch_size}; a batch has at least 1 row.")
    if not rows:
        raise DataError("The training split has no rows. Give it some by smaller `validation` and `test` fractions.")
    return -(-rows // batch_size)

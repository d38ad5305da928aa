r"""What the data is: shape, type, range, grid and missing values, detected from the values.

Whether values lie on a grid decides what a code length is. Stored values that are read as :math:`k / (L - 1)` with
:math:`k \in \{0, \dots, L - 1\}` are *on a grid of L levels*; then a mass function of k, or a density of the dequantised
value, gives bits. Detected are: 8-bit values (L = 256, or 2 where only the ends occur), whole numbers from 0 to 255 in images
of any type, other 16-bit images (65,536), multiples of 1/255 in [0, 1], and zeros and ones of any type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vaekit.data.rows import Rows
from vaekit.data.source import Array, Stored
from vaekit.errors import DataError
from vaekit.shapes import Shape

SAMPLE_ROWS, SAMPLE_VALUES, CHUNK_BYTES = 4096, 2**22, 2**24
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Facts:
    """What is known of the stored values.

    Attributes:
        event_shape: shape of one row.
        dtype: name of the stored type.
        low: least value, as stored.
        high: greatest value, as stored.
        levels: how many equally spaced values there are, None where they are not on a grid.
        scale: what stored values are divided by when they are read; grids are then in [0, 1].
        whole: whether all values are whole numbers, as stored.
        extremes: fraction of the values within 2 % of either end of [0, 1], where they lie in it.
        constant: the elements of a vector that do not vary.
    """

    event_shape: Shape
    dtype: str
    low: float
    high: float
    levels: int | None
    scale: float
    whole: bool
    extremes: float
    constant: tuple[int, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether a row has the axes of an image: channels, height, width."""
        return len(self.event_shape) == 3

    @property
    def is_unit(self) -> bool:
        """Whether all values, as read, lie in [0, 1]."""
        return self.low >= 0 and self.high <= self.scale

    @property
    def is_dark(self) -> bool:
        """Whether images use less than an eighth of the range, as those of 12 bits do that are stored in 16."""
        return self.is_image and self.is_unit and self.high < self.scale / 8

    @property
    def are_counts(self) -> bool:
        """Whether all values are whole numbers from 0, on no grid."""
        return self.whole and self.low >= 0 and self.levels is None


def numeric(x: Array, name: str) -> Array:
    """Return an array in a type that can be computed with: booleans become 8-bit, half precision single.

    Raises:
        DataError: for objects, text, dates, records and complex numbers.
    """
    if x.dtype.kind not in "biuf":
        raise DataError(
            f"`{name}` holds values of type {x.dtype}, not numbers. Encode them as numbers, or open a table (.csv, .parquet), "
            f"whose columns of words become categories."
        )
    if x.dtype.kind == "b":
        return x.view(np.uint8)
    if x.dtype.kind == "u" and x.dtype.itemsize > 2:
        return x.astype(np.int64 if x.dtype.itemsize == 4 else np.float64)
    if x.dtype == np.float16:
        return x.astype(np.float32)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def chunks(x: Stored) -> Iterator[tuple[int, Array]]:
    """Read rows front to back, some 16 MiB at a time, with the number of the first row of each piece."""
    rows = max(1, CHUNK_BYTES // max(1, int(np.prod(x.shape[1:])) * x.dtype.itemsize))
    for start in range(0, len(x), rows):
        yield start, np.asarray(x[start : start + rows])


def missing(x: Stored) -> tuple[Flags, Flags] | None:
    """Find NaN and infinities: which rows and which elements have any, shapes (N,) and (*event); None where there are none."""
    if x.dtype.kind != "f":
        return None
    rows, elements = np.zeros(len(x), np.bool_), np.zeros(x.shape[1:], np.bool_)
    for start, piece in chunks(x):
        bad = ~np.isfinite(piece)
        if bad.any():
            rows[start : start + len(piece)] = bad.reshape(len(piece), -1).any(1)
            elements |= bad.any(0)
    return (rows, elements) if rows.any() else None


def sample(x: Stored) -> Array:
    """Read up to 4,096 rows or some four million values, spread evenly over all rows."""
    rows = max(1, min(SAMPLE_ROWS, SAMPLE_VALUES // max(1, int(np.prod(x.shape[1:])))))
    if isinstance(x, Rows):
        return x.sample(rows)
    picked: Array = np.asarray(x)[np.unique(np.linspace(0, len(x) - 1, rows, dtype=int))]
    return picked


def inspect(parts: Sequence[Stored], levels: int | None = None) -> Facts:
    """Detect type, range and grid of all parts of a source, from all values in memory and a sample of those on the disk.

    Arguments:
        parts: arrays of shape (N, *event).
        levels: how many levels the grid of stored values 0, 1, ... has, where the reader knows.
    """
    sampled = np.concatenate([sample(x) for x in parts if len(x)])
    low, high = _range(parts, sampled)
    found, scale = (levels, levels - 1.0) if levels else _grid(sampled, low, high)
    at_end = (sampled <= 0.02 * scale) | (sampled >= 0.98 * scale)
    constant = np.flatnonzero(sampled.max(0) == sampled.min(0)) if sampled.ndim == 2 else np.empty(0, int)
    return Facts(
        event_shape=tuple(sampled.shape[1:]),
        dtype=str(sampled.dtype),
        low=low,
        high=high,
        levels=found,
        scale=scale,
        whole=_whole(sampled),
        extremes=float(at_end.mean()) if low >= 0 and high <= scale else 0.0,
        constant=tuple(constant.tolist()),
    )


def _range(parts: Iterable[Stored], sampled: Array) -> tuple[float, float]:
    held = [x for x in parts if isinstance(x, np.ndarray) and x.size] or [sampled]
    return float(min(x.min() for x in held)), float(max(x.max() for x in held))


def _grid(sampled: Array, low: float, high: float) -> tuple[int | None, float]:
    """Return the number of levels, None where there is no grid, and the value that is read as 1."""
    kind, size, image = sampled.dtype.kind, sampled.dtype.itemsize, sampled.ndim >= 4
    if low < 0:
        return None, 1.0
    if high <= 1 and _two_values(sampled, 1):
        return 2, 1.0
    if kind == "u" and size == 1:
        return (2 if _two_values(sampled, 255) else 256), 255.0
    if image and high <= 255 and _whole(sampled):
        return 256, 255.0
    if kind == "u" and image:
        return 65536, 65535.0
    return (256 if _on_unit_grid(sampled, high) else None), 1.0


def _whole(sampled: Array) -> bool:
    return sampled.dtype.kind in "biu" or bool((sampled == np.floor(sampled)).all())


def _two_values(sampled: Array, upper: int) -> bool:
    return bool(((sampled == 0) | (sampled == upper)).all())


def _on_unit_grid(sampled: Array, high: float) -> bool:
    """Tell whether values in [0, 1] are multiples of 1/255, and enough of them for that to be no chance."""
    if high > 1:
        return False
    steps = sampled.astype(np.float64) * 255
    nearest = np.round(steps)
    return bool(np.abs(steps - nearest).max() < 1e-3 and len(np.unique(nearest)) > 16)

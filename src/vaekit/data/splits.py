"""Seeded, disjoint splits: official ones are honoured, and what is missing is cut from the rows that are there.

A source without an official split gives a tenth of its rows to validation and a tenth to test. One with official training
rows alone gives up a twelfth of those for each missing part (5,000 of MNIST's 60,000). Indices keep their order within a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaekit.data.rows import Indices
from vaekit.data.source import Array, Stored
from vaekit.errors import ConfigError, DataError

PARTS = ("train", "validation", "test")
OF_ALL, OF_TRAIN = 1 / 10, 1 / 12


@dataclass(frozen=True, repr=False)
class Split:
    """Rows that belong together.

    Attributes:
        x: values as they are stored, shape (N, *event).
        labels: integer classes, shape (N,), or float factors, shape (N, F); None where there are none.
        context: what the model is given besides x, each float32 of shape (N, C).
        rows: the number of each row in its part of the source, shape (N,); None where they are all, in order.
        files: the name of each row's file, shape (N,); None where rows are no files.
    """

    x: Stored
    labels: Array | None = None
    context: tuple[Array, ...] = ()
    rows: Array | None = None
    files: Array | None = None

    @property
    def numbers(self) -> Array:
        """The number of each row in its part of the source, shape (N,)."""
        return np.arange(len(self)) if self.rows is None else self.rows

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "None" if self.labels is None else f"{self.labels.dtype} {self.labels.shape}"
        return (
            f"Split(x={self.x.dtype} {tuple(self.x.shape)}, labels={labels}, context={[c.shape for c in self.context]})"
        )

    def first_context(self) -> tuple[Tensor, ...]:
        """Return what the model is given besides the first row, each of shape (1, C)."""
        return tuple(torch.from_numpy(c[:1]) for c in self.context)


def split_rows(rows: int, fractions: Mapping[str, float], seed: int) -> dict[str, Indices]:
    """Draw disjoint parts of a number of rows, and leave the rest to "train".

    Arguments:
        rows: how many there are.
        fractions: part to the fraction of the rows that it gets: the nearest whole number, at least 1 unless it is 0.
        seed: seeds the draw.

    Returns:
        The ascending row numbers of each part; together they are all rows, each once.

    Raises:
        ConfigError: for a fraction outside [0, 1).
        DataError: if no row is left for training.

    Example:
        >>> {part: len(rows) for part, rows in split_rows(10, {"test": 0.25}, seed=0).items()}
        {'test': 2, 'train': 8}
    """
    for part, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ConfigError(f"`{part}` is {fraction:g}; it must be a fraction of the rows, at least 0 and below 1.")
    counts = {part: max(round(fraction * rows), int(fraction > 0)) for part, fraction in fractions.items()}
    if sum(counts.values()) >= rows:
        wanted = ", ".join(f"{count} for {part}" for part, count in counts.items())
        raise DataError(
            f"The data has {rows} rows, and {wanted} leave none for training. Give more rows, or lower fractions."
        )
    order = np.random.default_rng(seed).permutation(rows)
    *cut, rest = np.split(order, np.cumsum(list(counts.values()), dtype=np.int64))
    return {part: np.sort(drawn) for part, drawn in zip([*counts, "train"], [*cut, rest], strict=True)}


def plan(
    sizes: Mapping[str, int], wanted: Mapping[str, float | None], seed: int
) -> dict[str, tuple[str, Indices | None]]:
    """Say, for each of train, validation and test, which part of a source its rows come from, and which rows (None: all).

    Arguments:
        sizes: rows of each part of the source: either "all", or "train" and any of "validation" and "test".
        wanted: the fractions asked for of "validation" and "test"; None where the user leaves it open.
        seed: seeds the draw.

    Raises:
        ConfigError: if a fraction is asked for a part that the source defines.
        DataError: if the source's parts are of other names.
    """
    whole = "all" if "all" in sizes else "train"
    if whole not in sizes or set(sizes) - {whole, *(PARTS[1:] if whole == "train" else ())}:
        raise DataError(
            f"The source has the parts {sorted(sizes)}. Name its one part all, or its parts {', '.join(PARTS)}."
        )
    official = [part for part in PARTS[1:] if part in sizes]
    if clash := [part for part in official if wanted.get(part) is not None]:
        raise ConfigError(
            f"`{clash[0]}` is {wanted[clash[0]]:g}, but the source has its own {clash[0]} part. Leave `{clash[0]}` unset."
        )
    default = OF_ALL if whole == "all" else OF_TRAIN
    asked = {part: wanted.get(part) for part in PARTS[1:] if part not in official}
    fractions = {part: default if fraction is None else fraction for part, fraction in asked.items()}
    drawn: dict[str, Indices | None] = {**split_rows(sizes[whole], fractions, seed)} if any(fractions.values()) else {}
    empty = np.empty(0, np.int64)
    taken = {part: (whole, drawn.get(part, empty)) for part in fractions}
    return {"train": (whole, drawn.get("train")), **{part: (part, None) for part in official}, **taken}

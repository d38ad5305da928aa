"""The units of values that a model was fitted to, in which other data is read: the same number is the same to the model.

What stored values are divided by is detected from them and their type (8-bit values by 255). Other data that holds the same
numbers in another type, or few of them, may be detected as something else. So it is read by what was detected of the data
that the model was fitted to:

    that was not within [0, 1], as read         numbers are taken as they are
    stored as 0 to S, and so is this            divided by S
    this is stored within [0, 1]                taken as it is
    this lies on another grid, as 8-bit values  divided by its own greatest value
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vaekit.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.data.facts import Facts
    from vaekit.data.source import Array

ENOUGH = 512


@dataclass(frozen=True)
class Units:
    """How the values that a model was fitted to were stored and read.

    Attributes:
        scale: what they were divided by.
        levels: how many equally spaced values there were; None where they were on no grid.
        unit: whether all, as read, were in [0, 1].
        whole: whether all, as stored, were whole numbers.
        low: the least value, as read.
        high: the greatest.
    """

    scale: float
    levels: int | None
    unit: bool
    whole: bool
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, facts: Facts) -> Units:
        """Return the units of data of which these facts are known."""
        read = facts.low / facts.scale, facts.high / facts.scale
        return cls(facts.scale, facts.levels, facts.is_unit, facts.whole, *read)

    def shown(self, x: Tensor) -> Tensor:
        """Bring values as they are read to the range from black, 0, to white, 1: those in [0, 1] as they are, others by theirs.

        Example:
            >>> import torch
            >>> Units(1.0, None, False, False, -1.0, 1.0).shown(torch.tensor([-1.0, 0.0]))
            tensor([0.0000, 0.5000])
        """
        return x if self.unit or self.high == self.low else (x - self.low) / (self.high - self.low)

    def read(self, facts: Facts, sampled: Array, name: str) -> Facts:
        """Return the facts of other data, read in these units.

        Arguments:
            facts: as they were detected.
            sampled: some of its values, shape (N, *event).
            name: what it is called in messages.

        Raises:
            DataError: if its values cannot be those of the same quantity.
        """
        within = facts.low >= 0 and facts.high <= 1
        if self.whole and self.levels is None and within and not facts.whole:
            raise DataError(
                f"`{name}` has values between 0 and 1; the model was fitted to whole numbers. Give them in the same units."
            )
        if not self.unit or (self.levels is None and not facts.is_unit):
            return replace(facts, scale=1.0, levels=None)
        if within and (facts.high == 0 or self.scale == 1 or self._are_ends(facts, sampled, name)):
            return replace(facts, scale=1.0, levels=self.levels if _lie_on(sampled, self.levels) else facts.levels)
        if facts.low >= 0 and facts.high <= self.scale:
            return replace(facts, scale=self.scale, levels=self.levels if facts.whole else None)
        if facts.is_unit:
            return facts
        raise DataError(
            f"The values of `{name}` run from {facts.low:g} to {facts.high:g}; those that the model was fitted to, from 0 to "
            f"{self.scale:g}. Give them in the same units."
        )

    def _are_ends(self, facts: Facts, sampled: Array, name: str) -> bool:
        """Refuse a few whole numbers 0 and 1, of which one cannot tell whether 1 is the least or the greatest value."""
        if facts.whole and not facts.dtype.startswith("float") and sampled.size < ENOUGH:
            raise DataError(
                f"`{name}` holds a few zeros and ones, and the model was fitted to values from 0 to {self.scale:g}: 1 may be the "
                f"least or the greatest. Store {self.scale:g} for the greatest, or add rows of other values."
            )
        return True


def _lie_on(sampled: Array, levels: int | None) -> bool:
    """Tell whether values in [0, 1] lie on a grid of so many levels."""
    if levels is None:
        return False
    steps = sampled.astype(np.float64) * (levels - 1)
    return bool(np.abs(steps - np.round(steps)).max() < 1e-3)

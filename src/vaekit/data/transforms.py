"""Transforms of a batch on the device: scaling, binarisation, dequantisation, standardisation, flips.

A transform is a frozen dataclass, so it is part of a run's configuration. It sees a batch of shape (B, *event), as floats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Transform(ABC):
    """A change of the data that is made anew for every batch.

    Attributes:
        training_only: whether it is left out in evaluation (augmentation).
        random: whether it draws random numbers.
    """

    training_only: ClassVar[bool] = False
    random: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Transform a batch, shape (B, *event)."""

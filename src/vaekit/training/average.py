"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vaekit.training.sharded import own_parts


class WeightAverage:
    r"""The average :math:`\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta`, started at the weights of the first update.

    Arguments:
        model: whose parameters are averaged.
        decay: d.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: list[Tensor] = list(model.parameters())
        self.averages: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take the current weights into the average."""
        if not self.averages:
            self.averages = [w.detach().clone() for w in self.weights]
        torch._foreach_lerp_(own_parts(self.averages), own_parts(self.weights), 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights, and the weights back afterwards."""
        current = [w.detach().clone() for w in self.weights]
        self.write()
        try:
            yield
        finally:
            self._copy(current)

    def write(self) -> None:
        """Put the average in the place of the weights."""
        self._copy(self.averages)

    @torch.no_grad()
    def _copy(self, values: list[Tensor]) -> None:
        if values:
            torch._foreach_copy_(own_parts(self.weights), own_parts(values))

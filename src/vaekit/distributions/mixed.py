"""Events whose elements are of different kinds, as the columns of a table are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class Mixed(Distribution):
    r"""Independent columns, each of its own kind, :math:`\log p(x) = \sum_c \log p_c(x_c)`.

    Columns of one kind share one distribution object, so the cost grows with the number of kinds.

    Arguments:
        groups: the distribution of the columns of each kind, batch shape (*B, n), event shape ().
        places: which columns each of them describes, n indices each; together they are 0, ..., D - 1.
        validate_args: whether the shape of values is checked (their support is each group's own affair).

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> zero = torch.zeros(1)
        >>> parts = [vk.distributions.Normal(zero, zero, 0), vk.distributions.Bernoulli(zero, 0)]
        >>> p = vk.distributions.Mixed(parts, [torch.tensor([1]), torch.tensor([0])])
        >>> p.mean, p.log_prob(torch.tensor([1.0, 0.0]))
        (tensor([0.5000, 0.0000]), tensor(-1.6121))
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(
        self, groups: Sequence[Distribution], places: Sequence[Tensor], validate_args: bool | None = None
    ) -> None:
        self.groups, self.places = groups, places
        columns = sum(len(place) for place in places)
        super().__init__(groups[0].batch_shape[:-1], torch.Size([columns]), validate_args)

    @property
    def mean(self) -> Tensor:
        return self._assemble([group.mean for group in self.groups])

    @property
    def mode(self) -> Tensor:
        return self._assemble([group.mode for group in self.groups])

    @property
    def variance(self) -> Tensor:
        return self._assemble([group.variance for group in self.groups])

    def expand(self, batch_shape: Any, _instance: Any = None) -> Mixed:
        groups = [g.expand((*batch_shape, g.batch_shape[-1])) for g in self.groups]
        return Mixed(groups, self.places, self._validate_args)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._assemble([group.sample(sample_shape) for group in self.groups])

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        scores = [g.log_prob(value[..., place]).sum(-1) for g, place in zip(self.groups, self.places, strict=True)]
        return torch.stack(scores).sum(0)

    def _assemble(self, parts: Sequence[Tensor]) -> Tensor:
        """Put the groups' values, each of shape (..., n), back into the order of the columns."""
        return torch.cat(list(parts), -1)[..., torch.cat(list(self.places)).argsort()]

"""A point mass, the posterior of a plain autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from vaekit.distributions.located import Located


class Delta(Located):
    """All mass at one point. It has no density on real vectors: `log_prob` is 0 at the point and minus infinity elsewhere.

    Arguments:
        loc: the point, shape (*B, D).
        validate_args: whether to check parameters and values.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.Delta(torch.ones(3, 2)).rsample((5,)).shape
        torch.Size([5, 3, 2])
    """

    arg_constraints = {"loc": constraints.real_vector}

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        at_point = (value == self.loc).all(-1)
        return torch.zeros_like(value[..., 0]).masked_fill(~at_point, -torch.inf)

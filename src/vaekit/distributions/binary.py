"""Bernoulli distributions over whole events, scored in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F


class Bernoulli(Distribution):
    r"""Independent Bernoulli elements: :math:`\log p(x) = \sum_i x_i l_i - \log(1 + e^{l_i})`.

    Arguments:
        logits: :math:`l`, shape (*B, *event).
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values are 0 or 1.

    Example:
        >>> Bernoulli(torch.zeros(4, 1, 2, 2), event_dim=3).log_prob(torch.ones(4, 1, 2, 2))
        tensor([-2.7726, -2.7726, -2.7726, -2.7726])
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012

    def __init__(self, logits: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.logits = logits
        cut = logits.ndim - event_dim
        super().__init__(logits.shape[:cut], logits.shape[cut:], validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.boolean, len(self.event_shape))

    @property
    def probs(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Bernoulli:
        logits = self.logits.expand(*batch_shape, *self.event_shape)
        return Bernoulli(logits, len(self.event_shape), self._validate_args)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        return torch.bernoulli(self.probs.expand(self._extended_shape(torch.Size(sample_shape))))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        terms = value * self.logits - F.softplus(self.logits)
        return terms.flatten(-len(self.event_shape)).sum(-1)

    def entropy(self) -> Tensor:
        terms = F.softplus(self.logits) - self.probs * self.logits
        return terms.flatten(-len(self.event_shape)).sum(-1)

"""Elements that are 0 or 1, and the continuous relative of the Bernoulli distribution on [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from vaekit.distributions.elements import Elements
from vaekit.distributions.special import expm1_ratio_mean, expm1_ratio_variance, log_expm1_ratio, softplus


class Bernoulli(Elements):
    r"""Independent Bernoulli elements: :math:`\log p(x) = \sum_i x_i l_i - \log(1 + e^{l_i})`.

    Arguments:
        logits: :math:`l`, shape (*B, *event).
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values are 0 or 1.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.Bernoulli(torch.zeros(4, 1, 2, 2), event_dim=3).log_prob(torch.ones(4, 1, 2, 2))
        tensor([-2.7726, -2.7726, -2.7726, -2.7726])
    """

    arg_constraints = {"logits": constraints.real}
    element_support = constraints.boolean

    def __init__(self, logits: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(event_dim, validate_args)

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
        return self.probs * (-self.logits).sigmoid()

    def entropy(self) -> Tensor:
        return self._total(softplus(self.logits) - self.probs * self.logits)

    def _event_log_prob(self, value: Tensor) -> Tensor:
        return -self._total(self._cross_entropy(value))

    def _element_log_prob(self, value: Tensor) -> Tensor:
        return -self._cross_entropy(value)

    def _cross_entropy(self, value: Tensor) -> Tensor:
        r"""Compute :math:`\log(1 + e^l) - x l` by torch's fused kernel, which needs equal shapes and types."""
        logits, value = self.logits, value.to(self.logits.dtype)
        if value.shape != logits.shape:
            logits, value = torch.broadcast_tensors(logits, value)
        return F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def _draw(self, shape: torch.Size) -> Tensor:
        return torch.bernoulli(self.probs.expand(shape))


class ContinuousBernoulli(Elements):
    r"""The density on [0, 1] proportional to :math:`\lambda^x (1 - \lambda)^{1 - x}` (Loaiza-Ganem and Cunningham, 2019).

    With logit l it is the truncated exponential :math:`\log p(x) = \sum_i x_i l_i - \log \frac{e^{l_i} - 1}{l_i}`: the form used
    here, because the normaliser's logarithm is smooth through l = 0, that is, through :math:`\lambda = 1/2`. The mean
    is :math:`1 / (1 - e^{-l}) - 1/l`, which is not :math:`\lambda`.

    Arguments:
        logits: :math:`l = \log(\lambda / (1 - \lambda))`, shape (*B, *event).
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values lie in [0, 1].

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.distributions.ContinuousBernoulli(torch.tensor([0.1, 0.5]).logit(), event_dim=0)
        >>> p.mean, p.log_prob(torch.tensor([0.5, 0.5]))
        (tensor([0.3301, 0.5000]), tensor([-0.1936,  0.0000]))
    """

    arg_constraints = {"logits": constraints.real}
    element_support = constraints.unit_interval

    def __init__(self, logits: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(event_dim, validate_args)

    @property
    def mean(self) -> Tensor:
        return expm1_ratio_mean(self.logits)

    @property
    def variance(self) -> Tensor:
        return expm1_ratio_variance(self.logits)

    def _element_log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - log_expm1_ratio(self.logits)

    def _draw(self, shape: torch.Size) -> Tensor:
        """Invert the distribution function of the falling density, and mirror it where the density rises."""
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        slope = self.logits.abs().clamp(min=torch.finfo(u.dtype).eps)
        falling = -torch.log1p(u * torch.expm1(-slope)) / slope
        return torch.where(self.logits > 0, 1 - falling, falling)

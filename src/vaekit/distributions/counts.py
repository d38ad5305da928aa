"""Elements that count: 0, 1, 2, ... Rates, means and dispersions come as logarithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Gamma, constraints
from torch.nn import functional as F

from vaekit.distributions.elements import Elements
from vaekit.distributions.special import HALF_LOG_TWO_PI, log_beta, select, softplus, stirling_remainder

if TYPE_CHECKING:
    from typing import Self


class Poisson(Elements):
    r"""Independent Poisson counts, :math:`\log p(x) = \sum_i x_i r_i - e^{r_i} - \log x_i!`.

    Arguments:
        log_rate: r, shape (*B, *event).
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values are whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.Poisson(torch.zeros(3), event_dim=1).log_prob(torch.tensor([0.0, 1.0, 2.0]))
        tensor(-3.6931)
    """

    arg_constraints = {"log_rate": constraints.real}
    element_support = constraints.nonnegative_integer

    def __init__(self, log_rate: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.log_rate = log_rate
        super().__init__(event_dim, validate_args)

    @property
    def mean(self) -> Tensor:
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean

    def _element_log_prob(self, value: Tensor) -> Tensor:
        """Measure the mass from that at the rate's own count, which does not cancel for large counts (Loader, 2000)."""
        rate = self.log_rate.exp()
        count = value.to(rate.dtype).clamp(min=1)
        excess = (rate - count) / count
        log_ratio = select(excess > -0.5, excess.clamp(min=-0.5).log1p(), self.log_rate - count.log())
        at_rate = -0.5 * count.log() - HALF_LOG_TWO_PI - stirling_remainder(count)
        return select(value > 0, count * (log_ratio - excess) + at_rate, -rate)

    def _draw(self, shape: torch.Size) -> Tensor:
        return torch.poisson(self.mean.expand(shape))


class NegativeBinomial(Elements):
    r"""Independent negative binomial counts with mean :math:`\mu` and variance :math:`\mu + \mu^2 / \theta`.

    .. math::
        p(x) = \frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
               \left(\frac{\theta}{\theta + \mu}\right)^\theta \left(\frac{\mu}{\theta + \mu}\right)^x

    It is the Poisson distribution whose rate is gamma distributed with mean :math:`\mu` and shape :math:`\theta`, as used for gene
    counts by scVI (Lopez et al., 2018), and approaches the Poisson distribution as :math:`\theta` grows.

    Arguments:
        log_mean: :math:`\log \mu`, shape (*B, *event).
        log_dispersion: :math:`\log \theta`, shape (*B, *event) or what broadcasts to it.
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values are whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.NegativeBinomial(torch.zeros(2), torch.tensor(0.0), event_dim=1).log_prob(torch.tensor([0.0, 1.0]))
        tensor(-2.0794)
    """

    arg_constraints = {"log_mean": constraints.real, "log_dispersion": constraints.real}
    element_support = constraints.nonnegative_integer

    def __init__(
        self, log_mean: Tensor, log_dispersion: Tensor, event_dim: int, validate_args: bool | None = None
    ) -> None:
        self.log_mean, self.log_dispersion = log_mean, log_dispersion
        super().__init__(event_dim, validate_args)

    @property
    def mean(self) -> Tensor:
        return self._full(self.log_mean.exp())

    @property
    def variance(self) -> Tensor:
        return self.mean + (2 * self.log_mean - self.log_dispersion).exp()

    def _element_log_prob(self, value: Tensor) -> Tensor:
        log_odds, dispersion = self.log_mean - self.log_dispersion, self.log_dispersion.exp()
        coefficient = -log_beta(dispersion, value + 1) - (dispersion + value).log()
        return coefficient - value * softplus(-log_odds) - dispersion * softplus(log_odds)

    def _draw(self, shape: torch.Size) -> Tensor:
        dispersion = self.log_dispersion.exp()
        rate = Gamma(dispersion.expand(shape), (self.log_dispersion - self.log_mean).exp(), validate_args=False)
        return torch.poisson(rate.sample())


class ZeroInflated(Elements):
    r"""Counts of which some were lost: 0 with probability :math:`\pi`, and otherwise drawn from another distribution of counts.

    Arguments:
        counts: the distribution of what was not lost.
        dropout_logits: :math:`\log(\pi / (1 - \pi))`, shape (*B, *event).
        validate_args: whether to check parameters, and that values are whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.distributions.ZeroInflated(vk.distributions.Poisson(torch.zeros(1), event_dim=1), torch.zeros(1))
        >>> p.mean, p.log_prob(torch.tensor([0.0])).exp()
        (tensor([0.5000]), tensor(0.6839))
    """

    arg_constraints = {"dropout_logits": constraints.real}
    element_support = constraints.nonnegative_integer

    def __init__(self, counts: Elements, dropout_logits: Tensor, validate_args: bool | None = None) -> None:
        self.counts, self.dropout_logits = counts, dropout_logits
        super().__init__(len(counts.event_shape), validate_args)

    @property
    def kept(self) -> Tensor:
        """The probability that a count was not lost."""
        return torch.sigmoid(-self.dropout_logits)

    @property
    def mean(self) -> Tensor:
        return self.kept * self.counts.mean

    @property
    def variance(self) -> Tensor:
        return self.kept * (self.counts.variance + (1 - self.kept) * self.counts.mean.square())

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        new = super().expand(batch_shape)
        new.counts = self.counts.expand(batch_shape)
        return new

    def _element_log_prob(self, value: Tensor) -> Tensor:
        counted = F.logsigmoid(-self.dropout_logits) + self.counts._element_log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.dropout_logits), counted), counted)

    def _draw(self, shape: torch.Size) -> Tensor:
        return self.counts._draw(shape) * torch.bernoulli(self.kept.expand(shape))

"""Likelihoods of counts: 0, 1, 2, ... Networks return logarithms of means, bounded smoothly to (-20, 20)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from vaekit import distributions
from vaekit.distributions.special import bounded
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.scale import ElementScale, Scale, as_scale, logarithms
from vaekit.likelihoods.support import not_counts

MAX_LOG_MEAN = 20.0


class Counts(Likelihood):
    """What likelihoods of counts share: a mass function on whole numbers from 0."""

    is_discrete = True

    def outside_support(self, x: Tensor) -> str | None:
        return not_counts(x)


class Poisson(Counts):
    r"""Independent Poisson counts, :math:`p(x \mid z) = \prod_i \lambda_i(z)^{x_i} e^{-\lambda_i(z)} / x_i!`.

    Arguments:
        network: maps z, shape (N, D), to the logarithm of the rate of each element.
        event_shape: the shape of one example.

    Raises:
        DataError: from `check`, for values that are not whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.Poisson(torch.nn.Linear(2, 33), 33)(torch.zeros(5, 2)).log_prob(torch.zeros(5, 33)).shape
        torch.Size([5])
    """

    def forward(self, *given: Tensor) -> distributions.Poisson:
        (log_rate,) = self.parameters_given(*given)
        return distributions.Poisson(bounded(log_rate, MAX_LOG_MEAN), len(self.event_shape), self.validate_args)


class Overdispersed(Counts):
    """What likelihoods with a negative binomial in them share: a mean from the network, and a dispersion.

    Attributes:
        further: how many parameters of an element come after the mean and the dispersion.
    """

    further: ClassVar[int] = 0

    def __init__(
        self, network: nn.Module, event_shape: int | Sequence[int], dispersion: Scale | float | None = None
    ) -> None:
        super().__init__(network, event_shape)
        self.dispersion = as_scale(dispersion, ElementScale(), type(self).__name__, self.event_shape)
        self.parameters_per_element = 1 + self.dispersion.parameters_per_element + self.further

    def negative_binomial(self, log_mean: Tensor, raw: Sequence[Tensor]) -> distributions.NegativeBinomial:
        """Return the distribution for parameters of shape (*S, B, *event)."""
        (log_dispersion,) = logarithms(raw, self.dispersion)
        log_mean = bounded(log_mean, MAX_LOG_MEAN)
        return distributions.NegativeBinomial(log_mean, log_dispersion, len(self.event_shape), self.validate_args)


class NegativeBinomial(Overdispersed):
    r"""Independent counts with mean :math:`\mu_i(z)` and variance :math:`\mu_i + \mu_i^2 / \theta` (scVI: Lopez et al., 2018).

    Arguments:
        network: maps z, shape (N, D), to the logarithms of the means, and with `ElementScale` then to one number an
            element for the dispersion.
        event_shape: the shape of one example.
        dispersion: how :math:`\theta` is found; a number stands for `FixedScale`, None for `ElementScale` (for each gene and
            cell, in scVI's terms). `SharedScale(shape=event_shape)` learns one for each element (for each gene).

    Raises:
        ConfigError: for `OptimalScale`: the best dispersion has no closed form.
        DataError: from `check`, for values that are not whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.NegativeBinomial(torch.nn.Linear(2, 2 * 33), 33)(torch.zeros(5, 2)).mean.shape
        torch.Size([5, 33])
    """

    def forward(self, *given: Tensor) -> distributions.NegativeBinomial:
        log_mean, *raw = self.parameters_given(*given)
        return self.negative_binomial(log_mean, raw)


class ZeroInflatedNegativeBinomial(Overdispersed):
    r"""Independent counts, each lost (0) with probability :math:`\pi_i(z)`, and otherwise negative binomial (scVI's default).

    Arguments:
        network: maps z, shape (N, D), to the logarithms of the means, with `ElementScale` then to one number an element for
            the dispersion, and last to the logits of :math:`\pi`.
        event_shape: the shape of one example.
        dispersion: as of `NegativeBinomial`.

    Raises:
        ConfigError: for `OptimalScale`: the best dispersion has no closed form.
        DataError: from `check`, for values that are not whole numbers from 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.ZeroInflatedNegativeBinomial(torch.nn.Linear(2, 3 * 33), 33)(torch.zeros(5, 2)).mean.shape
        torch.Size([5, 33])
    """

    further = 1

    def forward(self, *given: Tensor) -> distributions.ZeroInflated:
        log_mean, *raw, dropout_logits = self.parameters_given(*given)
        return distributions.ZeroInflated(self.negative_binomial(log_mean, raw), dropout_logits, self.validate_args)

"""Normal distributions over vectors, parameterised by what networks return: the location, and the log-scale or a factor."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, constraints

from vaekit.distributions.located import Located
from vaekit.distributions.special import HALF_LOG_TWO_PI


class DiagonalNormal(Located):
    r"""The normal distribution with independent coordinates, :math:`N(\mu, \mathrm{diag}(e^{2 s}))`.

    Arguments:
        loc: :math:`\mu`, shape (*B, D).
        log_scale: :math:`s`, shape (*B, D).
        validate_args: whether to check parameters and values.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> q = vk.distributions.DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2))
        >>> q.log_prob(torch.zeros(2))
        tensor([-1.8379, -1.8379, -1.8379])
    """

    arg_constraints = {"loc": constraints.real_vector, "log_scale": constraints.real_vector}

    def __init__(self, loc: Tensor, log_scale: Tensor, validate_args: bool | None = None) -> None:
        self.log_scale, self.scale = log_scale, log_scale.exp()
        super().__init__(loc, validate_args)

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiagonalNormal:
        shape = (*batch_shape, *self.event_shape)
        return DiagonalNormal(self.loc.expand(shape), self.log_scale.expand(shape), self._validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = torch.randn(
            (*sample_shape, *self._batch_shape, *self._event_shape), dtype=self.loc.dtype, device=self.loc.device
        )
        return torch.addcmul(self.loc, noise, self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        standardised = (value - self.loc) * (-self.log_scale).exp()
        return -(0.5 * standardised.square() + self.log_scale + HALF_LOG_TWO_PI).sum(-1)

    def entropy(self) -> Tensor:
        return (self.log_scale + (0.5 + HALF_LOG_TWO_PI)).sum(-1)


class StandardNormal(Located):
    """The normal distribution :math:`N(0, I)`, with no parameters to compute with.

    Arguments:
        loc: zeros of shape (*B, D), which give the shape, the type and the device.
        validate_args: whether to check values.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.StandardNormal(torch.zeros(2)).log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    arg_constraints = {}

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.loc)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return torch.randn(self._extended_shape(torch.Size(sample_shape)), dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -0.5 * value.square().sum(-1) - value.shape[-1] * HALF_LOG_TWO_PI

    def entropy(self) -> Tensor:
        return (self.loc + (0.5 + HALF_LOG_TWO_PI)).sum(-1)


class FullNormal(MultivariateNormal):
    r"""The normal distribution :math:`N(\mu, L L^\top)`, torch's own but for draws that mixed precision leaves alone.

    A draw :math:`\mu + L \varepsilon` that is rounded by a product of matrices in half precision is far from where its density
    is computed when L is ill-conditioned.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.FullNormal(torch.zeros(3, 2), scale_tril=torch.eye(2)).rsample((5,)).shape
        torch.Size([5, 3, 2])
    """

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        device = self.loc.device.type
        mixed = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if mixed else nullcontext():
            draws: Tensor = super().rsample(torch.Size(sample_shape))
        return draws

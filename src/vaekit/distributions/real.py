"""Elements on the real line with a location and a scale, and positive elements whose logarithm is normal.

Scales come as logarithms, which is what networks return. A log-scale may be one number for all elements.
"""

from __future__ import annotations

import math
from copy import copy
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import StudentT as TorchStudentT
from torch.distributions import constraints

from vaekit.distributions.elements import Elements
from vaekit.distributions.special import HALF_LOG_TWO_PI, log_beta


def _standard_normal_log_density(z: Tensor) -> Tensor:
    return -0.5 * z.square() - HALF_LOG_TWO_PI


class LocationScale(Elements):
    r"""A family of densities :math:`e^{-s} f((x - \mu) e^{-s})`, symmetric around :math:`\mu`.

    Required: `_standard_log_density`, the logarithm of f, and `_standard_draw`.

    Arguments:
        loc: :math:`\mu`, shape (*B, *event) or what broadcasts to it.
        log_scale: s, shape (*B, *event) or what broadcasts to it.
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters and values.

    Attributes:
        power: p where one scale fits values best at :math:`e^{p s} = E|x - \mu|^p`; None where no closed form exists.
    """

    arg_constraints = {"loc": constraints.real, "log_scale": constraints.real}
    element_support = constraints.real
    power: ClassVar[int | None] = None

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.loc, self.log_scale = loc, log_scale
        super().__init__(event_dim, validate_args)

    def _standard_log_density(self, z: Tensor) -> Tensor:
        """Return log f(z), elementwise."""
        raise NotImplementedError

    def _standard_draw(self, shape: torch.Size) -> Tensor:
        """Draw from f."""
        raise NotImplementedError

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    @property
    def mean(self) -> Tensor:
        return self._full(self.loc)

    @property
    def mode(self) -> Tensor:
        return self.mean

    def with_log_scale(self, log_scale: Tensor) -> LocationScale:
        """Return the same family and locations with another scale, which broadcasts as the old one did."""
        new = copy(self)
        new.log_scale = log_scale
        return new

    def _element_log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) * (-self.log_scale).exp()
        return self._standard_log_density(z) - self.log_scale

    def _draw(self, shape: torch.Size) -> Tensor:
        return self.loc + self.scale * self._standard_draw(shape)


class Normal(LocationScale):
    r"""Independent normal elements, :math:`N(\mu_i, e^{2 s_i})`.

    Arguments: see `LocationScale`.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.Normal(torch.zeros(5, 2), torch.tensor(0.0), event_dim=1).log_prob(torch.zeros(2))
        tensor([-1.8379, -1.8379, -1.8379, -1.8379, -1.8379])
    """

    power = 2

    @property
    def variance(self) -> Tensor:
        return self._full((2 * self.log_scale).exp())

    def _standard_log_density(self, z: Tensor) -> Tensor:
        return _standard_normal_log_density(z)

    def _standard_draw(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)


class Laplace(LocationScale):
    r"""Independent Laplace elements, :math:`\log p(x) = \sum_i -|x_i - \mu_i| e^{-s_i} - s_i - \log 2`.

    Arguments: see `LocationScale`.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.Laplace(torch.zeros(2), torch.tensor(0.0), event_dim=1).log_prob(torch.zeros(2))
        tensor(-1.3863)
    """

    power = 1

    @property
    def variance(self) -> Tensor:
        return self._full(2 * (2 * self.log_scale).exp())

    def _standard_log_density(self, z: Tensor) -> Tensor:
        return -z.abs() - math.log(2)

    def _standard_draw(self, shape: torch.Size) -> Tensor:
        first, second = torch.empty((2, *shape), dtype=self.loc.dtype, device=self.loc.device).exponential_().unbind()
        return first - second


class StudentT(LocationScale):
    r"""Independent elements :math:`\mu_i + e^{s_i} t_i`, t of Student's distribution with :math:`\nu` degrees of freedom.

    Its `mean` is the location, which is the mean where :math:`\nu > 1`; its variance is infinite where :math:`\nu \le 2`.

    Arguments:
        loc: :math:`\mu`, shape (*B, *event) or what broadcasts to it.
        log_scale: s, shape (*B, *event) or what broadcasts to it.
        log_df: :math:`\log \nu`, shape (*B, *event) or what broadcasts to it.
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters and values.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.StudentT(torch.zeros(2), torch.tensor(0.0), torch.tensor(0.0), event_dim=1).log_prob(torch.zeros(2))
        tensor(-2.2895)
    """

    arg_constraints = {**LocationScale.arg_constraints, "log_df": constraints.real}

    def __init__(
        self, loc: Tensor, log_scale: Tensor, log_df: Tensor, event_dim: int, validate_args: bool | None = None
    ) -> None:
        self.log_df = log_df
        super().__init__(loc, log_scale, event_dim, validate_args)

    @property
    def df(self) -> Tensor:
        return self.log_df.exp()

    @property
    def variance(self) -> Tensor:
        ratio = self.df / (self.df - 2).clamp(min=0)
        return self._full(ratio * (2 * self.log_scale).exp())

    def _standard_log_density(self, z: Tensor) -> Tensor:
        half = self.df / 2
        constant = -log_beta(half, torch.full_like(half, 0.5)) - 0.5 * self.log_df
        return constant - (half + 0.5) * torch.log1p(z.square() / self.df)

    def _standard_draw(self, shape: torch.Size) -> Tensor:
        draws: Tensor = TorchStudentT(self.df.expand(shape), validate_args=False).sample()
        return draws


class LogNormal(Elements):
    r"""Independent positive elements whose logarithm is normal, :math:`\log x_i \sim N(\mu_i, e^{2 s_i})`.

    Arguments:
        loc: :math:`\mu`, shape (*B, *event).
        log_scale: s, shape (*B, *event) or what broadcasts to it.
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and that values are positive.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.LogNormal(torch.zeros(2), torch.zeros(2), event_dim=1).log_prob(torch.ones(2))
        tensor(-1.8379)
    """

    arg_constraints = LocationScale.arg_constraints
    element_support = constraints.positive

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dim: int, validate_args: bool | None = None) -> None:
        self.loc, self.log_scale = loc, log_scale
        super().__init__(event_dim, validate_args)

    @property
    def mean(self) -> Tensor:
        return (self.loc + 0.5 * (2 * self.log_scale).exp()).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - (2 * self.log_scale).exp()).exp()

    @property
    def variance(self) -> Tensor:
        return torch.expm1((2 * self.log_scale).exp()) * self.mean.square()

    def _element_log_prob(self, value: Tensor) -> Tensor:
        log_value = value.log()
        z = (log_value - self.loc) * (-self.log_scale).exp()
        return _standard_normal_log_density(z) - self.log_scale - log_value

    def _draw(self, shape: torch.Size) -> Tensor:
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return (self.loc + self.log_scale.exp() * noise).exp()

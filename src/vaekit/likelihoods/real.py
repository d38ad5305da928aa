"""Likelihoods of real values: a location from the network, and a scale found in one of several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import distributions
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.scale import Scale, SharedScale, as_scale, logarithms


class LocationScale(Likelihood):
    r"""Independent elements :math:`x_i = \mu_i(z) + \sigma \varepsilon_i` with noise of one family.

    Required: `family`.

    Arguments:
        network: maps z, shape (N, D), to the locations, and with `ElementScale` also to one number an element for the scale.
        event_shape: the shape of one example.
        scale: how :math:`\sigma` is found; a number stands for `FixedScale`, None for `SharedScale`.

    Attributes:
        family: the distribution.
    """

    family: ClassVar[type[distributions.LocationScale]]

    def __init__(
        self, network: nn.Module, event_shape: int | Sequence[int], scale: Scale | float | None = None
    ) -> None:
        super().__init__(network, event_shape)
        self.scale = as_scale(scale, SharedScale(), type(self).__name__, self.event_shape, self.family.power)
        self.couples_batch = self.scale.couples_batch
        self.parameters_per_element = 1 + self.scale.parameters_per_element

    def forward(self, *given: Tensor) -> Distribution:
        loc, *raw = self.parameters_given(*given)
        (log_scale,) = logarithms(raw, self.scale)
        return self.scale.attach(self.family(loc, log_scale, len(self.event_shape), self.validate_args))


class Normal(LocationScale):
    r"""Independent normal elements, :math:`p(x \mid z) = \prod_i N(x_i; \mu_i(z), \sigma^2)`.

    The scale decides what the squared error weighs against the rate. `FixedScale` takes it as given (:math:`\sigma^2 = 1/2`
    is the plain sum of squares, plus its constant); `SharedScale` and `OptimalScale` find the one under which the data
    is likeliest, the root mean squared error (Rybkin, Daniilidis and Levine, 2021); `ElementScale` asks the network.

    Arguments:
        network: maps z, shape (N, D), to the locations, and with `ElementScale` also to one number an element for the scale.
        event_shape: the shape of one example.
        scale: how :math:`\sigma` is found; a number stands for `FixedScale`, None for `SharedScale`.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.likelihoods.Normal(torch.nn.Linear(2, 3), 3, scale=0.5)(torch.zeros(5, 2))
        >>> p.batch_shape, p.event_shape, p.stddev[0]
        (torch.Size([5]), torch.Size([3]), tensor([0.5000, 0.5000, 0.5000]))
    """

    family = distributions.Normal


class Laplace(LocationScale):
    r"""Independent Laplace elements, :math:`\log p(x \mid z) = -\sum_i |x_i - \mu_i(z)| / b - \log 2b`: the absolute error.

    Arguments:
        network: maps z, shape (N, D), to the locations, and with `ElementScale` also to one number an element for the scale.
        event_shape: the shape of one example.
        scale: how b is found; a number stands for `FixedScale`, None for `SharedScale`. At its best it is the mean
            absolute error.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.Laplace(torch.nn.Linear(2, 3), 3)(torch.zeros(5, 2)).log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    family = distributions.Laplace


class StudentT(Likelihood):
    r"""Independent elements with Student's noise, :math:`x_i = \mu_i(z) + \sigma t_i`, which forgives outliers.

    Arguments:
        network: maps z, shape (N, D), to the locations, and to one number an element for each `ElementScale`.
        event_shape: the shape of one example.
        scale: how :math:`\sigma` is found; a number stands for `FixedScale`, None for `SharedScale`.
        df: how the degrees of freedom :math:`\nu` are found, likewise; None for `SharedScale(4.0)`.

    Raises:
        ConfigError: for `OptimalScale`: the best values have no closed form.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.StudentT(torch.nn.Linear(2, 3), 3, df=5.0)(torch.zeros(5, 2)).log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: int | Sequence[int],
        scale: Scale | float | None = None,
        df: Scale | float | None = None,
    ) -> None:
        super().__init__(network, event_shape)
        self.scale = as_scale(scale, SharedScale(), "StudentT", self.event_shape)
        self.df = as_scale(df, SharedScale(4.0), "StudentT", self.event_shape)
        self.parameters_per_element = 1 + self.scale.parameters_per_element + self.df.parameters_per_element

    def forward(self, *given: Tensor) -> distributions.StudentT:
        loc, *raw = self.parameters_given(*given)
        log_scale, log_df = logarithms(raw, self.scale, self.df)
        return distributions.StudentT(loc, log_scale, log_df, len(self.event_shape), self.validate_args)

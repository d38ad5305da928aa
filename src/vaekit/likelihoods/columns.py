"""The kinds of a table's columns: what distribution a value has, and how many numbers describe it.

Values of every kind are stored as floating-point numbers: categories and counts as 0, 1, 2, ..., binary values as 0 and 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.distributions import Distribution

from vaekit import distributions
from vaekit.distributions.special import bounded
from vaekit.errors import ConfigError
from vaekit.likelihoods.counts import MAX_LOG_MEAN
from vaekit.likelihoods.support import not_binary, not_categories, not_counts, not_positive


@dataclass(frozen=True)
class Column(ABC):
    """A kind of column.

    Required: `parameters` and `distribution`. Optional: `outside_support`.

    Attributes:
        is_discrete: whether its distribution is a mass function.
        parameters: how many numbers describe the distribution of one value.
    """

    is_discrete: ClassVar[bool] = False

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers describe the distribution of one value: a subclass's constant, or a property."""

    @abstractmethod
    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> Distribution:
        """Return the distribution of single values, batch shape (*B), for parameters of shape (*B, p)."""

    def outside_support(self, values: Tensor) -> str | None:
        """Say why these values, finite and of any shape, cannot be scored, and the way out; None if they can."""
        return None


@dataclass(frozen=True)
class Real(Column):
    """Real numbers: normal, the location and log-scale from the network.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.columns.Real().distribution(torch.zeros(5, 2)).log_prob(torch.tensor(0.0))
        tensor([-0.9189, -0.9189, -0.9189, -0.9189, -0.9189])
    """

    parameters = 2

    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> distributions.Normal:
        loc, raw = parameters.unbind(-1)
        return distributions.Normal(loc, bounded(raw), 0, validate_args)


@dataclass(frozen=True)
class Positive(Column):
    """Positive numbers: their logarithm is normal, its location and log-scale from the network.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.columns.Positive().distribution(torch.zeros(2)).log_prob(torch.tensor(1.0))
        tensor(-0.9189)
    """

    parameters = 2

    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> distributions.LogNormal:
        loc, raw = parameters.unbind(-1)
        return distributions.LogNormal(loc, bounded(raw), 0, validate_args)

    def outside_support(self, values: Tensor) -> str | None:
        return not_positive(values)


@dataclass(frozen=True)
class Binary(Column):
    """Zeros and ones: Bernoulli, the logit from the network.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.columns.Binary().distribution(torch.zeros(1)).log_prob(torch.tensor(1.0))
        tensor(-0.6931)
    """

    is_discrete = True
    parameters = 1

    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> distributions.Bernoulli:
        return distributions.Bernoulli(parameters.squeeze(-1), 0, validate_args)

    def outside_support(self, values: Tensor) -> str | None:
        return not_binary(values)


@dataclass(frozen=True)
class Categorical(Column):
    """Categories 0, ..., levels - 1: their logits from the network.

    Arguments:
        levels: how many categories there are.

    Raises:
        ConfigError: for no category.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.columns.Categorical(4).distribution(torch.zeros(4)).log_prob(torch.tensor(3.0))
        tensor(-1.3863)
    """

    levels: int

    is_discrete = True

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise ConfigError(f"`levels` of Categorical is {self.levels}; a column has at least 1 category.")

    @property
    def parameters(self) -> int:
        return self.levels

    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> distributions.Categorical:
        return distributions.Categorical(parameters, 0, validate_args=validate_args)

    def outside_support(self, values: Tensor) -> str | None:
        return not_categories(values, self.levels)


@dataclass(frozen=True)
class Count(Column):
    """Counts 0, 1, 2, ...: negative binomial, the logarithms of mean and dispersion from the network.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.columns.Count().distribution(torch.zeros(2)).log_prob(torch.tensor(0.0))
        tensor(-0.6931)
    """

    is_discrete = True
    parameters = 2

    def distribution(self, parameters: Tensor, validate_args: bool | None = None) -> distributions.NegativeBinomial:
        log_mean, raw = parameters.unbind(-1)
        return distributions.NegativeBinomial(bounded(log_mean, MAX_LOG_MEAN), bounded(raw), 0, validate_args)

    def outside_support(self, values: Tensor) -> str | None:
        return not_counts(values)

r"""A positive parameter of a likelihood, and how it is found.

The parameter is a scale :math:`\sigma`, the dispersion of counts, or degrees of freedom. It is `FixedScale`, one learned number
(`SharedScale`), another output of the network (`ElementScale`), or what fits each batch best (`OptimalScale`). All speak of
its logarithm, bounded smoothly to (-10, 10).

A squared error is a normal likelihood in disguise: with a fixed :math:`\sigma`, and up to the constant, the negative
log-likelihood is :math:`\frac{1}{2 \sigma^2} \sum_i (x_i - \mu_i)^2`. So the sum of squares is :math:`\sigma^2 = 1/2`, and half the
sum of squares with the divergence weighed by :math:`\beta` is :math:`\sigma^2 = \beta`, up to a factor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaekit.arguments import require_count, require_object
from vaekit.batch_mean import batch_mean
from vaekit.distributions import LocationScale
from vaekit.distributions.special import bounded
from vaekit.errors import ConfigError, ShapeError
from vaekit.shapes import Shape, as_shape, broadcasts

MAX_LOG = 10.0


class Scale(nn.Module, ABC):
    """How a positive parameter is found.

    Required: `forward`. Optional: `attach`, where the values that are scored have a say.

    Attributes:
        parameters_per_element: how many numbers of the network's output it takes for each element.
        couples_batch: whether the distribution of one example depends on the others, in training.
    """

    parameters_per_element: ClassVar[int] = 0
    couples_batch: ClassVar[bool] = False

    @abstractmethod
    def forward(self, *raw: Tensor) -> Tensor:
        """Return the parameter's logarithm, which broadcasts to (*S, B, *event), from its share of the network's output."""

    def bind(self, owner: str, event_shape: Shape, power: int | None) -> None:
        """Learn whose parameter this is, of which events, and the `power` of its family, if any (`LocationScale`)."""

    def attach(self, distribution: LocationScale) -> Distribution:
        """Return what stands for a distribution that was built with this scale."""
        return distribution


class FixedScale(Scale):
    """A number that is not learned.

    Arguments:
        value: the number, above 0.

    Raises:
        ConfigError: if it is not above 0.

    Example:
        >>> import vaekit as vk
        >>> vk.likelihoods.FixedScale(0.5)().exp()
        tensor(0.5000)
    """

    log_value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.register_buffer("log_value", torch.tensor(_log(value, "value", "FixedScale")), persistent=False)

    def forward(self, *raw: Tensor) -> Tensor:
        return self.log_value

    def extra_repr(self) -> str:
        return f"{self.value:g}"


class SharedScale(Scale):
    r"""A learned number, the same for all examples: at the optimum of `Normal`, the root mean squared error (Rybkin et al., 2021).

    The parameter r gives the logarithm :math:`10 \tanh(r)`. Near 0 a step of Adam of 0.001 in r changes the number by 1 %.

    Arguments:
        initial: where learning starts.
        shape: () for one number for all elements; the event's shape, or width, for one each; or what broadcasts to it.

    Raises:
        ConfigError: if `initial` is not above 0, or its logarithm is beyond the bound.
        ShapeError: from a likelihood, if `shape` does not broadcast to its events.

    Example:
        >>> import vaekit as vk
        >>> vk.likelihoods.SharedScale(initial=0.5)().exp()
        tensor(0.5000, grad_fn=<ExpBackward0>)
    """

    def __init__(self, initial: float = 1.0, shape: int | Sequence[int] = ()) -> None:
        super().__init__()
        self.initial, self.shape = initial, as_shape(shape)
        raw = math.atanh(_log(initial, "initial", "SharedScale") / MAX_LOG)
        self.raw = nn.Parameter(torch.full(self.shape, raw))

    def bind(self, owner: str, event_shape: Shape, power: int | None) -> None:
        if not broadcasts(self.shape, event_shape):
            raise ShapeError(
                f"`shape` of SharedScale is {self.shape}, which does not broadcast to events of shape {event_shape}, as {owner} "
                f"has them. Give (), or the event's shape, with 1 for each dimension that shares a number."
            )

    def forward(self, *raw: Tensor) -> Tensor:
        return MAX_LOG * self.raw.tanh()

    def extra_repr(self) -> str:
        return f"initial={self.initial:g}, shape={self.shape}"


class ElementScale(Scale):
    """A number for each element and latent: one more output of the network for each element, after the locations.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.likelihoods.Normal(torch.nn.Linear(2, 2 * 784), 784, vk.likelihoods.ElementScale())
        >>> p(torch.zeros(5, 2)).stddev.shape
        torch.Size([5, 784])
    """

    parameters_per_element = 1

    def forward(self, *raw: Tensor) -> Tensor:
        return bounded(raw[0], MAX_LOG)


class OptimalScale(Scale):
    r"""The scale under which the data is likeliest, in closed form (the sigma-VAE of Rybkin, Daniilidis and Levine, 2021).

    In training it is that of the batch at hand, over all its elements (and processes):

    .. math::
        \sigma^p = \operatorname{mean}_i |x_i - \mu_i|^p, \qquad p = 2 \text{ for Normal}, \quad p = 1 \text{ for Laplace},

    treated as a constant. That changes no gradient of the ELBO, because it is where the mean log-likelihood's slope in
    :math:`\sigma` is 0; an importance-weighted bound has another slope there, and is improved at this scale, not over it. The
    training loss so couples the batch, and is no likelihood. In evaluation mode :math:`\sigma^p` is the mean over
    the latest training batches, weighted by an exponential of this memory: a fixed number, so a deterministic and proper
    likelihood. It is 1 before any training.

    Arguments:
        memory: of how many batches, roughly, evaluation uses the mean.

    Raises:
        ConfigError: if `memory` is below 1; or from a likelihood whose best scale has no closed form.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.likelihoods.Normal(torch.nn.Identity(), 2, vk.likelihoods.OptimalScale())
        >>> log_p = p(torch.zeros(1, 2)).log_prob(torch.tensor([[3.0, -3.0]]))
        >>> p.eval()(torch.zeros(1, 2)).stddev
        tensor([[3., 3.]])
    """

    couples_batch = True
    moment: Tensor
    weight: Tensor

    def __init__(self, memory: int = 20) -> None:
        super().__init__()
        require_count(self, "memory", memory)
        self.memory, self.power = memory, 1
        self.register_buffer("moment", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def bind(self, owner: str, event_shape: Shape, power: int | None) -> None:
        if power is None:
            raise ConfigError(
                f"{owner} was given OptimalScale, but its best value has no closed form (only the scales of Normal and "
                f"Laplace have one). Use SharedScale, which learns it."
            )
        self.power = power

    def forward(self, *raw: Tensor) -> Tensor:
        known = self.weight > 0
        return self.best(torch.where(known, self.moment / torch.where(known, self.weight, 1), 1))

    def attach(self, distribution: LocationScale) -> Distribution:
        return BestScaled(distribution, self) if self.training else distribution

    def best(self, moment: Tensor) -> Tensor:
        """Return the logarithm of the best scale for errors with this mean p-th power."""
        return (moment.log() / self.power).clamp(-MAX_LOG, MAX_LOG)

    @torch.no_grad()
    def observe(self, errors: Tensor) -> Tensor:
        """Remember the errors of a training batch, and return the logarithm of the best scale for them."""
        moment = batch_mean(errors.abs().pow(self.power).flatten())
        self.moment.lerp_(moment.to(self.moment.dtype), 1 / self.memory)
        self.weight.lerp_(torch.ones_like(self.weight), 1 / self.memory)
        return self.best(moment)

    def extra_repr(self) -> str:
        return f"memory={self.memory}"


class BestScaled(Distribution):
    """A location-scale family whose one scale is the best for the very values that are scored, all at once.

    Arguments:
        base: the family, its locations, and the scale to sample with.
        scale: finds the best scale, and remembers it.
    """

    arg_constraints = {}

    def __init__(self, base: LocationScale, scale: OptimalScale) -> None:
        self.base, self.best = base, scale
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        support: constraints.Constraint = self.base.support
        return support

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def expand(self, batch_shape: Any, _instance: Any = None) -> BestScaled:
        return BestScaled(self.base.expand(batch_shape), self.best)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.with_log_scale(self.best.observe(value - self.base.loc)).log_prob(value)


def logarithms(raw: Iterable[Tensor], *scales: Scale) -> list[Tensor]:
    """Give each scale its share of the network's outputs, in order, and return the logarithms."""
    rest = iter(raw)
    return [scale(*islice(rest, scale.parameters_per_element)) for scale in scales]


def as_scale(
    scale: Scale | float | None, default: Scale, owner: str, event_shape: Shape, power: int | None = None
) -> Scale:
    """Read a number as a fixed scale, and nothing as the default; bind it to its owner."""
    require_object("scale", scale)
    chosen = default if scale is None else scale if isinstance(scale, Scale) else FixedScale(scale)
    chosen.bind(owner, event_shape, power)
    return chosen


def _log(value: float, argument: str, owner: str) -> float:
    if not math.exp(-MAX_LOG) < value < math.exp(MAX_LOG):
        raise ConfigError(f"`{argument}` of {owner} is {value}; it must be above 0, between e^-10 and e^10.")
    return math.log(value)

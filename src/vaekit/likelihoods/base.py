"""What every likelihood shares: a network from latents to parameters, the shape of an event, and what it says of itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Conditional, widened
from vaekit.errors import DataError, ShapeError
from vaekit.likelihoods.support import gaps
from vaekit.shapes import Shape, apply_to_latents, as_shape


class Likelihood(Conditional):
    r"""A distribution :math:`p(x \mid z)` over events of a fixed shape.

    Required: `forward`, and `parameters_per_element` (or `features`, where parameters are not per element). Optional:
    `outside_support`. Every subclass is a normalised density or mass function with all its constants unless
    `is_normalised` is False.

    Attributes:
        is_discrete: whether it is a mass function, so that its nats are a code length.
        is_normalised: whether it sums or integrates to 1 on the values it accepts.
        parameters_per_element: how many numbers of the network's output describe one element of x.
    """

    is_discrete: bool = False
    is_normalised: bool = True
    parameters_per_element: int = 1

    def __init__(self, network: nn.Module, event_shape: int | Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.event_shape = as_shape(event_shape)

    @property
    def features(self) -> Shape:
        """The shape that the network must return per example: the event's, with its first dimension widened.

        Example:
            >>> import torch
            >>> import vaekit as vk
            >>> vk.likelihoods.Normal(torch.nn.Identity(), (3, 32, 32), vk.likelihoods.ElementScale()).features
            (6, 32, 32)
        """
        first, *rest = self.event_shape
        return (self.parameters_per_element * first, *rest)

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """Return p(x|z) for latents z, shape (*S, B, D), and optional context, shape (B, ...)."""

    def problem(self, x: Tensor) -> str | None:
        """Say in one clause why these values, shape (N, *event), cannot be scored, and the way out; None if they can."""
        return gaps(x) or self.outside_support(x)

    def outside_support(self, x: Tensor) -> str | None:
        """Say in one clause why finite values, shape (N, *event), lie outside the support, and the way out; None if they do not."""
        return None

    def check(self, x: Tensor) -> None:
        """Refuse data, shape (N, *event), that this likelihood cannot score.

        Raises:
            ShapeError: if the events have another shape.
            DataError: if a value lies outside the support.
        """
        if tuple(x.shape[1:]) != self.event_shape:
            raise ShapeError(
                f"`event_shape` of {type(self).__name__} is {self.event_shape}, but the data's events have shape "
                f"{tuple(x.shape[1:])}. Build the likelihood and its network for the data's shape."
            )
        if (problem := self.problem(x)) is not None:
            raise DataError(f"{type(self).__name__} cannot score this data: {problem}")

    def output_given(self, *given: Tensor) -> Tensor:
        """Apply the network to latents (and context), and return its output in single precision at least, shape (*S, B, F).

        Raises:
            ShapeError: if the network's output has another size than the event needs.
        """
        return self._checked(self._applied(*given).flatten(given[0].ndim - 1))

    def parameters_given(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Apply the network to latents (and context) and return its parameters, each of shape (*S, B, *event).

        Raises:
            ShapeError: if the network's output has another size than the event needs.
        """
        output, lead = self._applied(*given), given[0].ndim - 1
        if output.shape[lead:] != self.features:
            output = self._checked(output.flatten(lead)).unflatten(-1, self.features)
        if self.parameters_per_element == 1:
            return (output,)
        parameters: Tensor = output.unflatten(lead, (self.parameters_per_element, -1))
        return parameters.unbind(lead)

    def _applied(self, z: Tensor, *context: Tensor) -> Tensor:
        return widened(apply_to_latents(self.network, z, *context))

    def _checked(self, output: Tensor) -> Tensor:
        if output.shape[-1] != prod(self.features):
            raise ShapeError(
                f"`network` returned {output.shape[-1]} numbers an example for {type(self).__name__}, which needs "
                f"{prod(self.features)} to describe an event of shape {self.event_shape}. End the network with "
                f"{prod(self.features)} features or shape {self.features}."
            )
        return output

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}"

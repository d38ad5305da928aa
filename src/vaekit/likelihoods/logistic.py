"""The likelihood of images on a grid of levels, and of their channels together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from vaekit import distributions
from vaekit.distributions.special import bounded
from vaekit.errors import ConfigError
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.support import off_grid
from vaekit.shapes import Shape

MAX_LOG_SCALE = 7.0


class DiscretizedLogisticMixture(Likelihood):
    r"""Pixels on a grid of levels, each a mixture of discretised logistics (Salimans et al., 2017, PixelCNN++).

    A mass function over the L levels themselves, so its nats are a code length: with 256 levels of an 8-bit image, bits per
    dimension need no correction. An event of three dimensions is read as (channels, height, width): a pixel's
    channels share the component, and each channel's location depends linearly on the channels before it. In an event of another
    shape every element is a pixel of its own. Locations are on [-1, 1]; log-scales are bounded smoothly to (-7, 7).

    Arguments:
        network: maps z, shape (N, D), to :math:`K (1 + 2 C + C (C - 1) / 2)` numbers a pixel with C channels: the component's
            logits, the locations, the log-scales and the couplings (before tanh) of all components.
        event_shape: the shape of one example.
        components: K.
        levels: L; values are :math:`k / (L - 1)` in [0, 1].

    Raises:
        ConfigError: for no component, or fewer than 2 levels.
        DataError: from `check`, for values off the grid.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.DiscretizedLogisticMixture(torch.nn.Identity(), (3, 32, 32), components=10).features
        (100, 32, 32)
    """

    is_discrete = True

    def __init__(
        self, network: nn.Module, event_shape: int | Sequence[int], components: int = 10, levels: int = 256
    ) -> None:
        super().__init__(network, event_shape)
        if components < 1 or levels < 2:
            raise ConfigError(
                f"`components` and `levels` of DiscretizedLogisticMixture are {components} and {levels}; a mixture has at "
                f"least 1 component, and a grid at least 2 levels."
            )
        self.components, self.levels = components, levels
        self.channels = self.event_shape[0] if len(self.event_shape) == 3 else 1

    @property
    def features(self) -> Shape:
        """The shape that the network must return per example: the parameters of each pixel in place of its channels."""
        first, *rest = self.event_shape
        return (sum(self._sizes) * first // self.channels, *rest)

    @property
    def _sizes(self) -> list[int]:
        """How many logits, locations, log-scales and couplings describe a pixel."""
        pairs = self.channels * (self.channels - 1) // 2
        return [self.components * n for n in (1, self.channels, self.channels, pairs)]

    def forward(self, *given: Tensor) -> distributions.DiscretizedLogisticMixture:
        pixels = prod(self.event_shape) // self.channels
        output = self.output_given(*given).unflatten(-1, (sum(self._sizes), pixels))
        logits, *rest = output.split(self._sizes, -2)
        loc, raw, coupling = (
            p.reshape(*p.shape[:-2], self.components, p.shape[-2] // self.components, pixels) for p in rest
        )
        return distributions.DiscretizedLogisticMixture(
            logits,
            loc,
            bounded(raw, MAX_LOG_SCALE),
            torch.tanh(coupling),
            self.event_shape,
            self.levels,
            self.validate_args,
        )

    def outside_support(self, x: Tensor) -> str | None:
        return off_grid(x, self.levels)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, components={self.components}, levels={self.levels}"

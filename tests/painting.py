"""A model whose pictures are known: the pixels that it decodes are the latents themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, TransformedDistribution

from vaekit import VAE, Conditional, posteriors, priors


class Painter(Conditional):
    """The likelihood N(z, scale^2) with z folded into an image, and the first condition added to every pixel."""

    def __init__(self, event_shape: tuple[int, ...], scale: float = 1.0) -> None:
        super().__init__()
        self.event_shape, self.scale = event_shape, scale

    def forward(self, *given: Tensor) -> Distribution:
        z, *context = given
        pixels = z + context[0][:, :1] if context else z
        return Independent(Normal(pixels.unflatten(-1, self.event_shape), self.scale), len(self.event_shape))


class Reader(nn.Module):
    """An encoder that returns a multiple of the pixels, and log-scales where asked."""

    def __init__(self, gain: float, log_scale: float | None = None) -> None:
        super().__init__()
        self.gain, self.log_scale = gain, log_scale

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        loc = self.gain * x.flatten(1)
        return loc if self.log_scale is None else torch.cat([loc, torch.full_like(loc, self.log_scale)], 1)


def painting(
    event_shape: tuple[int, ...] = (1, 2, 2),
    gain: float = 1.0,
    log_scale: float | None = None,
    prior: Callable[[int], nn.Module] = priors.StandardNormal,
) -> VAE:
    """Compose the model; its posterior is a point unless it is given a log-scale."""
    network = Reader(gain, log_scale)
    posterior = posteriors.Delta(network) if log_scale is None else posteriors.DiagonalNormal(network)
    return VAE(prior(torch.Size(event_shape).numel()), posterior, Painter(event_shape))


class WithoutMean(Conditional):
    """The posterior N(loc, scale^2) of another as a flow without transforms, which does not know its mean."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, *given: Tensor) -> TransformedDistribution:
        law = self.posterior(*given)
        return TransformedDistribution(Independent(Normal(law.mean, law.stddev), 1), [])


def without_mean(model: VAE) -> VAE:
    """Have a model forget the means of its posteriors."""
    return VAE(model.prior, WithoutMean(model.posterior), model.likelihood)

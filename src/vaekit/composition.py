"""Composing a model for a data set from factories: what the command line does with its flags.

What depends on the shape of the data is given as a factory, so that one set of flags serves every data set:

    prior       latents -> p(z)                      posterior   network -> q(z|x)
    encoder     (event shape, width) -> network      likelihood  (network, event shape) -> p(x|z)
    decoder     (latents, shape) -> network
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from torch import nn

from vaekit import posteriors, priors, spec
from vaekit.data.dataset import Dataset
from vaekit.errors import ConfigError
from vaekit.model import VAE
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, Corrupted
from vaekit.shapes import Shape

SMALLEST_CONVOLVED = 32

EncoderFactory = Callable[[tuple[int, ...], int], nn.Module]
DecoderFactory = Callable[[int, tuple[int, ...]], nn.Module]


@dataclass(frozen=True)
class Composition:
    """The parts of a model.

    Arguments:
        latent: the number of latents.
        prior: makes the prior from the number of latents.
        posterior: makes the posterior from its network.
        likelihood: makes the likelihood from its network and the event's shape; None takes the one that the data suggests.
        network: makes both networks, where neither encoder nor decoder is given.
        encoder: makes the posterior's network from the event's shape and the width it must end with.
        decoder: makes the likelihood's network from the number of latents and the shape it must end with.
        corruption: a module put before the encoder that acts in training only, as torch.nn.Dropout: a denoising model.
        model: the description of a whole model, which then is built as it is; what a run's config.yaml holds.
    """

    latent: int = 16
    prior: Callable[[int], nn.Module] = priors.StandardNormal
    posterior: Callable[[nn.Module], nn.Module] = posteriors.DiagonalNormal
    likelihood: Callable[[nn.Module, tuple[int, ...]], nn.Module] | None = None
    network: Callable[[tuple[int, ...], int], nn.Module] | None = None
    encoder: EncoderFactory | None = None
    decoder: DecoderFactory | None = None
    corruption: nn.Module | None = None
    model: dict[str, Any] | None = None

    def build(self, data: Dataset) -> VAE:
        """Build the model for a data set.

        Raises:
            ConfigError: if a part does not say how wide its network must end.
        """
        if self.model is not None:
            return cast(VAE, spec.build(self.model))
        context = sum(c.shape[1] for c in data.train.context)
        widths = {"context": context} if context else {}
        return VAE(
            prior=spec.call(self.prior, self.latent),
            posterior=spec.call(self.posterior, self._encoder(data.event_shape, widths)),
            likelihood=self._likelihood(data, widths),
        )

    def _encoder(self, event_shape: Shape, widths: dict[str, int]) -> nn.Module:
        probe = cast(Any, self.posterior(nn.Identity()))
        if not hasattr(probe, "features"):
            raise ConfigError(
                f"The posterior {type(probe).__name__} has no method `features(latent) -> int`, by which it says how wide its "
                f"network must end. Add one, or build the model in Python."
            )
        factory = self.encoder or self.network or default_networks(event_shape)[0]
        network = spec.call(factory, event_shape, probe.features(self.latent), **widths)
        return network if self.corruption is None else Corrupted(self.corruption, network)

    def _likelihood(self, data: Dataset, widths: dict[str, int]) -> nn.Module:
        factory = self.likelihood or data.propose().likelihood
        probe = cast(Any, factory(nn.Identity(), data.event_shape))
        if not hasattr(probe, "features"):
            raise ConfigError(
                f"The likelihood {type(probe).__name__} has no property `features`, by which it says what shape its network "
                f"must end with. Add one, or build the model in Python."
            )
        decoder = self.decoder or cast(Any, self.network) or default_networks(data.event_shape)[1]
        network = spec.call(decoder, self.latent, probe.features, **widths)
        return spec.call(factory, network, data.event_shape)


def default_networks(event_shape: Shape) -> tuple[EncoderFactory, DecoderFactory]:
    """Choose networks by the event's shape: convolutional for images of at least 32 x 32 pixels, fully connected elsewhere."""
    if len(event_shape) == 3 and min(event_shape[1:]) >= SMALLEST_CONVOLVED:
        return cast(EncoderFactory, ConvEncoder), cast(DecoderFactory, ConvDecoder)
    perceptron = partial(MLP, hidden=(400,))
    return cast(EncoderFactory, perceptron), cast(DecoderFactory, perceptron)

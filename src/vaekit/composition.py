"""Composing a model for a data set from factories: `compose`, and what the command line does with its flags.

What depends on the shape of the data is given as a factory, so that one set of flags serves every data set:

    prior       latents -> p(z)                      posterior   network -> q(z|x)
    encoder     (event shape, width) -> network      likelihood  (network, event shape) -> p(x|z)
    decoder     (latents, shape) -> network

The encoder of data with counts sees their logarithms.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast

from torch import nn

from vaekit import posteriors, priors, spec
from vaekit.data.dataset import Dataset
from vaekit.data.opening import open
from vaekit.data.reading import Openable
from vaekit.errors import ConfigError, VaekitError
from vaekit.likelihoods.columns import Count
from vaekit.model import VAE
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, Corrupted, Symlog
from vaekit.shapes import Shape

SMALLEST_CONVOLVED = 32

EncoderFactory = Callable[[tuple[int, ...], int], nn.Module]
DecoderFactory = Callable[[int, tuple[int, ...]], nn.Module]


@dataclass(frozen=True)
class Description:
    """A whole model as plain data, which the command line passes on without reading flags in it.

    Attributes:
        plain: what `vaekit.spec.describe` said of the model.
    """

    plain: dict[str, Any]


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
    model: Description | None = None

    def __post_init__(self) -> None:
        if self.latent < 1:
            raise ConfigError(f"`latent` is {self.latent}; a model has at least 1 latent.")

    def build(self, data: Dataset) -> VAE:
        """Build the model for a data set.

        Raises:
            ConfigError: if a part cannot be made, or does not say how wide its network must end.
            ShapeError: if a network does not suit the data's shape.
        """
        if self.model is not None:
            return _whole(self.model.plain)
        context = sum(c.shape[1] for c in data.train.context)
        widths = {"context": context} if context else {}
        return VAE(
            prior=_made("prior", self.prior, self.latent),
            posterior=_made("posterior", self.posterior, self._encoder(data, widths)),
            likelihood=self._likelihood(data, widths),
        )

    def _encoder(self, data: Dataset, widths: dict[str, int]) -> nn.Module:
        probe = cast(Any, _made("posterior", self.posterior, nn.Identity()))
        if not hasattr(probe, "features"):
            raise ConfigError(
                f"The posterior {type(probe).__name__} has no method `features(latent) -> int`, by which it says how wide its "
                f"network must end. Add one, or build the model in Python."
            )
        factory = self.encoder or self.network or default_networks(data.event_shape)[0]
        network = _made("encoder", factory, data.event_shape, probe.features(self.latent), **widths)
        if data.facts.are_counts or any(isinstance(column, Count) for column in data.columns):
            network = Symlog(network)
        return network if self.corruption is None else Corrupted(self.corruption, network)

    def _likelihood(self, data: Dataset, widths: dict[str, int]) -> nn.Module:
        factory = self.likelihood or data.propose().likelihood
        given = _what_is_scored(factory, data)
        probe = cast(Any, _made("likelihood", factory, nn.Identity(), given))
        if not hasattr(probe, "features"):
            raise ConfigError(
                f"The likelihood {type(probe).__name__} has no property `features`, by which it says what shape its network "
                f"must end with. Add one, or build the model in Python."
            )
        decoder = self.decoder or cast(Any, self.network) or default_networks(data.event_shape)[1]
        network = _made("decoder", decoder, self.latent, probe.features, **widths)
        return _made("likelihood", factory, network, given)


def compose(data: Openable | Dataset, **parts: Any) -> VAE:
    """Compose a model for data: what is left open suits the data, its likelihood above all.

    Arguments:
        data: anything that `vaekit.data.open` takes, or what it returned.
        parts: the fields of `Composition`: latent, prior, posterior, likelihood, network, ... Each part but `latent` and
            `corruption` is a factory, such as a class, as what it is made from depends on the data.

    Returns:
        The model. With labels as context (`vaekit.data.open(..., context=True)`) it is conditional.

    Raises:
        ConfigError: for a part that there is not, or that cannot be made.
        DataError: if the data cannot be opened.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2, posterior=vk.posteriors.FullNormal)
        >>> type(model.likelihood).__name__, model.sample((5,)).shape
        ('Bernoulli', torch.Size([5, 1, 8, 8]))
    """
    known = [field.name for field in fields(Composition)]
    if unknown := [name for name in parts if name not in known]:
        raise ConfigError(f"`{unknown[0]}` is no part of a model. There are: {', '.join(known)}.")
    return Composition(**parts).build(data if isinstance(data, Dataset) else open(data))


def _whole(described: dict[str, Any]) -> VAE:
    """Build a whole model from its description.

    Raises:
        ConfigError: if it describes something else.
    """
    model = spec.build(described)
    if not isinstance(model, VAE):
        raise ConfigError(f"`model` describes a {type(model).__name__}; it must describe a vaekit.model.VAE.")
    return model


def _what_is_scored(factory: Callable[..., nn.Module], data: Dataset) -> object:
    """Return what a likelihood is made with, after its network: the event's shape, or the columns of a table.

    Raises:
        ConfigError: if it needs columns, and the data is no table.
    """
    target = spec.target_of(factory)
    known = inspect.signature(target).parameters
    if "columns" not in known or "event_shape" in known:
        return data.event_shape
    if not data.columns:
        name = getattr(target, "__name__", "a factory")
        raise ConfigError(f"`likelihood` is {name}, which scores the columns of a table; the data is none.")
    return data.columns


def _made(part: str, factory: Callable[..., nn.Module], *given: object, **widths: int) -> nn.Module:
    """Make a part.

    Raises:
        ConfigError: if it cannot be made from what every part of its kind is made from.
    """
    try:
        return spec.call(factory, *given, **widths)
    except VaekitError:
        raise
    except Exception as error:
        told = ", ".join([*map(_named, given), *(f"{name}={width}" for name, width in widths.items())])
        raise ConfigError(f"The {part} cannot be made from {told}. {type(error).__name__}: {error}") from error


def _named(given: object) -> str:
    return type(given).__name__ if isinstance(given, nn.Module) else str(given)


def default_networks(event_shape: Shape) -> tuple[EncoderFactory, DecoderFactory]:
    """Choose networks by the event's shape: convolutional for images of at least 32 x 32 pixels, fully connected elsewhere."""
    if len(event_shape) == 3 and min(event_shape[1:]) >= SMALLEST_CONVOLVED:
        return cast(EncoderFactory, ConvEncoder), cast(DecoderFactory, ConvDecoder)
    perceptron = partial(MLP, hidden=(400,))
    return cast(EncoderFactory, perceptron), cast(DecoderFactory, perceptron)

"""The networks that are timed, as plain modules for the peers and as vaekit builds them, with the same layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

import vaekit as vk
from vaekit.shapes import Shape


@dataclass(frozen=True)
class Network(ABC):
    """An encoder to the location and log-scale of each latent, and a decoder to one number a pixel.

    Attributes:
        image: shape (channels, height, width) of an example.
        latent: number of latents.
        hidden: widths of the hidden layers, or channels of the levels, of the encoder; the decoder mirrors them.
    """

    image: Shape
    latent: int
    hidden: tuple[int, ...]

    @property
    @abstractmethod
    def event(self) -> Shape:
        """The shape in which the plain encoder wants an example."""

    @property
    @abstractmethod
    def binary(self) -> bool:
        """Whether pixels are scored by the Bernoulli cross-entropy, else by half the squared error."""

    @abstractmethod
    def encoder(self) -> nn.Module:
        """Make the plain encoder."""

    @abstractmethod
    def decoder(self) -> nn.Module:
        """Make the plain decoder."""

    @abstractmethod
    def model(self) -> vk.VAE:
        """Make vaekit's model of the same layers."""


class Perceptron(Network):
    """Fully connected layers with rectifiers, for images as vectors of probabilities."""

    binary = True

    @property
    def event(self) -> Shape:
        return (prod(self.image),)

    def encoder(self) -> nn.Module:
        return layers((*self.event, *self.hidden, 2 * self.latent))

    def decoder(self) -> nn.Module:
        return layers((self.latent, *reversed(self.hidden), *self.event))

    def model(self) -> vk.VAE:
        encoder = vk.networks.MLP(self.image, 2 * self.latent, hidden=self.hidden)
        decoder = vk.networks.MLP(self.latent, self.image, hidden=self.hidden[::-1])
        likelihood = vk.likelihoods.Bernoulli(decoder, self.image, relaxed=True)
        return vk.VAE(vk.priors.StandardNormal(self.latent), vk.posteriors.DiagonalNormal(encoder), likelihood)


class Convolutional(Network):
    """Convolutions of stride 2, for colour images with unit variance."""

    binary = False

    @property
    def event(self) -> Shape:
        return self.image

    def encoder(self) -> nn.Module:
        return vk.networks.ConvEncoder(self.image, 2 * self.latent, channels=self.hidden)

    def decoder(self) -> nn.Module:
        return vk.networks.ConvDecoder(self.latent, self.image, channels=self.hidden)

    def model(self) -> vk.VAE:
        posterior = vk.posteriors.DiagonalNormal(self.encoder())
        likelihood = vk.likelihoods.Normal(self.decoder(), self.image, scale=1.0)
        return vk.VAE(vk.priors.StandardNormal(self.latent), posterior, likelihood)


def layers(widths: Sequence[int]) -> nn.Sequential:
    """Make linear layers between successive widths, with rectifiers between them."""
    linear = [nn.Linear(width, following) for width, following in pairwise(widths)]
    return nn.Sequential(*(module for layer in linear[:-1] for module in (layer, nn.ReLU())), linear[-1])

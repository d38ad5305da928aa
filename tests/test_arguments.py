"""Arguments without meaning are refused where they are given, in one sentence that names the argument, its value and the rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from vaekit import data, networks, posteriors, priors
from vaekit.errors import ConfigError
from vaekit.objectives import Exponential, Linear

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a temperature below 0": (
        lambda: posteriors.Concrete(nn.Identity(), temperature=-1.0),
        r"`temperature` of Concrete is -1\.0; it must be a finite number, above 0, or a schedule",
    ),
    "a temperature that starts at 0": (
        lambda: posteriors.Concrete(nn.Identity(), temperature=Linear(steps=10)),
        r"`temperature\.start` of Concrete is 0\.0; it must be a finite number, above 0",
    ),
    "a group of one category": (
        lambda: posteriors.Concrete(nn.Identity(), categories=1),
        "`categories` of Concrete is 1; it must be a whole number, at least 2",
    ),
    "no latent": (lambda: priors.StandardNormal(0), "`latent` of StandardNormal is 0; it must be a whole number"),
    "fewer latents than none": (lambda: priors.StandardNormal(-1), "`latent` of StandardNormal is -1"),
    "half a latent": (lambda: priors.StandardNormal(1.5), r"`latent` of StandardNormal is 1\.5"),
    "no group": (lambda: priors.UniformCategorical(0), "`latent` of UniformCategorical is 0"),
    "no level": (lambda: data.Dequantize(0), "`levels` of Dequantize is 0; it must be a whole number, at least 2"),
    "no side": (lambda: data.CenterCrop(0), "`size` of CenterCrop is 0; it must be a whole number, at least 1"),
    "a side below 0": (lambda: data.CenterCrop(-3), "`size` of CenterCrop is -3"),
    "no size": (lambda: data.Resize(0), "`size` of Resize is 0"),
    "no height": (lambda: data.Resize((0, 4)), "`size` of Resize is 0"),
    "three sides": (lambda: data.Resize((4, 4, 4)), r"`size` of Resize is \(4, 4, 4\); it must be a side or"),
    "a probability of 7": (
        lambda: data.HorizontalFlip(7.0),
        r"`probability` of HorizontalFlip is 7\.0; it must be a finite number, at least 0 and at most 1",
    ),
    "a threshold that is no number": (lambda: data.Threshold(math.nan), "`at` of Threshold is nan"),
    "noise below 0": (lambda: networks.GaussianNoise(-1), "`scale` of GaussianNoise is -1; .*, at least 0"),
    "an activation that is made": (
        lambda: networks.MLP(4, 4, activation=nn.ReLU()),  # type: ignore[arg-type]
        "`activation` is a ReLU object; it must be what makes one: the class, such as nn.ReLU",
    ),
    "the name of an activation": (
        lambda: networks.ConvEncoder((1, 8, 8), 4, activation="relu"),  # type: ignore[arg-type]
        "`activation` is 'relu'; it must be the class of a module, such as nn.ReLU",
    ),
    "a function of tensors": (
        lambda: networks.MLP(4, 4, activation=nn.functional.relu),  # type: ignore[arg-type]
        "`activation` is a function; it must be the class of a module",
    ),
    "a normalisation that is made": (
        lambda: networks.ResidualDecoder(4, (1, 8, 8), normalization=nn.BatchNorm2d(4)),
        "`normalization` is a BatchNorm2d object; .* such as nn.BatchNorm2d",
    ),
    "a normalisation without channels": (
        lambda: networks.ConvDecoder(4, (1, 8, 8), normalization=lambda: nn.Identity()),  # type: ignore[arg-type,misc]
        "`normalization` is a function; it must be the class of a module, such as nn.BatchNorm2d",
    ),
    "a probability of 2": (lambda: networks.Masking(2), "`probability` of Masking is 2; .* at least 0 and at most 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_argument_without_meaning_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ConfigError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, partial(nn.LeakyReLU, 0.2), lambda: nn.SiLU()])
def test_whatever_makes_a_module_is_an_activation(activation: Callable[[], nn.Module]) -> None:
    assert networks.MLP(4, 4, 4, activation=activation)(torch.zeros(1, 4)).shape == (1, 4)


@pytest.mark.parametrize("temperature", [0.5, 1, Linear(1.0, 0.1), Exponential(2.0, 0.5)])
def test_a_temperature_above_0_is_taken(temperature: object) -> None:
    assert posteriors.Concrete(nn.Identity(), temperature=temperature).temperature == temperature  # type: ignore[arg-type]

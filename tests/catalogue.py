"""Every variant once: the laws are tests over these tables.

A new variant is one line here; `cases` makes the parameters of a test from a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from catalogue_likelihoods import VARIANTS as LIKELIHOODS
from catalogue_likelihoods import Variant
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaekit import VAE, Conditional, distributions, posteriors, priors
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, GroupNorm, ResidualDecoder, ResidualEncoder
from vaekit.objectives import ELBO, IWAE, L2, Cosine, Cyclical, Exponential, Linear, Objective, Schedule, Sigmoid
from vaekit.shapes import Shape
from vaekit.spec import keeping_checks

LATENT, BATCH, IMAGE = 2, 4, (1, 5, 4)


with keeping_checks():
    from zuko import flows


def cases(table: Mapping[str, Any]) -> list[Any]:
    """Make the parameters of a test, one or a tuple of them, from every entry of a table."""
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)), id=name) for name, v in table.items()]


class OwnPrior(nn.Module):
    """A user's prior: any module that returns a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.loc, self.log_scale = nn.Parameter(torch.zeros(LATENT)), nn.Parameter(torch.zeros(LATENT))

    def forward(self) -> Independent[Normal]:
        return Independent(Normal(self.loc, self.log_scale.exp()), 1)


class OwnNetwork(nn.Module):
    """A user's encoder."""

    def __init__(self, inputs: Shape, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.gru = nn.GRU(inputs[-1], outputs, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x.flatten(1, -2))[0][:, -1]


PRIORS: dict[str, Callable[[], nn.Module]] = {
    "StandardNormal": partial(priors.StandardNormal, LATENT),
    "zuko.flows.NSF": partial(flows.NSF, LATENT, transforms=1, hidden_features=(4,)),
    "a user's own": OwnPrior,
    "UniformCategorical": partial(priors.UniformCategorical, LATENT, categories=2),
}

POSTERIORS: dict[str, Callable[[nn.Module], Conditional]] = {
    "DiagonalNormal": posteriors.DiagonalNormal,
    "FullNormal": posteriors.FullNormal,
    "Delta": posteriors.Delta,
    "Concrete": partial(posteriors.Concrete, categories=2),
}
PRIOR_OF = {"Concrete": PRIORS["UniformCategorical"]}

OBJECTIVES: dict[str, Objective] = {
    "ELBO": ELBO(),
    "ELBO-beta": ELBO(beta=4.0),
    "ELBO-samples": ELBO(samples=3),
    "ELBO-free_bits": ELBO(free_bits=0.1),
    "ELBO-capacity": ELBO(beta=10.0, capacity=Linear(stop=25.0)),
    "ELBO-schedule": ELBO(beta=Linear(start=0.5)),
    "IWAE-1": IWAE(samples=1),
    "IWAE-5": IWAE(samples=5),
    "L2-ELBO": L2(ELBO(), weight=0.1),
    "L2-IWAE": L2(IWAE(samples=3)),
}

SCHEDULES: dict[str, type[Schedule]] = {
    "Linear": Linear,
    "Cosine": Cosine,
    "Sigmoid": Sigmoid,
    "Exponential": Exponential,
    "Cyclical": Cyclical,
}

ENCODERS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "MLP": partial(MLP, hidden=(6,)),
    "ConvEncoder": partial(ConvEncoder, channels=(3, 4)),
    "ConvEncoder-batch": partial(ConvEncoder, channels=(3,), normalization=nn.BatchNorm2d),
    "ConvEncoder-group": partial(ConvEncoder, channels=(4,), normalization=GroupNorm),
    "ResidualEncoder": partial(ResidualEncoder, channels=(3,), blocks=1),
    "a user's own": OwnNetwork,
}

DECODERS: dict[str, Callable[[int, Shape], nn.Module]] = {
    "MLP": partial(MLP, hidden=(6,)),
    "ConvDecoder": partial(ConvDecoder, channels=(3, 4)),
    "ConvDecoder-batch": partial(ConvDecoder, channels=(3,), normalization=nn.BatchNorm2d),
    "ResidualDecoder": partial(ResidualDecoder, channels=(3,), blocks=1),
}


def refusal(prior: object, posterior: object, objective: Objective) -> str | None:
    """Return what is said of a combination that has no meaning, None for one that has."""
    weighing = isinstance(objective.objective if isinstance(objective, L2) else objective, IWAE)
    if weighing and posterior is POSTERIORS["Delta"]:
        return r"Delta has none\. Choose a posterior with a density"
    if weighing and posterior is POSTERIORS["Concrete"]:
        return "relaxed categories have a density where the prior has a mass function"
    if (prior is PRIORS["UniformCategorical"]) != (posterior is POSTERIORS["Concrete"]):
        return "one is a mass function and the other a density"
    return None


def combinations() -> list[Any]:
    """Make the parameters (prior, posterior, likelihood, objective) of all combinations.

    Where latents, likelihood and objective all differ from the standard model's, the test is a slow one.
    """
    found = []
    for names in product(PRIORS, POSTERIORS, LIKELIHOODS, OBJECTIVES):
        latents, *others = names[:2], *names[2:]
        unusual = latents != ("StandardNormal", "DiagonalNormal") and others[0] != "Bernoulli" and others[1] != "ELBO"
        values = (table[name] for table, name in zip((PRIORS, POSTERIORS, LIKELIHOODS, OBJECTIVES), names, strict=True))
        found.append(pytest.param(*values, id="-".join(names), marks=[pytest.mark.slow] if unusual else []))
    return found


BINARY_IMAGES = replace(LIKELIHOODS["Bernoulli"], event_shape=IMAGE)


def compose(
    prior: Callable[[], nn.Module] = PRIORS["StandardNormal"],
    posterior: Callable[[nn.Module], Conditional] = posteriors.DiagonalNormal,
    likelihood: Variant = BINARY_IMAGES,
    encoder: Callable[[Shape, int], nn.Module] = ENCODERS["MLP"],
    decoder: Callable[[int, Shape], nn.Module] = DECODERS["MLP"],
) -> VAE:
    """Compose a model from variants of its parts."""
    shape = likelihood.event_shape
    widths = posterior(nn.Identity()).features(LATENT), likelihood.make(nn.Identity(), shape).features
    encoding, decoding = encoder(shape, widths[0]), decoder(LATENT, widths[1])
    return VAE(prior(), posterior(encoding), likelihood.make(decoding, shape))


def binary_images(rows: int = BATCH) -> Tensor:
    """Draw images of zeros and ones, shape (rows, *IMAGE)."""
    return BINARY_IMAGES.rows(rows)


class SharedNoise(Conditional):
    """A diagonal posterior whose noise is the same for every row, so that the bounds of equal rows are equal."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, latent: int) -> int:
        return 2 * latent

    def forward(self, *given: Tensor) -> SharedNoiseNormal:
        loc, log_scale = self.network(*given).chunk(2, -1)
        return SharedNoiseNormal(loc, log_scale)


class SharedNoiseNormal(distributions.DiagonalNormal):
    """A diagonal normal that draws one noise for all rows."""

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        return self.loc + self.scale * torch.randn(*sample_shape, 1, self.loc.shape[-1])

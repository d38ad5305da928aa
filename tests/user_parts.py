"""What users write in a module of their own, and name by its dotted path: networks, a prior, an objective, a factory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from vaekit import VAE, Conditional
from vaekit.batch_mean import batch_mean
from vaekit.objectives import ELBO, Objective, Terms
from vaekit.shapes import Shape, as_shape, numel


class Gated(nn.Module):
    """A network whose output is one layer's times the sigmoid of another's."""

    def __init__(self, inputs: int | Shape, outputs: int | Shape, width: int = 3, context: int = 0) -> None:
        super().__init__()
        self.inputs, self.outputs, self.width, self.context = inputs, outputs, width, context
        self.layer = nn.Linear(numel(inputs) + context, width)
        self.gate = nn.Linear(numel(inputs) + context, width)
        self.head = nn.Linear(width, numel(outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        x = torch.cat([i.flatten(1) for i in inputs], 1)
        return self.head(self.layer(x) * self.gate(x).sigmoid()).unflatten(1, as_shape(self.outputs))


class LearnedNormal(Conditional):
    """A prior whose mean and deviation are learned."""

    def __init__(self, latent: int, spread: float = 1.0) -> None:
        super().__init__()
        self.latent, self.spread = latent, spread
        self.mean = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.full((latent,), spread).log())

    def forward(self, *given: Tensor) -> Distribution:
        scale = self.log_scale.exp()
        return Independent(Normal(self.mean, scale, validate_args=self.validate_args), 1)


class Vamp(Conditional):
    """The mixture of a posterior's answers to pseudo-inputs that are learned, as a prior (Tomczak and Welling, 2018)."""

    def __init__(self, posterior: Conditional, shape: Shape, count: int = 4) -> None:
        super().__init__()
        self.posterior, self.shape, self.count = posterior, shape, count
        self.inputs = nn.Parameter(torch.randn(count, *shape))

    def forward(self, *given: Tensor) -> Distribution:
        parts = self.posterior(self.inputs)
        return MixtureSameFamily(Categorical(torch.ones(self.count)), Independent(Normal(parts.mean, parts.stddev), 1))


@dataclass(frozen=True)
class Halved(Objective):
    """The ELBO, half as large."""

    factor: float = 0.5

    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        terms = ELBO()(model, x, *context)
        return Terms(
            terms.loss * self.factor, terms.bound, terms.distortion, terms.rates, terms.trace, terms.closed_form
        )


class Constrained(nn.Module, Objective):
    """Weighs the rate by a multiplier that grows while the rate is above a target (after Rezende and Viola, 2018)."""

    multiplier: Tensor

    def __init__(self, target: float = 0.5) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("multiplier", torch.ones(()))

    def forward(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        terms = ELBO()(model, x, *context)
        weight = self.multiplier.clone()
        if self.training:
            self.multiplier.mul_(torch.exp(0.1 * (batch_mean(terms.rate.detach()) - self.target)))
        return replace(terms, loss=terms.distortion.mean() + weight * terms.rate.mean(), extras={"multiplier": weight})


def shallow(inputs: int | Shape, outputs: int | Shape) -> nn.Module:
    """Make one layer from and to any shape."""
    return nn.Sequential(nn.Flatten(), nn.Linear(numel(inputs), numel(outputs)), nn.Unflatten(1, as_shape(outputs)))

r"""The linear-Gaussian model, about which everything is known exactly (Tipping and Bishop, 1999; Lucas et al., 2019).

.. math::
    z \sim N(0, I_k), \quad x \mid z \sim N(W z + m, s^2 I_d), \quad x \sim N(m, W W^\top + s^2 I),
    \quad z \mid x \sim N(M^{-1} W^\top (x - m), s^2 M^{-1}), \quad M = W^\top W + s^2 I
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from vaekit import VAE, Conditional, distributions, likelihoods, posteriors, priors
from vaekit.posteriors import MAX_LOG_SCALE


def affine(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Make the map x -> weight x + bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def unbounded(log_scale: Tensor) -> Tensor:
    """Invert the smooth bound that posteriors put on log-scales."""
    return MAX_LOG_SCALE * torch.atanh(log_scale / MAX_LOG_SCALE)


@dataclass(frozen=True)
class LinearGaussian:
    """The model for a weight of shape (d, k), a mean of shape (d,) and a scale s."""

    weight: Tensor
    mean: Tensor
    scale: float

    @property
    def marginal(self) -> MultivariateNormal:
        """The law of x."""
        noise = self.scale**2 * torch.eye(len(self.mean))
        return MultivariateNormal(self.mean, self.weight @ self.weight.T + noise)

    @property
    def precision(self) -> Tensor:
        """M, shape (k, k)."""
        return self.weight.T @ self.weight + self.scale**2 * torch.eye(self.weight.shape[1])

    @property
    def gain(self) -> Tensor:
        """The posterior mean's dependence on x, shape (k, d)."""
        return torch.linalg.solve(self.precision, self.weight.T)

    def exact_posterior(self) -> posteriors.FullNormal:
        """Compose z | x from the library's posterior and an affine network."""
        factor = torch.linalg.cholesky(self.scale**2 * torch.linalg.inv(self.precision))
        row, column = torch.tril_indices(*factor.shape, -1)
        constants = torch.cat([unbounded(factor.diagonal().log()), factor[row, column]])
        weight = torch.cat([self.gain, torch.zeros(len(constants), len(self.mean))])
        return posteriors.FullNormal(affine(weight, torch.cat([-self.gain @ self.mean, constants])))

    def best_diagonal_posterior(self) -> posteriors.DiagonalNormal:
        """Compose the best posterior with independent latents: the exact mean, and variances s^2 / M_ii."""
        log_scale = math.log(self.scale) - 0.5 * self.precision.diagonal().log()
        weight = torch.cat([self.gain, torch.zeros_like(self.gain)])
        return posteriors.DiagonalNormal(affine(weight, torch.cat([-self.gain @ self.mean, unbounded(log_scale)])))

    def model(self, posterior: nn.Module) -> VAE:
        """Compose the model from the library's parts."""
        likelihood = likelihoods.Normal(affine(self.weight, self.mean), len(self.mean), scale=self.scale)
        return VAE(priors.StandardNormal(self.weight.shape[1]), posterior, likelihood)


class CubatureNormal(distributions.DiagonalNormal):
    """A diagonal normal whose 2 D samples are points that integrate every quadratic exactly, so that bounds have no noise."""

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        latent = self.loc.shape[-1]
        assert tuple(sample_shape) == (2 * latent,)
        points = math.sqrt(latent) * torch.cat([torch.eye(latent), -torch.eye(latent)])
        return self.loc + points.unsqueeze(1) * self.scale  # (2 D, B, D)


class Cubature(Conditional):
    """A diagonal posterior that is sampled at the points of its cubature."""

    def __init__(self, posterior: posteriors.DiagonalNormal) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, *given: Tensor) -> CubatureNormal:
        q = self.posterior(*given)
        return CubatureNormal(q.loc, q.log_scale)

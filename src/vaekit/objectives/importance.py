r"""Importance-weighted bounds.

.. math::
    L_K = E_{z_1 \dots z_K \sim q} \log \frac{1}{K} \sum_k w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}

:math:`L_1` is the ELBO, and :math:`L_K \le L_{K+1} \le \log p(x)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit.arguments import require_count
from vaekit.distributions import RelaxedCategoricals
from vaekit.divergences import divergence
from vaekit.errors import ConfigError
from vaekit.model import VAE, Trace
from vaekit.objectives.elbo import over_samples
from vaekit.objectives.terms import Objective, Terms


@dataclass(frozen=True)
class IWAE(Objective):
    """Maximise the importance-weighted bound (Burda, Grosse and Salakhutdinov, 2016).

    Arguments:
        samples: K, the number of latents drawn per example.

    Raises:
        ConfigError: if `samples` is below 1; in use, if the posterior has no density, or relaxes the prior's categories.

    `Terms.distortion` and `Terms.rates` are the ELBO's, averaged over the samples, for comparison; the loss is minus the bound.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.IWAE(samples=50)
        IWAE(samples=50)
    """

    samples: int = 50

    def __post_init__(self) -> None:
        require_count(self, "samples", self.samples)

    @property
    def tightens_with_samples(self) -> bool:
        return True

    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        trace = model.trace(x, *context, samples=(self.samples,))
        _require_weights(model, trace)
        with torch.no_grad():
            kl = divergence(trace.posterior, trace.prior, trace.z)
        log_likelihood = trace.log_likelihood(x)  # (K, B)
        log_ratio = trace.prior.log_prob(trace.z) - trace.posterior.log_prob(trace.z)
        bound = torch.logsumexp(log_likelihood + log_ratio, 0) - math.log(self.samples)
        distortion, rates = -log_likelihood.detach().mean(0), over_samples(kl.parts, 2)
        return Terms(-bound.mean(), bound, distortion, rates, trace, kl.closed_form)


def _require_weights(model: VAE, trace: Trace) -> None:
    """Refuse posteriors whose density says nothing of how often a latent is drawn under the prior's measure."""
    if not getattr(model.posterior, "is_density", True):
        raise ConfigError(
            f"IWAE weighs latents by the posterior's density, and {type(model.posterior).__name__} has none. Choose a "
            f"posterior with a density, such as DiagonalNormal, or the objective ELBO."
        )
    if isinstance(trace.posterior, RelaxedCategoricals):
        raise ConfigError(
            "IWAE weighs latents by the ratio of prior to posterior, and relaxed categories have a density where the prior "
            "has a mass function. Train with the objective ELBO; in evaluation mode the categories are exact and IWAE holds."
        )

"""vaekit: a variational autoencoder is a prior, a posterior, a likelihood and an objective."""

from vaekit import distributions, likelihoods, networks, objectives, posteriors, priors
from vaekit.conditional import Conditional
from vaekit.divergences import divergence
from vaekit.model import VAE, Trace

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "Conditional",
    "Trace",
    "distributions",
    "divergence",
    "likelihoods",
    "networks",
    "objectives",
    "posteriors",
    "priors",
]

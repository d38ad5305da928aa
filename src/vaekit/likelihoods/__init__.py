r"""Likelihoods: modules that map latents z (and context) to :math:`p(x \mid z)`, normalised, with all their constants, in nats."""

from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.binary import Bernoulli

__all__ = ["Bernoulli", "Likelihood"]

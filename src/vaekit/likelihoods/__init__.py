r"""Likelihoods: modules that map latents z (and context) to :math:`p(x \mid z)`, normalised, with all their constants, in nats."""

from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.binary import Bernoulli, ContinuousBernoulli
from vaekit.likelihoods.categorical import Categorical
from vaekit.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from vaekit.likelihoods.logistic import DiscretizedLogisticMixture
from vaekit.likelihoods.mixed import Mixed
from vaekit.likelihoods.real import Laplace, Normal, StudentT
from vaekit.likelihoods.scale import ElementScale, FixedScale, OptimalScale, Scale, SharedScale

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogisticMixture",
    "ElementScale",
    "FixedScale",
    "Laplace",
    "Likelihood",
    "Mixed",
    "NegativeBinomial",
    "Normal",
    "OptimalScale",
    "Poisson",
    "Scale",
    "SharedScale",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
]

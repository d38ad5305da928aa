"""Distributions that torch lacks, or that the hot loop wants lean.

Each is an ordinary `torch.distributions.Distribution` over one event; batch dimensions come first.
"""

from vaekit.distributions.binary import Bernoulli, ContinuousBernoulli
from vaekit.distributions.categorical import Categorical
from vaekit.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from vaekit.distributions.delta import Delta
from vaekit.distributions.elements import Elements
from vaekit.distributions.logistic import DiscretizedLogisticMixture
from vaekit.distributions.mixed import Mixed
from vaekit.distributions.normal import DiagonalNormal, FullNormal, StandardNormal
from vaekit.distributions.one_hot import OneHotCategoricals, RelaxedCategoricals
from vaekit.distributions.real import Laplace, LocationScale, LogNormal, Normal, StudentT

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Delta",
    "DiagonalNormal",
    "DiscretizedLogisticMixture",
    "Elements",
    "FullNormal",
    "Laplace",
    "LocationScale",
    "LogNormal",
    "Mixed",
    "NegativeBinomial",
    "Normal",
    "OneHotCategoricals",
    "Poisson",
    "RelaxedCategoricals",
    "StandardNormal",
    "StudentT",
    "ZeroInflated",
]

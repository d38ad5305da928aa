"""Distributions that torch lacks, or that the hot loop wants lean.

Each is an ordinary `torch.distributions.Distribution` over one event; batch dimensions come first.
"""

from vaekit.distributions.binary import Bernoulli
from vaekit.distributions.delta import Delta
from vaekit.distributions.normal import DiagonalNormal, StandardNormal

__all__ = ["Bernoulli", "Delta", "DiagonalNormal", "StandardNormal"]

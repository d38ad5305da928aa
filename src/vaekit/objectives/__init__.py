"""Objectives: callables `(model, x, *context) -> Terms`, with per-example bound, distortion and rate, and a scalar loss."""

from vaekit.objectives.elbo import ELBO
from vaekit.objectives.importance import IWAE
from vaekit.objectives.penalties import L2
from vaekit.objectives.terms import Objective, Terms
from vaekit.schedules import Cosine, Cyclical, Exponential, Linear, Schedule, Sigmoid

__all__ = [
    "ELBO",
    "IWAE",
    "L2",
    "Cosine",
    "Cyclical",
    "Exponential",
    "Linear",
    "Objective",
    "Schedule",
    "Sigmoid",
    "Terms",
]

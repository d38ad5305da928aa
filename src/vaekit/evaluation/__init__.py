"""Judging a model: how likely data is under it, and what its latents hold. All numbers in nats unless they say bits."""

from vaekit.evaluation.likelihood import bits_per_dim, evaluate, log_likelihood
from vaekit.evaluation.representation import (
    AggregatePosterior,
    Holes,
    Surgery,
    active_units,
    aggregate_posterior,
    codes,
    holes,
    surgery,
)
from vaekit.evaluation.summary import Evaluation, Finding

__all__ = [
    "AggregatePosterior",
    "Evaluation",
    "Finding",
    "Holes",
    "Surgery",
    "active_units",
    "aggregate_posterior",
    "bits_per_dim",
    "codes",
    "evaluate",
    "holes",
    "log_likelihood",
    "surgery",
]

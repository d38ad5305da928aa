"""A model and data small enough to train within a test, and how its checkpoints are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import vaekit as vk
from vaekit.data import Dataset
from vaekit.objectives import ELBO, Linear

WIDTH, LATENT, ROWS = 6, 2, 70


def tiny_data(rows: int = ROWS, **options: Any) -> Dataset:
    """Make binary rows with some structure: 70 rows are 56 to train on, 7 to validate and 7 to test."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, (rows, 1))
    x = (rng.random((rows, WIDTH)) < np.where(kind, 0.8, 0.2)).astype(np.uint8)
    return vk.data.open((x, kind[:, 0]), **options)


def tiny_model(**parts: Any) -> vk.VAE:
    """Make a model of the data, with any part replaced."""
    whole: dict[str, Any] = {
        "prior": vk.priors.StandardNormal(LATENT),
        "posterior": vk.posteriors.DiagonalNormal(vk.networks.MLP(WIDTH, 5, 2 * LATENT)),
        "likelihood": vk.likelihoods.Bernoulli(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH),
    }
    return vk.VAE(**{**whole, **parts})


QUIET: dict[str, Any] = {"progress": False, "tensorboard": False, "batch_size": 16, "log_every": 3}


def fitted(run: Path | None, epochs: int, resume: bool = False, objective: Any = None, **settings: Any) -> vk.Run:
    """Fit the model to the data."""
    torch.manual_seed(1)
    objective = objective or ELBO(beta=Linear(steps=10))
    return vk.fit(tiny_model(), objective, tiny_data(), run=run, resume=resume, epochs=epochs, **{**QUIET, **settings})


def same(a: Any, b: Any) -> bool:
    """Compare checkpoints bit by bit."""
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list) else bool(a == b)

"""Pyro: stochastic variational inference with `Trace_ELBO`, validation off, as in its own example of a VAE."""

from __future__ import annotations

from collections.abc import Iterable

import pyro
import torch
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cases import Case
from benchmarks.measure import Stopwatch
from benchmarks.rows import floats


def loader(case: Case) -> float:
    """Train for an epoch on batches of its example's DataLoader."""
    rows = floats(case.network.image, case.rows, case.network.event, "cpu")
    batches = DataLoader(TensorDataset(rows), case.batch, shuffle=True)
    return _epoch(case, (x.to(case.device) for (x,) in batches))


def resident(case: Case) -> float:
    """Train for an epoch on rows that are on the device and chosen there."""
    rows = floats(case.network.image, case.rows, case.network.event, case.device)
    order = torch.randperm(case.rows, device=case.device)
    return _epoch(case, (rows[index] for index in order.split(case.batch)))


def _epoch(case: Case, batches: Iterable[Tensor]) -> float:
    pyro.clear_param_store()
    pyro.enable_validation(False)
    svi = _inference(case)
    watch = Stopwatch(case.device)
    for x in batches:
        svi.step(x)
    return watch.seconds()


def _inference(case: Case) -> SVI:
    encoder, decoder = case.network.encoder().to(case.device), case.network.decoder().to(case.device)
    width = len(case.network.event)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            zeros = x.new_zeros(len(x), case.network.latent)
            output = decoder(pyro.sample("z", dist.Normal(zeros, torch.ones_like(zeros)).to_event(1)))
            family = (
                dist.Bernoulli(logits=output) if case.network.binary else dist.Normal(output, torch.ones_like(output))
            )
            pyro.sample("x", family.to_event(width), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, log_variance = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, torch.exp(0.5 * log_variance)).to_event(1))

    return SVI(model, guide, Adam({"lr": 1e-3}), Trace_ELBO())

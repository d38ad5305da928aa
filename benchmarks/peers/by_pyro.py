"""Pyro: stochastic variational inference with `Trace_ELBO`, validation off, as in its own tutorial of a VAE.

The tutorial reads MNIST by torchvision, in one worker: each item is made an image of Pillow's, which `ToTensor` makes a tensor
again. `Decoded` does these two conversions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyro
import torch
from PIL import Image
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.cases import Case
from benchmarks.measure import last_epoch
from benchmarks.rows import floats, images
from vaekit.shapes import Shape


class Decoded(Dataset[Tensor]):
    """Stored 8-bit images, (N, C, H, W), which become an image and then a tensor when one is asked for.

    Arguments:
        stored: the images.
        event: the shape of what the network is given.
    """

    def __init__(self, stored: Tensor, event: Shape) -> None:
        self.stored, self.event = stored.movedim(1, -1).squeeze(-1), event

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Tensor:
        pixels = torch.from_numpy(np.array(Image.fromarray(self.stored[index].numpy()), np.uint8, copy=True))
        return pixels[:, :, None].flatten(2).permute(2, 0, 1).contiguous().to(torch.float32).div(255).view(self.event)


def tutorial(case: Case) -> float:
    """Train on batches of its tutorial's DataLoader, whose worker has been started when an epoch begins."""
    rows = Decoded(images(case.network.image, case.rows), case.network.event)
    batches = DataLoader(rows, case.batch, shuffle=True, num_workers=1, worker_init_fn=_unbind)
    return _trained(case, _moved(batches, case))


def _unbind(worker: int) -> None:
    """Let a worker run on all cores, also where the threads of this process are bound to theirs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def loader(case: Case) -> float:
    """Train on batches of a DataLoader of ready tensors."""
    rows = floats(case.network.image, case.rows, case.network.event, "cpu")
    return _trained(case, _moved(DataLoader(TensorDataset(rows), case.batch, shuffle=True), case))


def _moved(batches: DataLoader[Any], case: Case) -> Callable[[], Iterable[Tensor]]:
    """Return what starts reading an epoch, and returns what yields its batches on the device."""

    def start() -> Iterable[Tensor]:
        started = iter(batches)
        return ((x if isinstance(x, Tensor) else x[0]).to(case.device) for x in started)

    return start


def resident(case: Case) -> float:
    """Train on rows that are on the device and chosen there."""
    rows = floats(case.network.image, case.rows, case.network.event, case.device)

    def start() -> Iterable[Tensor]:
        order = torch.randperm(case.rows, device=case.device)
        return (rows[index] for index in order.split(case.batch))

    return _trained(case, start)


def _trained(case: Case, batches: Callable[[], Iterable[Tensor]]) -> float:
    """Train, and time the last epoch."""
    pyro.clear_param_store()
    with pyro.validation_enabled(False):
        return last_epoch(batches, _inference(case).step, case.device)


def _inference(case: Case) -> SVI:
    encoder, decoder = case.network.encoder().to(case.device), case.network.decoder().to(case.device)
    width = len(case.network.event)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            zeros = x.new_zeros(len(x), case.network.latent)
            output = decoder(pyro.sample("z", dist.Normal(zeros, torch.ones_like(zeros)).to_event(1)))
            pyro.sample("x", _likelihood(case, output).to_event(width), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, log_variance = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, torch.exp(0.5 * log_variance)).to_event(1))

    return SVI(model, guide, Adam({"lr": 1e-3, "fused": case.tuned or None}), Trace_ELBO())


def _likelihood(case: Case, output: Tensor) -> dist.TorchDistribution:
    """Return the distribution of pixels, by probabilities as in the tutorial, or by logits where Pyro is tuned."""
    if not case.network.binary:
        return dist.Normal(output, torch.ones_like(output))
    return dist.Bernoulli(logits=output) if case.tuned else dist.Bernoulli(output.sigmoid())

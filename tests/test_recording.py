"""Laws over the catalogue: the step of every variant can be recorded, and what is replayed is what was recorded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from catalogue import cases, compose
from tape import Taping
from test_laws import DEVICES, rows_for
from torch import Tensor, nn

import vaekit as vk
from vaekit.conditional import unvalidated
from vaekit.data import Binarize, Dequantize, HorizontalFlip, Standardize, Threshold
from vaekit.data.transforms import Transform
from vaekit.networks import Corrupted, GaussianNoise, Masking, SaltAndPepper
from vaekit.objectives import Objective
from vaekit.training.graph import Recording
from vaekit.training.host_reads import HostReads
from vaekit.training.meter import Kept, kept_of

STEPS = {name: pair for name, pair in DEVICES.items() if not name.endswith("L2-ELBO")}
META = torch.device("meta")


def passed(model: vk.VAE, objective: Objective, given: Sequence[Tensor]) -> Kept:
    """Compute terms and gradients, and count the step."""
    terms = objective(model, *given)
    terms.loss.backward()
    gradients = {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    model.advance()
    return {**kept_of(terms), **gradients}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("parts", "objective"), cases(STEPS))
def test_what_is_replayed_is_what_was_recorded(parts: dict[str, Any], objective: Objective) -> None:
    model = compose(**parts)
    eager, batches = copy.deepcopy(model), [rows_for(parts) for _ in range(2)]
    with unvalidated(model), unvalidated(eager):
        recording = Recording(partial(passed, model, objective), [batches[0]], Taping())
        torch.testing.assert_close(model.state_dict(), eager.state_dict(), rtol=0, atol=0)
        for seed, x in enumerate(batches):
            both = []
            for step in (recording, partial(passed, eager, objective)):
                torch.manual_seed(seed)
                both.append(step([x]))
            torch.testing.assert_close(*both, rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), eager.state_dict(), rtol=0, atol=0)


TRANSFORMS: dict[str, Transform] = {
    "Binarize": Binarize(),
    "Threshold": Threshold(),
    "Dequantize": Dequantize(),
    "Standardize": Standardize((0.5,), (2.0,)),
    "HorizontalFlip": HorizontalFlip(),
}


@pytest.mark.parametrize("transform", cases(TRANSFORMS))
def test_no_transform_makes_the_host_wait(transform: Transform) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 4)).astype(np.uint8)
    data = vk.data.open(x, transforms=(transform,))
    first, second = list(data.loader(8, device=META, seed=0).epoch(0))
    assert first.given[0].device == META
    with HostReads(META) as reads:
        second.make(*second.stored)
    assert not reads.found


@pytest.mark.parametrize("corruption", [Masking(), SaltAndPepper(), GaussianNoise()])
def test_no_corruption_makes_the_host_wait(corruption: nn.Module) -> None:
    with HostReads(META) as reads:
        Corrupted(corruption, nn.Identity())(torch.ones(2, 3, device=META))
    assert not reads.found


def test_copies_from_the_host_are_seen() -> None:
    with HostReads(META) as reads:
        torch.ones(2).to(META)
    assert reads.found == ["aten._to_copy.default"]


WAITING: dict[str, Callable[[Tensor], object]] = {
    "a truth value": lambda x: bool((x > 0).all()),
    "a number": lambda x: x.sum().item(),
    "a mask": lambda x: x[x > 0],
    "a masked assignment": lambda x: x.index_put_((x > 0,), x.new_zeros(())),
    "nonzero": lambda x: x.nonzero(),
    "a decomposition that is checked": lambda x: torch.linalg.cholesky(x.diag()),
    "a number becomes a tensor": lambda x: torch.tensor(2.0, device=x.device) * x,
    "numbers become a tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "a distribution of numbers": lambda x: torch.distributions.Normal(x, 1.0, validate_args=False),
    "categories": lambda x: torch.multinomial(x, 1),
}


@pytest.mark.parametrize("waiting", cases(WAITING))
def test_what_makes_the_host_wait_is_seen(waiting: Callable[[Tensor], object]) -> None:
    with HostReads(torch.device("cpu")) as reads:
        waiting(torch.ones(2))
    assert len(reads.found) == 1

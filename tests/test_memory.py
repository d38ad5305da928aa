"""Memory that training keeps between steps: kept while it lasts, given back after it, and left alone where it was set.

What the allocator does depends on all that a process did before, so each test has a process of its own.
"""

from __future__ import annotations

import os
import platform
from resource import RUSAGE_SELF, getrusage

import pytest
import torch
from jobs import run_job
from tiny import LATENT, QUIET, WIDTH, tiny_data, tiny_model
from torch import Tensor

import vaekit as vk
from vaekit.training.memory import MIB, kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's only on Linux")
SIZE = 128 * MIB
FEW, MOST = (share * SIZE / 4096 for share in (0.1, 0.9))


def cleared_pages() -> int:
    """Fill a large block, free it, and return how many pages the system had to clear for it."""
    before = getrusage(RUSAGE_SELF).ru_minflt
    torch.ones(SIZE, dtype=torch.uint8)
    return getrusage(RUSAGE_SELF).ru_minflt - before


def least_cleared(variables: dict[str, str]) -> tuple[int, int, int]:
    """Return the fewest pages of several blocks before memory is kept and while it is, and those of one block afterwards."""
    os.environ.update(variables)
    before = min(cleared_pages() for _ in range(4))
    with kept_memory():
        kept = min(cleared_pages() for _ in range(4))
    return before, kept, cleared_pages()


def test_freed_memory_is_taken_again() -> None:
    ((before, kept, after),) = run_job(1, least_cleared, {})
    assert kept < FEW < MOST < min(before, after)


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX_"])
def test_an_allocator_that_the_environment_sets_is_left_alone(name: str) -> None:
    (pages,) = run_job(1, least_cleared, {name: "1"})
    assert min(pages) > MOST


def fails() -> int:
    """Leave the block with an error."""
    with pytest.raises(KeyError), kept_memory():
        raise KeyError
    return min(cleared_pages() for _ in range(4))


def test_memory_is_given_back_after_an_error() -> None:
    (pages,) = run_job(1, fails)
    assert pages > MOST


class Clearing(vk.networks.MLP):
    """A network that notes how many pages the system clears for a large block, in each pass of training."""

    def __init__(self) -> None:
        super().__init__(WIDTH, 5, 2 * LATENT)
        self.noted: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.noted.append(cleared_pages())
        return super().forward(x)


def noted() -> tuple[list[int], int]:
    """Train with such a network, and return what it noted, and what a block takes afterwards."""
    network = Clearing()
    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(network))
    vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=2, **QUIET)
    return network.noted, cleared_pages()


def test_training_keeps_memory_between_steps() -> None:
    ((during, after),) = run_job(1, noted)
    assert len(during) == 8
    assert min(during) < FEW < MOST < min(during[0], after)

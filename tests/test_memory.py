"""Memory that training and evaluation keep between passes: given back in the end, and left alone where it was set.

What the allocator does depends on all that a process did before, so each test has a process of its own.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from resource import RLIMIT_NOFILE, RUSAGE_SELF, getrlimit, getrusage, setrlimit

import pytest
import torch
from jobs import run_job
from tiny import LATENT, QUIET, WIDTH, tiny_data, tiny_model
from torch import Tensor

import vaekit as vk
from vaekit import memory
from vaekit.evaluation import log_likelihood
from vaekit.memory import MIB, kept_memory, resident

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's only on Linux")
CPU = torch.device("cpu")
SIZE = 128 * MIB
FEW, MOST = (share * SIZE / 4096 for share in (0.1, 0.9))


def cleared_pages() -> int:
    """Fill a large block, free it, and return how many pages the system had to clear for it."""
    before = getrusage(RUSAGE_SELF).ru_minflt
    torch.ones(SIZE, dtype=torch.uint8)
    return getrusage(RUSAGE_SELF).ru_minflt - before


def fewest_cleared() -> int:
    """Return the fewest pages cleared for one of a dozen blocks.

    Tensors are aligned: glibc cuts them from larger blocks and sets small remainders aside. While one lies behind a block, the
    space of that block is too small for the next, so that not each of the first blocks is taken again.
    """
    return min(cleared_pages() for _ in range(12))


def least_cleared(variables: dict[str, str]) -> tuple[int, int, int]:
    """Return the fewest pages of several blocks before memory is kept and while it is, and those of one block afterwards."""
    os.environ.update(variables)
    before = fewest_cleared()
    with kept_memory(CPU):
        kept = fewest_cleared()
    return before, kept, cleared_pages()


def test_freed_memory_is_taken_again() -> None:
    ((before, kept, after),) = run_job(1, least_cleared, {})
    assert kept < FEW < MOST < min(before, after)


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX_"])
def test_an_allocator_that_the_environment_sets_is_left_alone(name: str) -> None:
    (pages,) = run_job(1, least_cleared, {name: "1"})
    assert min(pages) > MOST


def without_proc() -> int:
    """Return the pages cleared where the system does not say what a process holds."""
    memory.STATM = Path("/nowhere")
    with kept_memory(CPU):
        return fewest_cleared()


def test_nothing_changes_where_the_system_does_not_say_what_is_held() -> None:
    (pages,) = run_job(1, without_proc)
    assert pages > MOST


def fails() -> int:
    """Leave the block with an error."""
    with pytest.raises(KeyError), kept_memory(CPU):
        raise KeyError
    return fewest_cleared()


def test_memory_is_given_back_after_an_error() -> None:
    (pages,) = run_job(1, fails)
    assert pages > MOST


def nested() -> tuple[int, int, int]:
    """Return the pages cleared after an inner use ended, and what is held before the outer use ends, and after it."""
    start = resident()
    with kept_memory(CPU):
        with kept_memory(CPU):
            cleared_pages()
        pages = fewest_cleared()
        within = resident() - start
    return pages, within, resident() - start


def test_the_last_of_several_uses_gives_memory_back() -> None:
    ((pages, within, after),) = run_job(1, nested)
    assert pages < FEW
    assert after < 0.2 * SIZE < 0.9 * SIZE < within


def other_device() -> int:
    """Return the pages cleared while another device works."""
    with kept_memory(torch.device("meta")):
        return fewest_cleared()


def test_nothing_changes_for_other_devices() -> None:
    (pages,) = run_job(1, other_device)
    assert pages > MOST


class Clearing(vk.networks.MLP):
    """A network that notes how many pages the system clears for a large block, in each pass."""

    def __init__(self) -> None:
        super().__init__(WIDTH, 5, 2 * LATENT)
        self.noted: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.noted.append(cleared_pages())
        return super().forward(x)


def noted(use: str) -> tuple[list[int], int]:
    """Use such a network, and return what it noted, and what a block takes afterwards."""
    network = Clearing()
    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(network))
    if use == "fit":
        vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=2, **QUIET)
    else:
        log_likelihood(model, torch.ones(4, WIDTH), samples=8, chunk=1)
    return network.noted, cleared_pages()


@pytest.mark.parametrize("use", ["fit", "evaluation"])
def test_memory_is_kept_between_passes(use: str) -> None:
    ((during, after),) = run_job(1, noted, use)
    assert len(during) >= 8
    assert min(during) < FEW < MOST < min(during[0], after)


def without_descriptors() -> tuple[int, int]:
    """Return the pages cleared within a use that can open no file, and after another use."""
    limit = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (0, limit[1]))
    with kept_memory(CPU):
        within = fewest_cleared()
    setrlimit(RLIMIT_NOFILE, limit)
    with kept_memory(CPU):
        cleared_pages()
    return within, cleared_pages()


def test_memory_is_kept_and_given_back_while_no_file_can_be_opened() -> None:
    ((within, after),) = run_job(1, without_descriptors)
    assert within < FEW < MOST < after


def forked() -> bool:
    """Fork within a use while the lock is held, and tell whether memory is given back after a use in the child."""
    with kept_memory(CPU):
        with memory._allocator().lock:  # type: ignore[union-attr]
            child = os.fork()
        if child == 0:
            with kept_memory(CPU):
                cleared_pages()
            os._exit(cleared_pages() > MOST)
        return os.waitpid(child, 0)[1] == 1 << 8


def test_a_forked_child_gives_back_what_its_own_uses_kept() -> None:
    assert run_job(1, forked) == [True]

"""Data larger than memory: it is trained on at constant memory, below a limit that the test sets, and resumes where it was."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jobs import run_job
from PIL import Image
from tiny import QUIET

import vaekit as vk
from vaekit.data import arrays, dataset
from vaekit.objectives import ELBO

SIDE, MIB = 128, 2**20
LIMIT = 128 * MIB
ROWS = LIMIT // SIDE**2


def mapped_array(folder: Path, rows: int) -> Path:
    """Write rows of 16 KiB as one `.npy` file."""
    x = np.random.default_rng(0).integers(0, 256, (rows, 1, SIDE, SIDE), dtype=np.uint8)
    np.save(folder / f"{rows}.npy", x)
    return folder / f"{rows}.npy"


def images(folder: Path, rows: int) -> Path:
    """Make a folder of so many images, of 16 KiB each once decoded: all names of few files."""
    (folder / str(rows)).mkdir()
    for i in range(rows):
        path, first = folder / str(rows) / f"{i:05}.png", folder / str(rows) / f"{i % 8:05}.png"
        if i < 8:
            ramp = np.add.outer(np.arange(SIDE), i * np.arange(SIDE)) % 256
            Image.fromarray(ramp.astype(np.uint8)).save(path)
        else:
            os.link(first, path)
    return folder / str(rows)


SOURCES: dict[str, Callable[[Path, int], Path]] = {"memory-mapped array": mapped_array, "image cache": images}


def used(name: str) -> int:
    """Return a number of bytes that the system keeps of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def train(source: Path) -> None:
    """Fit a small model to what lies on the disk."""
    numbers = SIDE**2
    model = vk.VAE(
        vk.priors.StandardNormal(2),
        vk.posteriors.DiagonalNormal(vk.networks.MLP(numbers, 2, 4)),
        vk.likelihoods.Normal(vk.networks.MLP(2, 2, numbers), (1, SIDE, SIDE), 0.1),
    )
    vk.fit(model, ELBO(), vk.data.open(source, transforms=()), epochs=1, **{**QUIET, "batch_size": 32, "log_every": 1})


def give_back() -> None:
    """Have the allocator return large blocks to the system when they are freed: a peak is then of memory in use."""
    threshold = -3
    assert ctypes.CDLL(None).mallopt(threshold, 8 * MIB)


def peaks(few: Path, many: Path) -> tuple[int, int]:
    """Return the peak of resident memory after training on few rows, and then on many below a limit of memory."""
    give_back()
    dataset.RESIDENT_BYTES = arrays.MAPPED_BYTES = 0
    train(few)
    peak = used("VmHWM")
    resource.setrlimit(resource.RLIMIT_DATA, (used("VmData") + LIMIT, resource.RLIM_INFINITY))
    with pytest.raises(MemoryError):
        np.zeros(10 * LIMIT, np.uint8)
    train(many)
    return peak, used("VmHWM")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", SOURCES)
def test_memory_does_not_grow_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    few, many = (SOURCES[kind](tmp_path, factor * ROWS) for factor in (1, 10))
    ((before, after),) = run_job(1, peaks, few, many, patience=600)
    assert after - before < LIMIT

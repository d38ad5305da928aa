"""Rows on the disk: the speed of training that streams them, and the memory that reading them takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import vaekit.data
from benchmarks.cases import TRAINING, Case
from benchmarks.measure import compare
from benchmarks.peers import ours
from benchmarks.rows import images
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells

ROWS = 100_000
REMARKS = """\
Streaming reads an `.npy` file in a block shuffle. Peak memory is that of a process, its imports included, which reads an
epoch of so many rows of 784 bytes; the larger file has 748 MiB."""


def table(setting: Setting) -> Table:
    """Measure streaming."""
    result = Table("Rows on the disk", ("quantity", "value", "quartiles", "goal"), REMARKS)
    with tempfile.TemporaryDirectory() as folder:
        for case in (replace(c, device=setting.device) for c in TRAINING if c.name.endswith("batch 128")):
            path = Path(folder) / "rows.npy"
            np.save(path, images(case.network.image, case.rows).numpy())
            ratio = compare(partial(streamed, path), ours.epoch, case, setting.rounds)
            result.add(f"examples/s over resident data's, {case.name}", *ratio_cells(ratio, 0.8))
        for rows in (ROWS, 10 * ROWS):
            result.add(f"peak memory to read {rows:,} rows, MiB", f"{peak(Path(folder), rows):.0f}", "", "")
    return result


def streamed(path: Path, case: Case) -> float:
    """Train on rows that are read from the disk, and time the last epoch."""
    training = ours.trainer(case)
    data = vaekit.data.open(str(path), transforms=(), validation=0, test=0)
    training.loader = data.loader(case.batch, device=case.device, seed=0, resident=False)
    training.run()
    return training.seconds[-1]


def peak(folder: Path, rows: int) -> float:
    """Return the peak memory, in MiB, of a process that reads so many rows."""
    path = folder / f"{rows}.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (rows, 1, 28, 28)).flush()
    command = [sys.executable, "-m", "benchmarks.reading", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

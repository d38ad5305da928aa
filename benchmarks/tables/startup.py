"""Start-up: how long a command takes to say something, and how long until the first step of training."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmarks.setting import Setting
from benchmarks.table import Table

HELP = [sys.executable, "-m", "vaekit.cli", "--help"]
IMPORT_TORCH = [sys.executable, "-c", "import torch"]
FIRST_STEP = [sys.executable, "-m", "benchmarks.first_step"]


def table(setting: Setting) -> Table:
    """Measure start-up in processes of their own."""
    result = Table("Start-up", ("what", "seconds", "goal"))
    shown = _seconds(HELP, setting.rounds)
    result.add("`vaekit --help`", f"{shown:.2f}", f"0.50, {'met' if shown < 0.5 else 'not met'}")
    result.add("`import torch`, for comparison", f"{_seconds(IMPORT_TORCH, setting.rounds):.2f}", "")
    outputs = [_output(FIRST_STEP).split() for _ in range(max(2, setting.rounds // 2))]
    imported, opened, stepped = (median(map(float, column)) for column in zip(*outputs, strict=True))
    result.add("fitting digits: all imports", f"{imported:.2f}", "")
    result.add("from the imports to `fit`'s data being open", f"{opened:.2f}", "")
    result.add("from there to the end of the first step", f"{stepped:.2f}", "")
    return result


def _seconds(command: list[str], rounds: int) -> float:
    """Return the median time of a command, after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        _output(command)
        times.append(time.perf_counter() - start)
    return median(times[1:])


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

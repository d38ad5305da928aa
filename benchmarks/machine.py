"""What the numbers were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "vaekit", "pyro-ppl", "pythae", "lightning", "lightning-fabric")


def describe(threads: int) -> list[str]:
    """Describe the machine, the software and the date, a line each."""
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return [
        f"Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        f"Processor: {processor()}, {_cores()} cores, {threads} threads used",
        f"Accelerator: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
        f"Software: Python {platform.python_version()}, {packages}",
    ]


def processor() -> str:
    """Read the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

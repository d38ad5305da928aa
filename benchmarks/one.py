"""A process of its own that measures one table and prints it."""

from __future__ import annotations

import sys

import torch

from benchmarks import tables
from benchmarks.setting import Setting


def main(name: str, rounds: str, epochs: str, device: str, threads: str) -> None:
    """Measure a table."""
    setting = Setting(int(rounds), int(epochs), device, int(threads))
    torch.set_num_threads(setting.threads)
    print(tables.load(name)(setting).render(), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The command: `python -m benchmarks [table ...]` prints tables; all of them together also become `docs/performance.md`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import torch

from benchmarks import machine, tables
from benchmarks.page import page
from benchmarks.setting import Setting

BINDING = {"OMP_PROC_BIND": "true"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen tables, print them, and write the page where all were chosen."""
    flags = parser().parse_args(arguments)
    if flags.data:
        os.environ["VAEKIT_DATA"] = str(flags.data.resolve())
    setting = Setting(flags.rounds, flags.epochs, flags.device, flags.threads)
    found = [apart(name, setting) for name in flags.tables or tables.NAMES]
    if not flags.tables:
        flags.page.parent.mkdir(parents=True, exist_ok=True)
        text = page(found, command(arguments), machine.describe(flags.threads), setting)
        flags.page.write_text(text, encoding="utf-8")


def apart(name: str, setting: Setting) -> str:
    """Measure a table in a process of its own, and print and return it.

    What one table leaves behind, as the second library of threads that a compiler brings along, would slow the next.
    """
    process = [sys.executable, "-m", "benchmarks.one", name, *map(str, astuple(setting))]
    environment = {**os.environ, **(BINDING if name in tables.BOUND else {})}
    text = subprocess.run(process, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    print(text, flush=True)
    return text


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parsed = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parsed.add_argument(
        "tables", nargs="*", metavar="table", help=f"which tables: {', '.join(tables.NAMES)}; default all"
    )
    parsed.add_argument("--data", type=Path, help="the folder of data sets, with mnist in it; default VAEKIT_DATA")
    parsed.add_argument("--rounds", type=int, default=7, help="pairs of runs of each ratio")
    parsed.add_argument("--epochs", type=int, default=10, help="epochs of the runs whose final bound is compared")
    parsed.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of the processor")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parsed.add_argument("--device", choices=("cpu", "cuda"), default=device, help="where everything runs")
    parsed.add_argument("--page", type=Path, default=Path("docs/performance.md"), help="what is written")
    return parsed


def command(arguments: Sequence[str] | None) -> str:
    """Return the command that was given."""
    return " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    main()

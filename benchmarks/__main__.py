"""The command: `python -m benchmarks [table ...]` prints tables; all of them together also become `docs/performance.md`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from benchmarks import machine, tables
from benchmarks.page import page
from benchmarks.setting import Setting
from benchmarks.table import Table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen tables, print them, and write the page where all were chosen."""
    flags = parser().parse_args(arguments)
    if flags.data:
        os.environ["VAEKIT_DATA"] = str(flags.data)
    torch.set_num_threads(flags.threads)
    setting = Setting(flags.rounds, flags.epochs, flags.device)
    found = [measured(name, setting) for name in flags.tables or tables.NAMES]
    if not flags.tables:
        flags.page.parent.mkdir(parents=True, exist_ok=True)
        flags.page.write_text(
            page(found, command(arguments), machine.describe(flags.threads), setting), encoding="utf-8"
        )


def measured(name: str, setting: Setting) -> Table:
    """Measure a table and print it."""
    table = tables.load(name)(setting)
    print(table.render(), flush=True)
    return table


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

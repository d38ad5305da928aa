"""The live line of a training run: step, loss in nats, rate, distortion, examples per second, time left."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vaekit.text import RELAXED
from vaekit.training.meter import Row

WIDE = 100
PARTS = {"distortion": "D", f"{RELAXED}distortion": "D", "rate": "R", "prior_cost": "C"}


class Display:
    """On a terminal one live line, on narrow ones with D and R for distortion and rate; everywhere one line an epoch.

    A point as posterior has no rate: C is its cost under the prior.

    Arguments:
        total: the number of steps of the whole run, None if unknown.
        done: steps already taken.
        enabled: whether to show anything.
    """

    def __init__(self, total: int | None, done: int = 0, enabled: bool = True) -> None:
        self.console = Console(file=sys.stderr, quiet=not enabled)
        self.wide = self.console.width >= WIDE
        self.progress = Progress(
            *([BarColumn(bar_width=8)] if self.wide else []),
            TextColumn("step {task.completed}{task.fields[told]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            disable=not enabled or not self.console.is_terminal,
        )
        self.task = self.progress.add_task("fit", total=total, completed=done, told="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def update(self, step: int, values: Row, speed: float) -> None:
        """Show the newest averages."""
        parts = ", ".join(f"{n.replace('_', ' ') if self.wide else PARTS[n]} {v}" for n, v in parts_of(values).items())
        told = f" loss {written(values['loss'])} nats ({parts}) {speed:,.0f} examples/s"
        self.progress.update(self.task, completed=step, told=told)

    def finished_epoch(self, epoch: int, splits: Mapping[str, Row]) -> None:
        """Say the results of an epoch in one line: the loss of each split in nats, and its two parts, named once."""
        told: list[str] = []
        for split, row in splits.items():
            loss, parts = written(row["loss"]), parts_of(row)
            if told:
                told.append(f"{split} {loss} ({', '.join(parts.values())})")
            else:
                named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parts.items())
                told.append(f"{split} {loss} nats ({named})")
        self.say(f"epoch {epoch}: {', '.join(told)}")

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def parts_of(values: Row) -> dict[str, str]:
    """Write the parts of a loss that a row has.

    Example:
        >>> parts_of({"loss": 3.0, "distortion": 2.0, "prior_cost": 1.0})
        {'distortion': '2.00', 'prior_cost': '1.00'}
    """
    return {name: written(values[name]) for name in PARTS if name in values}


def written(value: float) -> str:
    """Write a number of nats with as many decimals as are read.

    Example:
        >>> written(104.3161), written(76826.125)
        ('104.32', '76826.1')
    """
    return f"{value:.2f}" if abs(value) < 10_000 else f"{value:.6g}"

"""The live line of a training run: step, loss in nats, rate, distortion, examples per second, time left."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vaekit.training.meter import Row

_BLANK: dict[str, Any] = {"loss": "-", "rate": "-", "distortion": "-", "speed": "-"}


class Display:
    """One live line on a terminal, and one line an evaluation elsewhere; nothing at all when disabled.

    Arguments:
        total: the number of steps of the whole run, None if unknown.
        done: steps already taken.
        enabled: whether to show anything.
    """

    def __init__(self, total: int | None, done: int = 0, enabled: bool = True) -> None:
        self.console = Console(file=sys.stderr, quiet=not enabled)
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            TextColumn("step {task.completed}"),
            TextColumn(
                "loss {task.fields[loss]} nats = distortion {task.fields[distortion]}, rate {task.fields[rate]}"
            ),
            TextColumn("{task.fields[speed]} examples/s"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not enabled or not self.console.is_terminal,
        )
        self.task = self.progress.add_task("fit", total=total, completed=done, epoch=1, **_BLANK)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def update(self, step: int, epoch: int, values: Row, speed: float) -> None:
        """Show the newest averages."""
        shown: dict[str, Any] = {name: f"{values[name]:.2f}" for name in ("loss", "rate", "distortion")}
        self.progress.update(self.task, completed=step, epoch=epoch, speed=f"{speed:,.0f}", **shown)

    def finished_epoch(self, epoch: int, splits: Mapping[str, Row]) -> None:
        """Say the results of an epoch in one line: the loss of each split, and its parts."""
        parts = (
            f"{split} {row['loss']:.2f} (distortion {row['distortion']:.2f}, rate {row['rate']:.2f})"
            for split, row in splits.items()
        )
        self.say(f"epoch {epoch}, loss in nats: {'; '.join(parts)}")

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

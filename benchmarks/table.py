"""A table of results, its cells, and its rendering as Markdown."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from benchmarks.measure import Ratio

COLUMNS = ("case", "against", "ratio", "quartiles", "goal", "vaekit, examples/s")


@dataclass
class Table:
    """Rows under a header, with what is to be said of them.

    Attributes:
        title: its heading.
        header: names of the columns.
        remarks: what stands below it.
        rows: the cells.
    """

    title: str
    header: tuple[str, ...]
    remarks: str = ""
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row, and show it at once."""
        self.rows.append(cells)
        print(" | ".join(cells), file=sys.stderr, flush=True)

    def render(self) -> str:
        """Render it as Markdown."""
        lines = [_line(self.header), _line(["---"] * len(self.header)), *map(_line, self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, "", self.remarks]).rstrip() + "\n"


def ratio_cells(ratio: Ratio, goal: float | None) -> tuple[str, str, str]:
    """Write a ratio, its quartiles, and the goal with whether it is met."""
    verdict = "" if goal is None else f"{goal:.2f}, {'met' if ratio.value >= goal else 'not met'}"
    return f"{ratio.value:.2f}", f"{ratio.low:.2f} to {ratio.high:.2f}", verdict


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"

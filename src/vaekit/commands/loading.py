"""Loading a run with the data that a command is to use, and saying which that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import vaekit

if TYPE_CHECKING:
    from vaekit.run import Run


def load(run: Path, data: str | None, split: str | None, checkpoint: str) -> tuple[Run, str]:
    """Load a run and its data, or other data; return it, and the split that is used.

    Where none is asked for, that is test of the run's own data. Other data has no training rows, so all of it is used.
    """
    chosen = split or ("test" if data is None else "all")
    return vaekit.load(run, data=data, checkpoint=checkpoint, whole=chosen == "all"), chosen


def judged(run: Run) -> str:
    """Say what a run's newest judgement is of."""
    of = run.judged
    return f"{run.folder}, weights: {of['checkpoint']}; {of['data']}, {rows_of(', '.join(of['split']))}"


def rows_of(split: str) -> str:
    """Say which rows a split has.

    Example:
        >>> rows_of("all"), rows_of("test")
        ('all rows', 'split: test')
    """
    return "all rows" if split == "all" else f"split: {split}"

"""Loading a run with the data that a command is to use, and saying which that is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import vaekit
from vaekit.commands.as_flags import as_flags
from vaekit.commands.chosen import Chosen

if TYPE_CHECKING:
    from vaekit.runs.run import Run
    from vaekit.runs.use import Use


def load(run: Path, chosen: Chosen) -> tuple[Run, str]:
    """Load a run and its data, or other data; return it, and the split that is used.

    Where none is asked for, that is the first of test, validation and train that has rows, of the run's own data. Other data
    has no training rows, so all of it is used. Rows with missing values, if they are left out, are spoken of, as what is written
    has fewer rows than the source then.

    Raises:
        ConfigError: for a split that there is not.
    """
    from vaekit.data.splits import PARTS
    from vaekit.errors import ConfigError

    if chosen.split not in (None, *PARTS, "all"):
        raise ConfigError(f"`split` is {chosen.split!r}; it must be {', '.join(PARTS)}, or all.")
    wanted = chosen.split or (None if chosen.data is None else "all")
    loaded = vaekit.load(run, data=chosen.data, checkpoint=chosen.checkpoint, hold_out=wanted != "all")
    split = wanted or loaded.needs_data().parts(None)[0]
    if loaded.data is not None and loaded.data.opened_by.get("drop_missing"):
        for note in filter(None, loaded.data.about.notes):
            print(as_flags(note), file=sys.stderr)
    return loaded, split


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


def opened(run: Path, chosen: Chosen, out: Path, formats: Sequence[str]) -> tuple[Use, str]:
    """Load a run with the data that it is used on; return what uses it, and the split.

    Raises:
        ConfigError: before anything is loaded, if the file to write is of none of the formats.
    """
    from vaekit.commands.rows import refuse_format
    from vaekit.runs.use import Use

    refuse_format(out, formats=formats)
    fitted, split = load(run, chosen)
    return Use.of(fitted), split

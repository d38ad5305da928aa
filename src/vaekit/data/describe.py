"""Data in plain lines: what it is, what was done to it, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vaekit.data.facts import Flags
from vaekit.text import listed

if TYPE_CHECKING:
    from vaekit.data.dataset import Dataset


def tell(data: Dataset) -> list[str]:
    """Say in a few lines what a data set is and what was done to it."""
    lines = [_rows(data), _values(data)]
    if data.facts.is_dark:
        lines.append(_dark(data))
    if data.columns:
        lines.append(_columns(data))
    if data.label_names:
        lines.append(_labels(data))
    if data.facts.constant:
        lines.append(_constant(data))
    if data.transforms:
        lines.append(f"Transforms: {', '.join(type(t).__name__ for t in data.transforms)}. {data.reason}".strip())
    return lines + [note for note in data.about.notes if note]


def _rows(data: Dataset) -> str:
    train, validation, test = (f"{len(split):,}" for split in (data.train, data.validation, data.test))
    return f"{data.name}: {train} rows to train on, {validation} to validate, {test} to test."


def _values(data: Dataset) -> str:
    facts = data.facts
    shape = " x ".join(map(str, facts.event_shape))
    what = {1: "Vectors", 3: "Images"}.get(len(facts.event_shape), "Arrays")
    grid = "whole numbers" if facts.whole else "real numbers"
    if facts.levels:
        grid = f"on a grid of {facts.levels:,} levels, read as [0, 1]"
    return (
        f"{what} of {shape}, stored as {facts.dtype}, from {facts.low:g} to {facts.high:g}, {grid}; nothing is missing."
    )


def _dark(data: Dataset) -> str:
    facts = data.facts
    return (
        f"Almost black: no value is above {facts.high:g} of {facts.scale:g}. If that is not meant, bring the images to the whole "
        f"range before (of files of 16 bits the upper 8 are read)."
    )


def _columns(data: Dataset) -> str:
    """Name the columns of a table by their kinds."""
    kinds = [type(column).__name__ for column in data.columns]
    names = data.column_names or [f"column {i}" for i in range(len(kinds))]
    of_kind = {
        kind: [name for name, its in zip(names, kinds, strict=True) if its == kind] for kind in dict.fromkeys(kinds)
    }
    return f"Columns: {'; '.join(f'{kind.lower()}: {listed(names)}' for kind, names in of_kind.items())}."


def _labels(data: Dataset) -> str:
    labels = data.train.labels
    one, several = ("factor", "factors") if labels is not None and labels.ndim == 2 else ("class", "classes")
    kind = one if len(data.label_names) == 1 else several
    use = " They are given to the model as context." if data.train.context else ""
    return f"Labels: {len(data.label_names)} {kind} ({listed(data.label_names)}).{use}"


def _constant(data: Dataset) -> str:
    names = data.column_names or [f"element {i}" for i in range(data.facts.event_shape[0])]
    which = listed([names[i] for i in data.facts.constant])
    return f"Without any variation: {which}. A density of what does not vary has no maximum; better leave it out."


def tell_missing(bad: Mapping[str, tuple[Flags, Flags]], total: int, names: Sequence[str]) -> str:
    """Say how many rows of all parts of a source have missing values, which, and in which elements."""
    rows = [f"{row:,}" for flags, _ in bad.values() for row in np.flatnonzero(flags).tolist()]
    elements = np.flatnonzero(np.logical_or.reduce([flags for _, flags in bad.values()]))
    which = listed([names[i] if names else str(i) for i in elements.tolist()])
    kind = "column" if names else "element"
    where = f"{len(elements):,} {kind}{'s' if len(elements) > 1 else ''}: {which}"
    several = len(rows) > 1
    told = f"{len(rows):,} of {total:,} rows {'have' if several else 'has'} missing or infinite values"
    return f"{told} (in {where}; row{'s' * several} {listed(rows)}, counted from 0)"

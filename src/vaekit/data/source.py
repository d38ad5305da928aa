"""What a reader returns: arrays by split, before splitting, transforming and judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Decoding:
    """How image files become arrays of one size.

    Attributes:
        crop: side of the central square kept before resizing, in pixels; None keeps the image whole.
        size: side, or (height, width), of the result; None leaves the choice to the reader, which says what it chose.
        channels: 1 (grey) or 3 (colour); None leaves the choice to the reader.
        workers: processes that decode; None takes one for each core.
        cache: folder of the decode-once cache; None takes the user's cache folder.
        allow_missing: whether files that a list names but that are not there may be left out.
    """

    crop: int | None = None
    size: int | tuple[int, int] | None = None
    channels: int | None = None
    workers: int | None = None
    cache: Path | None = None
    allow_missing: bool = False


@dataclass(frozen=True)
class Source:
    """Arrays that a reader found.

    Attributes:
        name: what the data is called in messages and reports.
        x: split name ("train", "validation", "test", or "all" where the source has no official split) to values of shape
            (N, *event): images as (N, C, H, W), uint8 where they are on a grid of 256 values; memory-mapped where large.
        labels: split name to integer classes or float factors, shape (N,) or (N, F); empty where there are none.
        label_names: names of the classes, or of the factors.
        columns: for a table, the kind of each column (`vaekit.likelihoods.columns`); empty otherwise.
        column_names: for a table, the name of each column.
        report: one sentence on how the data was had (size of a cache, rate of decoding), told to the user.
    """

    name: str
    x: Mapping[str, Array]
    labels: Mapping[str, Array] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    columns: tuple[object, ...] = ()
    column_names: tuple[str, ...] = ()
    report: str = ""

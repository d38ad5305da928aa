"""What a reader returns: arrays by split, before splitting, transforming and judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]


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
    """

    name: str
    x: Mapping[str, Array]
    labels: Mapping[str, Array] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    columns: tuple[object, ...] = ()
    column_names: tuple[str, ...] = ()

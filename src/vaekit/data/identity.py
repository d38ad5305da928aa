"""Which data it is, and which rows: a digest of what a source holds, and the place of each row in its source."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.facts import sample
from vaekit.data.source import Array, Source, Stored

if TYPE_CHECKING:
    from vaekit.data.dataset import Dataset

WHOLE = 2**28  # bytes of an array that are all looked at; of a larger one, and of one on the disk, some rows are


def digest(source: Source, labels: bool = False) -> str:
    """Return what tells a source from other or reordered rows: a checksum of the values of each part, and how many they are.

    Image files are told by their names, because their pixels depend on the library that decodes them.

    Arguments:
        source: the source.
        labels: whether its labels are what the model is given too.
    """
    told = {part: f"{part}:{len(x)}:{_checksum(source, part):08x}" for part, x in source.x.items()}
    return " ".join(
        f"{words}:{zlib.crc32(str(source.labels[part].tolist()).encode()):08x}"
        if labels and part in source.labels
        else words
        for part, words in told.items()
    )


def index(data: Dataset, parts: Sequence[str]) -> dict[str, list[Any]]:
    """Say where the rows of some splits, one split after the other, are in their source.

    Returns:
        `row`, the number of each in its part of the source, from 0 and with those that were left out; `file` where the source
        is of files; and `split` where there are several.
    """
    splits = [data.split(part) for part in parts]
    columns = {"row": [row for split in splits for row in split.numbers.tolist()]}
    if all(split.files is not None for split in splits):
        columns["file"] = [str(name) for split in splits for name in np.asarray(split.files)]
    if len(parts) > 1:
        columns["split"] = [part for part, split in zip(parts, splits, strict=True) for _ in range(len(split))]
    return columns


def _checksum(source: Source, part: str) -> int:
    if part in source.files:
        return zlib.crc32("\0".join(source.files[part]).encode())
    return 0 if source.decoding is not None else _of_values(_looked_at(source.x[part]))


def _looked_at(x: Stored) -> Array:
    return x if isinstance(x, np.ndarray) and x.nbytes <= WHOLE else sample(x)


def _of_values(values: Array) -> int:
    """Compute a checksum, the same for the same real numbers in any precision."""
    checksum, step = 0, max(1, len(values) // 64)
    for start in range(0, len(values), step):
        rows = values[start : start + step]
        rows = rows.astype(np.float64) if rows.dtype.kind == "f" else rows
        checksum = zlib.crc32(np.ascontiguousarray(rows).data, checksum)
    return checksum

"""Larochelle's `.amat` text format, one row of numbers a line, gzipped or not, and folders of its official parts.

Larochelle and Murray (2011) published the fixed binarisation of MNIST in it, as three files: train (50,000), valid (10,000)
and test (10,000), each row 784 zeros and ones.
"""

from __future__ import annotations

import gzip
import re
from math import isqrt
from pathlib import Path

import numpy as np

from vaekit.data.arrays import PART_NAMES, fold, reading
from vaekit.data.source import Array, ArrayFile, Source
from vaekit.errors import DataError

NAMED = re.compile(r"(?P<stem>.*?)[-_.]?(?P<part>train|validation|valid|test)\.amat(\.gz)?$")


def is_amat_file(path: Path) -> bool:
    """Tell by its name whether a file is of the format."""
    return path.name.endswith((".amat", ".amat.gz"))


def is_amat_folder(folder: Path) -> bool:
    """Tell whether a folder holds parts of a set in this format."""
    return any(NAMED.match(path.name) for path in folder.iterdir())


def read_amat(path: Path) -> Array:
    """Read one file: zeros and ones as 8-bit values, other numbers as floats, shape (N, D).

    Raises:
        DataError: if its lines are of different lengths, or hold something other than numbers.
    """
    with reading(path, ".amat text"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        width, lines = len(content[: content.find(b"\n") + 1].split()), content.count(b"\n")
        lines += not content.endswith(b"\n")
        codes = np.frombuffer(content, np.uint8)
        digits = codes[codes > 32]
        if ((digits | 1) == ord("1")).all() and len(digits) * 2 <= len(content) + 1:
            values: Array = digits - ord("0")
        else:
            values = np.array(content.split(), np.float32)
        if width == 0 or values.size != width * lines:
            raise DataError(
                f"`{path}` holds {values.size:,} values in {lines:,} lines, the first of {width}. It may be truncated."
            )
        return values.reshape(lines, width)


def read_amat_file(path: Path, options: ArrayFile) -> Source:
    """Read one file as data without parts."""
    return Source(path.name.split(".")[0], {"all": _folded(read_amat(path), options)})


def read_amat_folder(folder: Path, options: ArrayFile) -> Source:
    """Read a folder of official parts."""
    x: dict[str, Array] = {}
    stems = set()
    for path in sorted(folder.iterdir()):
        if named := NAMED.match(path.name):
            part = next(part for part, aliases in PART_NAMES.items() if named["part"] in aliases)
            x[part] = _folded(read_amat(path), options)
            stems.add(named["stem"])
    if len(stems) > 1:
        raise DataError(f"`{folder}` holds several sets: {', '.join(sorted(stems))}. Put each into its own folder.")
    return Source(stems.pop() or folder.resolve().name, x)


def _folded(x: Array, options: ArrayFile) -> Array:
    """Fold rows into the shape asked for, or into square images where their length is a square."""
    side = isqrt(x.shape[1])
    square = (1, side, side) if side * side == x.shape[1] else x.shape[1:]
    return fold(x, options.shape or square, ".amat")

"""The IDX format, gzipped or not, and the folders of the MNIST family that hold it (MNIST, Fashion-MNIST, KMNIST, EMNIST).

A file is a big-endian header, two zero bytes, a byte for the type, a byte for the number of axes, and their lengths, each
of four bytes, and then the values. A folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same for `t10k`
(or `test`), each perhaps after a prefix.
"""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np

from vaekit.data.arrays import arrange, reading
from vaekit.data.source import Array, ArrayFile, Source
from vaekit.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAMED = re.compile(r"(?P<family>.*?)(?P<part>train|t10k|test)-(?P<role>images|labels)[-.]idx[13]-ubyte(\.gz)?$")


def is_idx_file(path: Path) -> bool:
    """Tell by its name whether a file is of the IDX format."""
    return re.search(r"idx\d-ubyte(\.gz)?$|\.idx(\.gz)?$", path.name) is not None


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds the files of the MNIST family."""
    return any(NAMED.match(path.name) for path in folder.iterdir())


def read_idx(path: Path) -> Array:
    """Read the array in one IDX file.

    Raises:
        DataError: if the header is not IDX, or the values are fewer or more than it says.
    """
    with reading(path, "IDX"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
            raise DataError(
                f"`{path}` cannot be read as IDX: it starts with {content[:4].hex()!r}, not with two zero bytes and a type."
            )
        dtype, start = np.dtype(TYPES[content[2]]), 4 + 4 * content[3]
        if len(content) < start:
            raise DataError(f"`{path}` is truncated: it ends within its header.")
        shape = struct.unpack(f">{content[3]}I", content[4:start])
        needed = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if len(content) != needed:
            raise DataError(
                f"`{path}` has {len(content):,} bytes, but its shape {shape} needs {needed:,}. It may be truncated."
            )
        return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_idx_file(path: Path, options: ArrayFile) -> Source:
    """Read one IDX file as data without labels."""
    x, report = arrange(read_idx(path), options, path.name)
    return Source(path.name.split(".")[0], {"all": x}, report=report)


def read_idx_folder(folder: Path) -> Source:
    """Read a folder of the MNIST family, with its official test part.

    Raises:
        DataError: if several families are in the folder, or the training images are missing.
    """
    found: dict[tuple[str, str], Path] = {}
    families = set()
    for path in sorted(folder.iterdir()):
        if named := NAMED.match(path.name):
            families.add(named["family"])
            found.setdefault(("train" if named["part"] == "train" else "test", named["role"]), path)
    if len(families) > 1:
        raise DataError(f"`{folder}` holds several sets: {', '.join(sorted(families))}. Put each into its own folder.")
    if ("train", "images") not in found:
        raise DataError(
            f"`{folder}` holds no training images. Put train-images-idx3-ubyte(.gz) beside the other files."
        )
    arrays = {key: read_idx(path) for key, path in found.items()}
    x = {part: arrange(a, ArrayFile(), part)[0] for (part, role), a in arrays.items() if role == "images"}
    labels = {part: a for (part, role), a in arrays.items() if role == "labels" and part in x}
    return Source(families.pop().strip("-_") or folder.resolve().name, x, labels)

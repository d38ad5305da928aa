"""CelebA (Liu, Luo, Wang and Tang, 2015): 202,599 aligned faces, an official partition, and 40 attributes.

Two layouts are read: that of the Kaggle package, with `list_eval_partition.csv` beside a folder
`img_align_celeba/img_align_celeba` of JPEGs, and the official one, with lists in text form, in one folder or in `Anno`,
`Eval` and `Img`. The partition's 0, 1 and 2 are train, validation and test.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vaekit.data.cache import decode_once
from vaekit.data.images import ImageFiles, cut, survey
from vaekit.data.source import Array, Decoding, Source
from vaekit.data.splits import PARTS
from vaekit.errors import DataError

PARTITION, ATTRIBUTES = "list_eval_partition", "list_attr_celeba"
LIST_FOLDERS = (".", "Eval", "Anno")
IMAGE_FOLDERS = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba")
CROP, SIZE, SHOWN = 148, 64, 3


def is_celeba(folder: Path) -> bool:
    """Tell whether a folder has the layout of CelebA."""
    return _list(folder, PARTITION) is not None and _images(folder) is not None


def read_celeba(folder: Path, decoding: Decoding) -> Source:
    """Read CelebA: faces, decoded once into the cache, by official partition, with their attributes as 40 binary factors.

    Without a size or crop asked for, faces are the central 148 x 148 pixels, reduced to 64 x 64, as is usual.

    Arguments:
        folder: the folder that has the lists and the images.
        decoding: how images become arrays of one size, and whether files of the list may be missing.

    Raises:
        DataError: if files named by the list are missing, unless that is allowed; if a list cannot be read; or if images
            cannot be decoded.
    """
    partition, images = _list(folder, PARTITION), _images(folder)
    if partition is None or images is None:
        raise DataError(f"`{folder}` lacks {PARTITION}.csv (or .txt) or the folder {IMAGE_FOLDERS[0]} of CelebA.")
    _, rows = _read_list(partition)
    part_of = {name: _part(values, partition) for name, values in rows.items()}
    present = {entry.name for entry in images.iterdir()}
    missing = sorted(part_of.keys() - present)
    if missing and (not decoding.allow_missing or len(missing) == len(part_of)):
        raise DataError(_told_missing(missing, len(part_of), partition, images))
    parts = {part: sorted(n for n, its in part_of.items() if its == part and n in present) for part in PARTS}
    sizes = {part: len(names) for part, names in parts.items() if names}
    files = ImageFiles(images, tuple(name for names in parts.values() for name in names))
    usual = decoding.size is None and decoding.crop is None
    if usual:
        decoding = replace(decoding, size=SIZE, crop=CROP)
    decoding = replace(decoding, channels=decoding.channels or 3)
    pixels, report = decode_once(files, partial(survey, files, decoding), decoding)
    names, factors, note = _attributes(folder, files.names)
    cropped = f"Faces are the central {CROP} x {CROP} pixels, reduced to {SIZE} x {SIZE}." if usual else ""
    absent = f"{len(missing):,} of the {len(part_of):,} files in {partition.name} are missing." if missing else ""
    return Source(
        name="celeba",
        x=cut(pixels, sizes),
        labels=cut(factors, sizes) if names else {},
        label_names=names,
        files=cut(np.array(files.names), sizes),
        decoding=decoding.settled(pixels.shape[1:]),
        report=" ".join(filter(None, (absent, note, cropped, report))),
    )


def _list(folder: Path, name: str) -> Path | None:
    """Find a list, in either form."""
    places = (folder / place / f"{name}{suffix}" for suffix in (".csv", ".txt") for place in LIST_FOLDERS)
    return next((path for path in places if path.is_file()), None)


def _images(folder: Path) -> Path | None:
    """Find the folder of images."""
    return next((folder / place for place in IMAGE_FOLDERS if (folder / place).is_dir()), None)


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the fields of the lines of a list that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file) if path.suffix == ".csv" else map(str.split, file)
            yield from filter(None, lines)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`{path}` cannot be read ({error}). Take a fresh copy from CelebA.") from error


def _read_list(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read a list: the names in its header, where it has one, and file name to values."""
    header: list[str] = []
    rows: dict[str, list[str]] = {}
    for first, *values in _lines(path):
        if "." in first:
            rows[first] = values
        elif values:
            header = values if path.suffix == ".csv" else [first, *values]
    return header, rows


def _part(values: list[str], path: Path) -> str:
    if len(values) != 1 or values[0] not in ("0", "1", "2"):
        raise DataError(
            f"`{path}` gives a file the partition {' '.join(values)!r}; it must be 0, 1 or 2. Take a fresh copy."
        )
    return PARTS[int(values[0])]


def _attributes(folder: Path, files: tuple[str, ...]) -> tuple[tuple[str, ...], Array, str]:
    """Read the attributes as 0 and 1, shape (N, 40), with their names; none, and why, where a file has none."""
    nothing: Array = np.empty((len(files), 0), np.float32)
    path = _list(folder, ATTRIBUTES)
    if path is None:
        return (), nothing, ""
    names, rows = _read_list(path)
    without = sum(len(rows.get(file, ())) != len(names) for file in files)
    if without or not names:
        return (), nothing, f"The attributes are left out: {path.name} has none for {without:,} of the images."
    values = np.array([rows[file] for file in files], dtype=np.float32)
    return tuple(names), (values > 0).astype(np.float32), ""


def _told_missing(missing: list[str], listed: int, partition: Path, images: Path) -> str:
    """Say how many files are missing, and what to do."""
    examples = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    way_out = (
        f"Set `allow_missing` to go on with the {listed - len(missing):,} that are there."
        if len(missing) < listed
        else "Unpack the images there."
    )
    count = f"{len(missing):,} of the {listed:,} files that {partition.name} names"
    return f"{count} are missing from `{images}` ({examples}). {way_out}"

"""Folders of image files, of any sizes and modes: class folders give labels, folders named train and test give splits.

The layout is read from the paths alone. Where all files lie below folders named train, validation (or val, valid) and
test, and some below train, these are the splits. Where all files then lie in at least two folders, these are the classes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import IO, TypeAlias

import numpy as np
from PIL import Image

from vaekit.data.cache import Pictures, decode_once
from vaekit.data.decoding import GREY_MODES, UNREADABLE, Geometry, orientation
from vaekit.data.source import Array, Decoding, Source
from vaekit.data.splits import PARTS
from vaekit.errors import DataError

Header: TypeAlias = tuple[int, int, bool]
SUFFIXES = (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
LARGEST_KEPT, USUAL_SIZE = 128, 64


@dataclass(frozen=True)
class ImageFiles:
    """Image files in an order.

    Attributes:
        folder: what the names are relative to.
        names: paths of the files.
    """

    folder: Path
    names: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the folder's place and of the names, sizes and times of change of the files."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode())
        for name in self.names:
            status = (self.folder / name).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """Return the path of a file."""
        return str(self.folder / self.names[i])

    def open(self, i: int) -> IO[bytes]:
        """Open a file."""
        return (self.folder / self.names[i]).open("rb")


def holds_images(folder: Path) -> bool:
    """Tell whether a folder has an image file in it or below."""
    return next(_image_files(folder), None) is not None


def read_folder(folder: Path, decoding: Decoding) -> Source:
    """Read a folder of images, decoded once into the cache.

    Arguments:
        folder: the folder; files in folders below it count.
        decoding: how images become arrays of one size; `survey` decides on what it leaves open.

    Raises:
        DataError: if there are no images, or some cannot be decoded.
    """
    names = sorted(_image_files(folder))
    if not names:
        raise DataError(f"`{folder}` holds no images: no files in it or below end in {', '.join(SUFFIXES)}.")
    part_of = {name: SPLIT_FOLDERS.get(PurePath(name).parts[0].lower(), "all") for name in names}
    official = set(part_of.values()) <= {*PARTS} and "train" in part_of.values()
    if not official:
        part_of = dict.fromkeys(names, "all")
    parts = {part: [name for name in names if part_of[name] == part] for part in (PARTS if official else ("all",))}
    sizes = {part: len(its) for part, its in parts.items() if its}
    files = ImageFiles(folder, tuple(name for its in parts.values() for name in its))
    pixels, report = decode_once(files, partial(survey, files, decoding), decoding)
    classes, labels = _classes([PurePath(name).parts[official:-1] for name in files.names])
    return Source(
        name=folder.resolve().name,
        x=cut(pixels, sizes),
        labels=cut(labels, sizes) if classes else {},
        label_names=classes,
        files=cut(np.array(files.names), sizes),
        decoding=decoding.settled(pixels.shape[1:]),
        report=report,
    )


def survey(pictures: Pictures, asked: Decoding) -> tuple[Geometry, str]:
    """Decide on the shape of decoded images, where the user leaves it open, by looking at their headers."""
    return geometry_for(_headers(pictures), asked)


def geometry_for(headers: Iterable[Header], asked: Decoding) -> tuple[Geometry, str]:
    """Decide on the shape that images are brought to, where the user leaves it open.

    Images of one size up to 128 pixels keep it; others become squares of 64, from their largest central square. A crop
    alone is the size. Images are grey if all of them are, and coloured otherwise.

    Returns:
        The shape, and a sentence on what was decided that may surprise.
    """
    size = asked.crop if asked.size is None else asked.size
    sizes, colour = _seen(headers, size is not None, asked.channels is not None)
    channels = asked.channels or (3 if colour else 1)
    if size is not None:
        return Geometry(*((size, size) if isinstance(size, int) else size), channels, asked.crop), ""
    if len(sizes) == 1 and max(height_width := next(iter(sizes))) <= LARGEST_KEPT:
        return Geometry(*height_width, channels), ""
    why = "The images differ in size" if len(sizes) > 1 else f"The images are larger than {LARGEST_KEPT} pixels"
    note = f"{why}, so their central squares are brought to {USUAL_SIZE} x {USUAL_SIZE}; `size` and `crop` change that."
    return Geometry(USUAL_SIZE, USUAL_SIZE, channels), note


def _seen(headers: Iterable[Header], sized: bool, coloured: bool) -> tuple[set[tuple[int, int]], bool]:
    """Return the heights and widths of images, and whether one is coloured, looking no further than what is open needs."""
    sizes: set[tuple[int, int]] = set()
    colour = False
    if sized and coloured:
        return sizes, colour
    for width, height, grey in headers:
        sizes.add((height, width))
        colour = colour or not grey
        if (sized or len(sizes) > 1) and (coloured or colour):
            break
    return sizes, colour


def cut(rows: Array, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Cut rows into parts that follow each other, without copying.

    Example:
        >>> cut(np.arange(3), {"train": 2, "test": 1})
        {'train': array([0, 1]), 'test': array([2])}
    """
    return dict(zip(sizes, np.split(rows, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def _image_files(folder: Path) -> Iterator[str]:
    """Find the image files in a folder and below, by their endings, leaving out hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _classes(folders: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], Array]:
    """Return the names of the classes, none if some file is in no folder or all are in one, and each file's class."""
    first = [path[0] if path else "" for path in folders]
    names, labels = np.unique(first, return_inverse=True)
    return (tuple(names.tolist()) if len(names) > 1 and "" not in first else ()), labels


def header(image: Image.Image) -> Header:
    """Return the width, the height and the greyness of an image that stands upright."""
    width, height = image.size if orientation(image) < 5 else image.size[::-1]
    return width, height, image.mode in GREY_MODES


def _headers(pictures: Pictures) -> Iterator[Header]:
    """Yield the headers of the images that have one which can be read; decoding reports the others."""
    for i in range(len(pictures)):
        try:
            with pictures.open(i) as file, Image.open(file) as image:
                yield header(image)
        except UNREADABLE:
            continue

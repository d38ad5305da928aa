"""Arrays: in memory, and in `.npy`, `.npz` and `.mat` files and folders of `.npy` files. Nothing is ever unpickled.

In a file of several arrays (and a folder of several files) the data and labels are found by their names: X, x, data, images
or features beside y, labels or targets; with parts where they are named x_train, train_x or train, and so on for
validation (valid, val, dev) and test. The first axis counts rows. Images may have their channels first or last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from vaekit.data.source import Array, ArrayFile, Source
from vaekit.errors import DataError

MAPPED_BYTES = 2**29
PART_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
DATA_NAMES = ("x", "data", "images", "image", "features")
LABEL_NAMES = ("y", "labels", "label", "targets", "target")
CHANNELS = (1, 3, 4)
TEXTS = (".csv", ".tsv")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Say what went wrong when a file cannot be read, as one sentence.

    Raises:
        DataError: instead of what the libraries that read files raise.
    """
    try:
        yield
    except DataError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        NotImplementedError,
        BadZipFile,
        ZlibError,
    ) as error:
        if "allow_pickle" in str(error):
            problem = "it holds Python objects, which would have to be unpickled. Save arrays of numbers"
        elif isinstance(error, UnicodeDecodeError) and path.suffix.lower() in TEXTS:
            problem = "it is not UTF-8 text. Save it as UTF-8"
        else:
            problem = f"{str(error).splitlines()[0] or type(error).__name__}. It may be truncated, or of another format"
        raise DataError(f"`{path}` cannot be read as {kind}: {problem}.".replace("..", ".")) from error


def from_memory(x: Array) -> Source:
    """Take an array, shape (N, *event), as a source."""
    arranged, report = arrange(np.asarray(x), ArrayFile(), "array")
    return Source("array", {"all": arranged}, report=report)


def read_npy(path: Path, options: ArrayFile) -> Source:
    """Read a `.npy` file; one of more than 512 MiB stays on the disk, memory-mapped."""
    with reading(path, "a NumPy array"):
        x = _load_npy(path)
    arranged, report = arrange(x, options, path.name)
    labels = {} if options.labels is None else {"all": _beside(path, options.labels)}
    return Source(path.stem, {"all": arranged}, labels, report=report)


def read_npz(path: Path, options: ArrayFile) -> Source:
    """Read a `.npz` file."""
    with reading(path, "NumPy's .npz"), np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files if _wanted(name, file.files, options)}
    return choose(held, options, path)


def read_mat(path: Path, options: ArrayFile) -> Source:
    """Read a MATLAB file of version 7 or older."""
    from scipy.io import loadmat

    with reading(path, "MATLAB's .mat (version 7 or older)"):
        named = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    held = {name: value.ravel() if value.ndim == 2 and 1 in value.shape else value for name, value in named.items()}
    found = choose(held, options, path)
    rows, *event = next(iter(found.x.values())).shape
    if options.transpose or len(event) != 1 or rows >= event[0]:
        return found
    hint = f"Its {rows} rows were taken for the examples; if its {event[0]} columns are, open it with ArrayFile(transpose=True)."
    return replace(found, report=f"{found.report} {hint}".strip())


def holds_arrays(folder: Path) -> bool:
    """Tell whether a folder holds `.npy` files."""
    return any(folder.glob("*.npy"))


def read_array_folder(folder: Path, options: ArrayFile) -> Source:
    """Read a folder of `.npy` files named as the arrays in a `.npz` would be: train.npy, train_labels.npy, test.npy, ..."""
    held = {}
    for path in sorted(folder.glob("*.npy")):
        with reading(path, "a NumPy array"):
            held[path.stem] = _load_npy(path)
    return choose(held, options, folder)


def arrange(x: Array, options: ArrayFile, name: str) -> tuple[Array, str]:
    """Put rows first and channels before height and width, and say so.

    Returns:
        The array, shape (N, *event) with images as (C, H, W), and a sentence on what was moved, empty if nothing was.

    Raises:
        DataError: if there are no axes, or rows do not fold into the shape asked for.
    """
    if x.ndim == 0:
        raise DataError(f"`{name}` is a single number. Give an array whose first axis counts rows.")
    x = np.moveaxis(x, -1, 0) if options.transpose else x
    if options.shape is not None:
        return fold(x, options.shape, name), ""
    if x.ndim in (1, 3):
        return x[:, None], ""
    if (
        x.ndim == 4
        and x.shape[3] in CHANNELS
        and (x.shape[1] not in CHANNELS or x.shape[1] == x.shape[2] != x.shape[3])
    ):
        return np.moveaxis(x, 3, 1), "The last axis was taken for the images' channels, and put first."
    return x, ""


def fold(x: Array, shape: tuple[int, ...], name: str) -> Array:
    """Fold each row of an array, shape (N, ...), into a shape of as many values.

    Raises:
        DataError: if a row has another number of values.
    """
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise DataError(
            f"`shape` is {shape}, but a row of `{name}` has shape {x.shape[1:]}, another number of values. "
            f"The array's shape is {x.shape}; if its last axis counts rows, set `transpose`."
        )
    return x.reshape(len(x), *shape)


def _load_npy(path: Path) -> Array:
    mapped = path.stat().st_size > MAPPED_BYTES
    return cast(Array, np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))


def _beside(path: Path, labels: str) -> Array:
    """Read the array of labels that an option names, by its path or by its name beside the data."""
    place = next((p for p in (Path(labels), path.parent / labels) if p.is_file()), None)
    if place is None:
        raise DataError(f"`labels` is {labels!r}, but there is no such file, neither here nor beside `{path}`.")
    with reading(place, "a NumPy array"):
        return cast(Array, np.load(place, allow_pickle=False))


def _wanted(name: str, names: list[str], options: ArrayFile) -> bool:
    """Tell whether an array of a file need be read: not where another one is asked for by name."""
    return options.key not in names or name in (options.key, options.labels, _find(names, ("",), LABEL_NAMES))


def choose(held: Mapping[str, Array], options: ArrayFile, path: Path) -> Source:
    """Find data and labels among named arrays.

    Raises:
        DataError: if there is no array of the name asked for, or several that could be meant.
    """
    names = list(held)
    parts = {part: _find(names, aliases, DATA_NAMES) for part, aliases in PART_NAMES.items()}
    found = {part: name for part, name in parts.items() if name is not None}
    if options.key is not None or "train" not in found:
        found = {"all": _one(held, options, path)}
    label_names = {part: _label(names, part, options, path) for part in found}
    labels = {part: held[name] for part, name in label_names.items() if name is not None and name != found[part]}
    arranged = {part: arrange(held[name], options, f"{name} of {path.name}") for part, name in found.items()}
    told = ", ".join(found.values()) + (
        f", with the labels {', '.join(n for n in label_names.values() if n)}" if labels else ""
    )
    report = f"The data is {told} of {path.name}." if len(held) > 1 else ""
    moved = next(iter(arranged.values()))[1]
    return Source(path.stem, {part: x for part, (x, _) in arranged.items()}, labels, report=f"{report} {moved}".strip())


def _one(held: Mapping[str, Array], options: ArrayFile, path: Path) -> str:
    """Return the name of the only array that can be meant."""
    shapes = ", ".join(f"{name} {getattr(value, 'shape', '')}" for name, value in held.items()) or "none"
    if options.key is not None:
        if options.key not in held:
            raise DataError(f"`key` is {options.key!r}, but the arrays of `{path}` are: {shapes}.")
        return options.key
    if (name := _find(list(held), ("",), DATA_NAMES)) is not None:
        return name
    possible = [name for name, value in held.items() if value.ndim >= 2] or list(held)
    if len(possible) != 1:
        raise DataError(
            f"`{path}` does not say which of its arrays is the data: {shapes}. Call it x, or name it: ArrayFile(key=...)."
        )
    return possible[0]


def _label(names: list[str], part: str, options: ArrayFile, path: Path) -> str | None:
    if options.labels is not None and part == "all":
        if options.labels not in names:
            raise DataError(f"`labels` is {options.labels!r}, but the arrays of `{path}` are: {', '.join(names)}.")
        return options.labels
    return _find(names, PART_NAMES.get(part, ("",)), LABEL_NAMES)


def roles(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return which of some names are those of data and of labels.

    Example:
        >>> roles(["image", "id", "label"])
        ('image', 'label')
    """
    return _find(names, ("",), DATA_NAMES), _find(names, ("",), LABEL_NAMES)


def part_of(name: str) -> str | None:
    """Return the split that is called by a name, as val for validation; None if it is no split's."""
    return next((part for part, aliases in PART_NAMES.items() if name.lower() in aliases), None)


def _find(names: Sequence[str], aliases: tuple[str, ...], roles: tuple[str, ...]) -> str | None:
    """Find the array of a role in a part of the data: x_train, train_x or xtrain; for data also train alone."""
    spelt = {"".join(c for c in name.lower() if c.isalnum()): name for name in names}
    tried: list[Any] = [a + r for a, r in product(aliases, roles)] + [r + a for a, r in product(aliases, roles)]
    alone = [a for a in aliases if a] if roles is DATA_NAMES else []
    return next((spelt[t] for t in tried + alone if t in spelt), None)

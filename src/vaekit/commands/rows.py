"""Rows of numbers from files and into files, in the format that the suffix names."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from vaekit import figures
from vaekit.data.source import Array
from vaekit.errors import ConfigError, DataError
from vaekit.files import write_atomically

FORMATS = {".npy": "an array", ".csv": "a table", ".png": "a picture"}
TABLES = (".npy", ".csv")


def read(path: Path) -> Array:
    """Read an array (.npy) or a table of numbers (.csv).

    Raises:
        DataError: if there is neither.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            values = (
                np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
            )
    except (OSError, ValueError, EOFError, UserWarning) as error:
        problem = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"`{path}` holds no codes ({problem}). Give an array (.npy) or a table of numbers (.csv)."
        ) from error
    if values.dtype.kind not in "fiu":
        raise DataError(f"`{path}` holds values of type {values.dtype}, not numbers. Give an array of real numbers.")
    return np.asarray(values)


def refuse_format(out: Path, shape: Sequence[int] | None = None, formats: Sequence[str] = tuple(FORMATS)) -> None:
    """Refuse a file of a format that is not written, or that does not hold such rows, before any work is done.

    Arguments:
        out: the file.
        shape: of a row; None if it is not known yet.
        formats: those that are written, by suffix.

    Raises:
        ConfigError: naming the formats.
    """
    if out.suffix not in formats:
        *others, last = (f"{suffix} ({FORMATS[suffix]})" for suffix in formats)
        raise ConfigError(f"`out` is {out}; it must end with {', '.join(others)} or {last}.")
    if shape is None or out.suffix == ".npy" or (figures.is_image(shape) if out.suffix == ".png" else len(shape) == 1):
        return
    raise ConfigError(
        f"`out` is {out}, but rows of shape {tuple(shape)} go into .npy, vectors also into .csv, images also into .png."
    )


def write(
    values: Tensor,
    out: Path,
    columns: Mapping[str, Sequence[str]] | None = None,
    of: str = "",
    index: Mapping[str, Sequence[str]] | None = None,
    shown: figures.Shown = figures.as_given,
) -> None:
    """Write rows to a file, and say so.

    Arguments:
        values: rows, shape (N, *event).
        out: an array (.npy), a table (.csv) of vectors, or a picture (.png) of images.
        columns: the columns of a table by name, each with the words that its numbers stand for, if any.
        of: which rows they are, in words.
        index: columns that a table begins with, by name, each with a word a row: where the rows are from.
        shown: brings images to the range from black, 0, to white, 1.

    Raises:
        ConfigError: if the format does not hold such rows.
    """
    refuse_format(out, values.shape[1:])
    array = values.cpu().numpy()
    if out.suffix == ".png":
        figures.save(figures.grid(figures.pixels(values, shown)), out)
    elif out.suffix == ".npy":
        write_atomically(out, lambda path: _save(path, array))
    else:
        write_atomically(out, lambda path: _write_table(path, array, columns or {}, index or {}))
    print(f"wrote {out}: {len(array)} rows of shape {array.shape[1:]}{f' ({of})' if of else ''}")


def write_picture(image: figures.Image, out: Path) -> None:
    """Write an image to a file, and say so."""
    figures.save(image, out)
    print(f"wrote {out}")


def _save(path: Path, array: Array) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _write_table(
    path: Path, array: Array, columns: Mapping[str, Sequence[str]], index: Mapping[str, Sequence[str]]
) -> None:
    """Write a table of numbers, and of the words that the nearest whole numbers stand for, after an index."""
    words = list(columns.values()) or [()] * array.shape[1]
    first = list(zip(*index.values(), strict=True)) or [()] * len(array)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if columns:
            table.writerow([*index, *columns])
        for place, row in zip(first, array.tolist(), strict=True):
            table.writerow([*place, *map(_field, row, words)])


def _field(value: float, words: Sequence[str]) -> str:
    """Write a number, or the word that it stands for.

    Example:
        >>> _field(0.25, ()), _field(0.75, ("no", "yes"))
        ('0.25', 'yes')
    """
    return words[min(max(round(value), 0), len(words) - 1)] if words else f"{value:.9g}"

"""Rows that are had one after the other, as a dataset of torch or a list has them: an example, with a label or without.

An example is an array, a tensor, a number, a list of numbers, or an image of Pillow. All of them are read, once, into one array;
what a dataset draws at random is therefore drawn once. Images are brought to one size as those of a folder are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from vaekit.data import arrays
from vaekit.data.decoding import fitted
from vaekit.data.images import geometry_for, header
from vaekit.data.source import Array, Decoding, Options, Source, no_options, options_for
from vaekit.data.tables import encode
from vaekit.errors import DataError

Example: TypeAlias = Any  # what is no image becomes an array


@runtime_checkable
class Rows(Protocol):
    """Rows that are numbered from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


def read_rows(rows: Rows, options: Options | None, name: str) -> Source:
    """Read all rows.

    Arguments:
        rows: each an example, (example, label), or a mapping in which they are called x and y, image and label, or the like.
        options: Decoding, where examples are images.
        name: what messages call the rows.

    Raises:
        DataError: if there are none, they differ in shape, or are no numbers.
    """
    if not len(rows):
        raise DataError(f"The {name} is empty. Give at least one row.")
    if not isinstance(parted(rows[0], name)[0], Image):
        no_options(options, name)
        x, labels = _collected(rows, lambda example: _numbers(example, name), name)
        return labelled(replace(arrays.from_memory(x), name=name), labels)
    decoding = options_for(options, Decoding, name)
    geometry, note = geometry_for((header(parted(rows[i], name)[0]) for i in range(len(rows))), decoding)
    x, labels = _collected(rows, lambda image: fitted(image.copy(), geometry), name)
    return labelled(Source(name, {"all": x}, decoding=decoding.settled(geometry.shape), report=note), labels)


def labelled(source: Source, labels: Sequence[object] | Array | Tensor) -> Source:
    """Give a source labels: numbers, words, or rows of factors, which a DataFrame names; of None alone, none.

    Raises:
        DataError: if they are something else.
    """
    if isinstance(labels, list) and all(label is None for label in labels):
        return source
    columns = _names_of(labels)
    stacked = _stacked(labels, source.name)
    values, classes = _encoded(stacked[:, 0] if len(columns) == 1 and stacked.ndim == 2 else stacked)
    factors = columns if len(columns) > 1 else ()
    return replace(source, labels={"all": values}, label_names=classes or factors, label_column="".join(columns[:1]))


def _names_of(labels: object) -> tuple[str, ...]:
    """Return the names that labels have as the columns of a DataFrame, or as a Series."""
    if not hasattr(labels, "to_numpy"):
        return ()
    name = getattr(labels, "name", None)
    return tuple(map(str, getattr(labels, "columns", () if name is None else (name,))))


def as_numbers(x: Array | Tensor) -> Array:
    """Return an array, with NaN where it is masked, or the values of a tensor, in single precision where the tensor's is lower.

    Raises:
        DataError: if a tensor is sparse.
    """
    if isinstance(x, Tensor):
        if x.layout != torch.strided:
            raise DataError("A tensor is sparse, and rows are read with all their values. Give its to_dense().")
        x = x.detach().cpu()
        return np.asarray((x.float() if x.is_floating_point() and x.element_size() < 4 else x).numpy())
    if np.ma.is_masked(x) and x.dtype.kind in "biuf":
        return np.ma.filled(np.ma.asarray(x).astype(np.result_type(x, np.float32)), np.nan)
    return np.asanyarray(x)


def parted(row: Any, name: str) -> tuple[Example, object]:
    """Part a row into its example and its label, None where it has none.

    Example:
        >>> parted(([0.5, 1.0], 3), "list")
        ([0.5, 1.0], 3)

    Raises:
        DataError: if a mapping does not name them.
    """
    if isinstance(row, Mapping):
        data, label = arrays.roles([str(key) for key in row])
        if data is None:
            raise DataError(
                f"A row of the {name} has the entries {', '.join(map(str, row))}. Call the example x or image."
            )
        return row[data], None if label is None else row[label]
    if (
        isinstance(row, tuple | list)
        and row
        and not isinstance(row[0], int | float | np.number | str)
        and not _is_nested(row)
    ):
        return row[0], row[1] if len(row) > 1 else None
    return row, None


def _is_nested(row: Sequence[Any]) -> bool:
    """Tell whether a row is a list of lists alone, as an image in numbers is, and not an example with its label."""
    return isinstance(row, list) and all(isinstance(part, list) for part in row)


def _collected(rows: Rows, bring: Callable[[Example], Array], name: str) -> tuple[Array, list[object]]:
    """Read all examples into one array, shape (N, *event), and their labels."""
    x, labels = np.empty((len(rows), 0)), []
    for i in range(len(rows)):
        example, label = parted(rows[i], name)
        values = bring(example)
        x = x if i else np.empty((len(rows), *values.shape), values.dtype)
        if values.shape != x.shape[1:]:
            raise DataError(
                f"Row {i} of the {name} has shape {values.shape}, and the first {x.shape[1:]}. Bring all to one shape; images "
                f"of Pillow are brought to one size here."
            )
        x = x.astype(np.result_type(x, values), copy=False)
        x[i] = values
        labels.append(label)
    return x, labels


def _numbers(example: Example, name: str) -> Array:
    """Turn an example into an array of numbers."""
    try:
        values = as_numbers(example)
    except ValueError as error:
        raise DataError(f"A row of the {name} is no array of numbers: {error}.") from error
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"A row of the {name} is of type {type(example).__name__}. Give numbers, arrays, tensors or images of Pillow."
        )
    return values


def _stacked(labels: Sequence[Any] | Array | Tensor, name: str) -> Array:
    """Turn labels, one a row, into an array of shape (N,) or (N, F)."""
    plain = [as_numbers(x) if isinstance(x, Tensor) else x for x in labels] if isinstance(labels, list) else labels
    try:
        return as_numbers(plain) if isinstance(plain, Tensor | np.ma.MaskedArray) else np.asarray(plain)
    except ValueError as error:
        raise DataError(
            f"The labels of the {name} differ in shape. Give each row one label, or as many factors."
        ) from error


def _encoded(labels: Array) -> tuple[Array, tuple[str, ...]]:
    """Number words, NaN standing for one that is missing; numbers stay as they are."""
    found = labels.tolist() if labels.ndim == 1 and labels.dtype.kind in "OUS" else []
    words = [None if label is None or label != label else label for label in found]
    if set(map(type, words)) <= {type(None)} or not all(isinstance(word, str | int | None) for word in words):
        return labels, ()
    return encode([None if word is None else str(word) for word in words])

"""Columns in Apache Arrow's memory, as public sets and parquet files have them: which are data, and how they become arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from vaekit.data.decoding import Geometry, Pixels, decode_block
from vaekit.data.decoding_pool import cores
from vaekit.data.source import INDEX, Array
from vaekit.errors import DataError
from vaekit.text import listed

ArrowTable: TypeAlias = Any  # pyarrow.Table and pyarrow.ChunkedArray: the package has no types
ArrowColumn: TypeAlias = Any
Convert: TypeAlias = Callable[[ArrowTable], Array]
LABELS = ("label", "labels", "fine_label", "class", "target")


@dataclass(frozen=True)
class Layout:
    """Which columns are data and which one is the label.

    Attributes:
        data: one column of images or of arrays, or several of numbers, which make up a vector.
        is_image: whether it holds encoded images.
        label: the column of labels, None where there is none.
        label_names: names of the classes, where they are known.
        left_out: columns that are not used.
    """

    data: tuple[str, ...]
    is_image: bool
    label: str | None
    label_names: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def note(self) -> str:
        """A sentence on the columns that are not used."""
        return f"Columns that are not used: {listed(self.left_out)}." if self.left_out else ""


def layout(features: Mapping[str, Any], name: str) -> Layout:
    """Decide which columns are data: the first of images, else the first of arrays, else all of numbers.

    Arguments:
        features: the set's `datasets.Features`.
        name: what the set is called in messages.

    Raises:
        DataError: if there is no such column.
    """
    import datasets
    import pyarrow as pa

    types = {field.name: field.type for field in pa.schema(datasets.Features(features).arrow_schema)}
    classes = {column: f.names for column, f in features.items() if isinstance(f, datasets.ClassLabel)}
    label = next(
        iter([*classes, *(column for column in LABELS if column in types and not _depth(types[column]))]), None
    )
    images = [
        column
        for column, feature in features.items()
        if isinstance(feature, datasets.Image) or (isinstance(feature, dict) and is_encoded(types[column]))
    ]
    own = [column for column in types if column != label and not INDEX.fullmatch(column)]
    numbers = [column for column in own if _is_numeric(types[column])]
    arrays = [column for column in numbers if _depth(types[column])]
    data = images[:1] or arrays[:1] or numbers
    if not data:
        told = ", ".join(f"{column} ({kind})" for column, kind in types.items())
        raise DataError(
            f"`{name}` has no column of images, arrays or numbers; its columns are: {told}. Open another set."
        )
    left_out = tuple(column for column in types if column not in (*data, label))
    return Layout(tuple(data), bool(images), label, tuple(classes.get(label or "", ())), left_out)


def as_array(column: ArrowColumn, name: str) -> Array:
    """Turn a column of numbers or words, or of equally long (nested) lists of numbers, into an array of shape (N, *event).

    Raises:
        DataError: if lists differ in length, or a whole number or a list is missing.
    """
    import pyarrow as pa
    from pyarrow import compute

    level, shape = column.combine_chunks(), [len(column)]
    level = level.storage if isinstance(level, pa.ExtensionArray) else level
    while _is_list(level.type):
        lengths = compute.unique(compute.list_value_length(level)).to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise DataError(f"The column {name} holds lists of different lengths: {listed(sorted(map(str, lengths)))}.")
        shape.append(lengths[0])
        level = level.flatten()
    if level.null_count and not pa.types.is_floating(level.type):
        raise DataError(f"The column {name} lacks {level.null_count:,} of its values. Fill them in, or leave it out.")
    values: Array = level.to_numpy(zero_copy_only=False)
    return (values.astype(str) if values.dtype == object else values).reshape(shape)


def as_vectors(table: ArrowTable, names: Sequence[str]) -> Array:
    """Turn one column of arrays into an array of shape (N, *event), or several of numbers into one of shape (N, columns)."""
    if len(names) == 1:
        values = as_array(table.column(names[0]), names[0])
        return values[:, None] if values.ndim == 1 else values
    return np.stack([as_array(table.column(name), name) for name in names], 1)


def as_images(table: ArrowTable, name: str, geometry: Geometry) -> Pixels:
    """Decode a column of encoded images, by one thread for each core: 8-bit, shape (N, C, H, W).

    Raises:
        DataError: if some cannot be read or decoded.
    """
    encoded = blobs(table.column(name))
    threads = cores()
    pieces = [encoded[i * len(encoded) // threads : (i + 1) * len(encoded) // threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(partial(decode_block, geometry=geometry), pieces))
    if reasons := [reason for _, failures in done for reason in failures.values()]:
        raise DataError(
            f"{len(reasons):,} of {len(encoded):,} images read cannot be decoded ({reasons[0]}). Mend the files."
        )
    return np.concatenate([pixels for pixels, _ in done])


def blobs(column: ArrowColumn) -> list[bytes]:
    """Return the encoded images of a column.

    Raises:
        DataError: if one is not at the path that its cell gives.
    """
    try:
        return list(map(blob, column.to_pylist()))
    except OSError as error:
        raise DataError(
            f"The image `{error.filename}` cannot be read ({error.strerror}). Put it there, or the images into their cells."
        ) from error


def blob(value: Mapping[str, Any] | None) -> bytes:
    """Return an encoded image, which is in its cell or at the path that it gives; nothing for an empty cell."""
    cell = value or {}
    if cell.get("bytes") is None and cell.get("path"):
        return Path(cell["path"]).read_bytes()
    return bytes(cell.get("bytes") or b"")


def is_encoded(kind: Any) -> bool:
    """Tell whether a column's type is that of encoded images: in each cell the contents of a file, and its path."""
    import pyarrow as pa

    if not pa.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    contents = kind.field("bytes").type
    return bool(pa.types.is_binary(contents) or pa.types.is_large_binary(contents))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _depth(kind: Any) -> int:
    """Return how many lists are within each other."""
    kind = getattr(kind, "storage_type", kind)
    return 1 + _depth(kind.value_type) if _is_list(kind) else 0


def _is_numeric(kind: Any) -> bool:
    import pyarrow as pa

    kind = getattr(kind, "storage_type", kind)
    while _is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

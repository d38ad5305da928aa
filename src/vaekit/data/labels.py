"""Labels: classes as numbers with names, or factors as floats; and the context that a conditional model is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vaekit.data.facts import Flags
from vaekit.data.source import Array, Stored
from vaekit.errors import DataError

SPARE_CLASSES = 16


def encode_labels(
    labels: Mapping[str, Array], x: Mapping[str, Stored], names: Sequence[str] = (), column: str = ""
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Encode the labels of all parts of a source alike.

    Words, and whole numbers that do not count from 0 with few gaps, are numbered in sorted order. Labels of several
    columns, and numbers that are not whole, are factors.

    Arguments:
        labels: part to labels, shape (N,), (N, 1) or (N, F).
        x: part to data, by which the number of labels is checked.
        names: names of the classes or factors, where the reader knows them.
        column: what the column of a table is called that they are from, which then names a factor.

    Returns:
        Classes, int64 of shape (N,), or factors, float32 of shape (N, F), of each part; and their names.

    Raises:
        DataError: if their number differs from that of the rows, one is missing, or they are of another shape.
    """
    if not labels:
        return {}, ()
    flat = {part: _flat(values, len(x[part]), part) for part, values in labels.items()}
    together = np.concatenate(list(flat.values()))
    if together.dtype.kind not in "biufUS":
        raise DataError(f"`labels` are of type {together.dtype}, neither numbers nor words.")
    if (bad := unlabelled(together)).any():
        raise DataError(
            f"`labels` have no finite value in {int(bad.sum()):,} of {len(bad):,} rows. Leave these rows out with "
            f"drop_missing=True, or fill them in before."
        )
    if together.ndim == 2 or (together.dtype.kind == "f" and (together != np.floor(together)).any()):
        factors = {part: values.astype(np.float32).reshape(len(values), -1) for part, values in flat.items()}
        count = next(iter(factors.values())).shape[1]
        return dict(factors), tuple(names) or ((column,) if column else numbered(count))
    if together.dtype.kind not in "US" and together.min() >= 0 and (names or together.max() < _few(together)):
        count = max(len(names), int(together.max()) + 1)
        classes = {part: values.astype(np.int64) for part, values in flat.items()}
        return dict(classes), (*names, *map(str, range(len(names), count)))
    different = np.unique(together)
    found = tuple(f"{v:g}" if together.dtype.kind == "f" else str(v) for v in different.tolist())
    return {part: np.searchsorted(different, values) for part, values in flat.items()}, found


def numbered(count: int) -> tuple[str, ...]:
    """Name factors that have no names of their own by their numbers.

    Example:
        >>> numbered(2)
        ('factor 1', 'factor 2')
    """
    return tuple(f"factor {i + 1}" for i in range(count))


def as_context(labels: Array, classes: int) -> Array:
    """Turn labels into what a conditional model is given: one-hot classes, or the factors, float32 of shape (N, C).

    Example:
        >>> as_context(np.array([2, 0]), 3).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if labels.ndim == 2:
        return labels.astype(np.float32)
    return np.equal(labels[:, None], np.arange(classes)).astype(np.float32)


def _flat(values: Array, rows: int, part: str) -> Array:
    """Check the number of labels, and drop an axis of length 1."""
    if values.ndim not in (1, 2) or len(values) != rows:
        raise DataError(
            f"`labels` have shape {values.shape}, but the data has {rows:,} rows ({part}). "
            f"Give one label, or one row of factors, for each."
        )
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    return flat.astype(str) if flat.dtype.kind == "O" and all(isinstance(v, str) for v in flat) else flat


def _few(labels: Array) -> int:
    """Return up to which number labels are taken to count the classes from 0."""
    return 2 * len(np.unique(labels)) + SPARE_CLASSES


def unlabelled(labels: Array) -> Flags:
    """Tell which rows, of labels of shape (N, ...), have one that is missing or infinite.

    Example:
        >>> unlabelled(np.array([1.0, np.nan]))
        array([False,  True])
    """
    if labels.dtype.kind != "f":
        return np.zeros(len(labels), bool)
    return np.asarray(~np.isfinite(labels).reshape(len(labels), -1).all(1))

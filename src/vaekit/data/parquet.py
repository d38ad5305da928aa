"""Rows of sharded parquet files, here or on a server, read by row groups on demand.

The footers of the shards tell how many rows each row group has, so rows are numbered before any is read, and a row group
serves as a block of the block shuffle (`vaekit.data.rows`): an epoch's order does not depend on the number of processes,
each of them decodes its own rows alone, and to resume in the middle, nothing before is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vaekit.data.arrow import ArrowTable, Convert, as_array, is_encoded
from vaekit.data.rows import Indices, Rows
from vaekit.data.source import Array
from vaekit.errors import DataError
from vaekit.shapes import Shape

CONNECTIONS = 16


@dataclass(frozen=True)
class Shards:
    """Parquet files whose rows follow each other.

    Attributes:
        files: paths or addresses that fsspec can open.
    """

    files: tuple[str, ...]

    @cached_property
    def footers(self) -> list[Any]:
        """What each file says of its columns and row groups (pyarrow.parquet.FileMetaData)."""
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return list(threads.map(_footer, self.files))

    @cached_property
    def groups(self) -> list[tuple[int, int, int]]:
        """The file, the number within it and the rows of each row group that has any."""
        found = (
            (f, g, footer.row_group(g).num_rows)
            for f, footer in enumerate(self.footers)
            for g in range(footer.num_row_groups)
        )
        return [group for group in found if group[2]]

    @cached_property
    def bounds(self) -> Indices:
        """Where the row groups begin, and the number of rows; shape (groups + 1,)."""
        return np.concatenate([[0], np.cumsum([rows for *_, rows in self.groups], dtype=np.int64)])

    def read(self, group: int, columns: Sequence[str]) -> ArrowTable:
        """Read columns of a row group.

        Raises:
            DataError: if the file cannot be read.
        """
        from pyarrow.parquet import ParquetFile

        file, within, _ = self.groups[group]
        with _opened(self.files[file]) as source:
            return ParquetFile(source, metadata=self.footers[file], pre_buffer=True).read_row_group(
                within, columns=list(columns)
            )

    def column(self, name: str) -> Array:
        """Read a whole column, which must fit in memory."""
        return np.concatenate([as_array(self.read(i, [name]).column(name), name) for i in range(len(self.groups))])


class ParquetRows(Rows):
    """Columns of sharded parquet files, as rows that are read and converted on demand.

    Arguments:
        shards: the files.
        columns: the columns that are read.
        convert: turns a table of these columns into an array of shape (rows, *event).
        event_shape: the shape of one row.
        dtype: the type of a value.
    """

    def __init__(
        self, shards: Shards, columns: Sequence[str], convert: Convert, event_shape: Shape, dtype: np.dtype[Any]
    ) -> None:
        self.shards, self.columns, self.convert = shards, tuple(columns), convert
        self.event_shape, self.dtype = event_shape, dtype
        self.bounds = shards.bounds
        self.shape = (int(self.bounds[-1]), *event_shape)
        self._held: tuple[int, ArrowTable] = (-1, None)

    def take(self, rows: Indices) -> Array:
        first = np.searchsorted(rows, self.bounds)
        taken = [np.empty((0, *self.event_shape), self.dtype)]
        for group in np.flatnonzero(np.diff(first)):
            within = rows[first[group] : first[group + 1]] - self.bounds[group]
            taken.append(self.convert(self._group(int(group)).take(within)).astype(self.dtype, copy=False))
        return np.concatenate(taken)

    def _group(self, group: int) -> ArrowTable:
        """Read a row group, or return it if it is the one that was read last."""
        held = self._held
        if held[0] != group:
            self._held = held = (group, self.shards.read(group, self.columns))
        return held[1]


def holds_images(file: str) -> bool:
    """Tell whether a parquet file has a column of encoded images; not if it cannot be read."""
    with suppress(DataError, ImportError):
        return any(map(is_encoded, _footer(file).schema.to_arrow_schema().types))
    return False


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    """Open a file here or on a server, and say which one cannot be read."""
    import fsspec  # type: ignore[import-untyped]
    from pyarrow import ArrowException

    try:
        with fsspec.open(file, "rb") as source:
            yield source
    except (OSError, ArrowException) as error:
        raise DataError(f"`{file}` cannot be read as parquet ({error}). Check the file and the connection.") from error


def _footer(file: str) -> Any:
    from pyarrow.parquet import ParquetFile

    with _opened(file) as source:
        return ParquetFile(source).metadata

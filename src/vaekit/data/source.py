"""What a reader returns: arrays by split, before splitting, transforming and judging."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vaekit.data.units import Units
    from vaekit.likelihoods.columns import Column

from vaekit.arguments import require_count
from vaekit.errors import ConfigError

Array: TypeAlias = npt.NDArray[Any]
Kind: TypeAlias = Literal["real", "positive", "binary", "categorical", "count"]
INDEX = re.compile(r"|Unnamed: 0|__index_level_\d+__")  # what pandas calls an index among the columns of a file


class Stored(Protocol):
    """Rows as they are stored: an array, a memory-mapped array, or `vaekit.data.rows.Rows`, which are read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of one."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a value."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


@dataclass(frozen=True)
class Decoding:
    """How image files become arrays of one size.

    Attributes:
        crop: side of the central square kept before resizing, in pixels; None keeps the image whole.
        size: side, or (height, width), of the result; None leaves the choice to the reader, which says what it chose.
        channels: 1 (grey) or 3 (colour); None leaves the choice to the reader.
        workers: processes that decode; None takes one for each core.
        cache: folder of the decode-once cache; None takes the user's cache folder.
        allow_missing: whether files that a list names but that are not there may be left out.
    """

    crop: int | None = None
    size: int | tuple[int, int] | None = None
    channels: int | None = None
    workers: int | None = None
    cache: Path | None = None
    allow_missing: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.size, int | None):
            object.__setattr__(self, "size", tuple(self.size))
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        counts = [("crop", self.crop), ("workers", self.workers), *(("size", side) for side in sides)]
        for name, count in counts:
            if count is not None:
                require_count(self, name, count)
        if len(sides) != 2 or self.channels not in (None, 1, 3):
            raise ConfigError(
                f"Decoding has `size` {self.size} and `channels` {self.channels}; a size must be a side or (height, width), and "
                f"channels must be 1 (grey) or 3 (colour)."
            )

    def settled(self, shape: tuple[int, ...]) -> Decoding:
        """Return the decoding that gives images of shape (C, H, W) whatever the images are, from any folder."""
        channels, height, width = shape
        cache = None if self.cache is None else self.cache.expanduser().absolute()
        return replace(self, size=(height, width), channels=channels, cache=cache)


@dataclass(frozen=True)
class ArrayFile:
    """Where the data is in a file of arrays (`.npy`, `.npz`, `.mat`), and what one row of it is.

    Attributes:
        key: name of the array in the file; None finds it where there is no choice.
        labels: name of the array of labels in the file, or the path of another `.npy` file.
        transpose: whether the last axis of the array counts the rows, as MATLAB's users arrange it, instead of the first.
        shape: shape of one row, into which each is folded.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import vaekit as vk
        >>> as_columns = vk.data.ArrayFile(transpose=True, shape=(1, 28, 20))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/faces.npy", np.zeros((28 * 20, 30), np.uint8))
        ...     vk.data.open(f"{folder}/faces.npy", options=as_columns).event_shape
        (1, 28, 20)
    """

    key: str | None = None
    labels: str | None = None
    transpose: bool = False
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None:
            object.__setattr__(self, "shape", tuple(self.shape))


@dataclass(frozen=True)
class Table:
    """How the columns of a table (`.csv`, `.parquet`) are used.

    Attributes:
        label: the column of labels; None takes a column called label, class or target, and "" keeps all columns as data.
        ignore: columns that are left out.
        columns: the columns of data, in their order; all others but the label are left out then. None takes all but the index
            that pandas wrote beside them. What is opened says it, so that other data may have more columns, in another
            order, than a model was fitted to.
        words: the words of each column of words, in the order of their numbers; None numbers those that there are in sorted
            order. What is opened says it, so that other data is read with the numbers that a model was fitted to.
        kinds: the kind of a column, where the detected one is wrong: real, positive, binary, categorical or count. Whole
            numbers that are categorical are treated as words.

    Raises:
        ConfigError: for a kind that there is not, or a column that is to be data and something else.

    Example:
        >>> import pandas as pd
        >>> import vaekit as vk
        >>> shops = pd.DataFrame({"region": [1, 7] * 20, "size": [2.5, 3.0] * 20})
        >>> vk.data.open(shops, options=vk.data.Table(kinds={"region": "categorical"})).column_words
        (('1', '7'), ())
    """

    label: str | None = None
    ignore: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    words: Mapping[str, tuple[str, ...]] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore", tuple(self.ignore))
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))
            for name in self.columns:
                if name in (*self.ignore, self.label):
                    raise ConfigError(f"`columns` of Table has {name!r}, which `ignore` or `label` has too.")
        for name, kind in self.kinds.items():
            if kind not in get_args(Kind):
                raise ConfigError(f"`kinds` says that {name!r} is {kind!r}; a column is {', '.join(get_args(Kind))}.")
        if self.words is not None:
            object.__setattr__(self, "words", {name: tuple(words) for name, words in self.words.items()})


Options: TypeAlias = Decoding | ArrayFile | Table
OptionsKind = TypeVar("OptionsKind", Decoding, ArrayFile, Table)


def options_for(options: Options | None, kind: type[OptionsKind], source: object) -> OptionsKind:
    """Return options of the kind by which a source is read, its defaults if there are none.

    Raises:
        ConfigError: if they are of another kind.
    """
    if options is None:
        return kind()
    if not isinstance(options, kind):
        raise ConfigError(f"`options` is {type(options).__name__}, but `{source}` is read with {kind.__name__}.")
    return options


def no_options(options: Options | None, source: object) -> None:
    """Refuse options for a source that takes none."""
    if options is not None:
        raise ConfigError(f"`options` is {type(options).__name__}, but `{source}` takes none.")


@dataclass(frozen=True)
class Source:
    """Arrays that a reader found.

    Attributes:
        name: what the data is called in messages and reports.
        x: split name ("train", "validation", "test", or "all" where the source has no official split) to values of shape
            (N, *event): images as (N, C, H, W), uint8 where they are on a grid of 256 values; memory-mapped where large.
        labels: split name to integer classes or float factors, shape (N,) or (N, F); empty where there are none.
        label_names: names of the classes, or of the factors.
        files: split name to the name of each row's file, shape (N,); empty where rows are no files.
        numbers: split name to the number of each row as it was read, shape (N,), where rows were left out.
        label_column: for a table, the name of the column of labels, which is that of a factor.
        levels: how many equally spaced values, stored as 0, 1, ..., levels - 1, the data takes; None detects it.
        columns: for a table, the kind of each column (`vaekit.likelihoods.columns`); empty otherwise.
        column_names: for a table, the name of each column.
        words: for a table, the words of each column of words, in the order of their numbers; None for other sources.
        decoding: for image files, how they became arrays, with nothing left open; None for other sources.
        units: how the values that a model was fitted to were read, for other data that it is to be given; None detects it.
        report: a sentence or two on how the data was had and what was decided (an axis moved, a column taken as labels, the
            rate of decoding), told to the user.
    """

    name: str
    x: Mapping[str, Stored]
    labels: Mapping[str, Array] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    files: Mapping[str, Array] = field(default_factory=dict)
    numbers: Mapping[str, Array] = field(default_factory=dict)
    label_column: str = ""
    levels: int | None = None
    columns: tuple[Column, ...] = ()
    column_names: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] | None = None
    decoding: Decoding | None = None
    units: Units | None = None
    report: str = ""

    def options_like(self, options: Options | None) -> Options | None:
        """Return the options by which further data is read as this was: of a table, with its words and columns."""
        if self.words is None:
            return options
        return replace(options if isinstance(options, Table) else Table(), words=self.words, columns=self.column_names)

"""Public sets of the Hugging Face hub, by name, and folders of parquet shards, and single files of images.

`read_hub` gets a whole set (the package `datasets` keeps it on the disk), its arrays into memory, its images into the
decode-once cache. `stream_hub` gets only the rows that are asked for, when they are: from the set's parquet files, which
nearly all sets of the hub have, by row groups (`vaekit.data.parquet`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaekit.data.arrow import ArrowTable, Convert, Layout, as_array, as_images, as_vectors, blob, blobs, layout
from vaekit.data.cache import decode_once
from vaekit.data.images import SPLIT_FOLDERS, cut, survey
from vaekit.data.parquet import ParquetRows, Shards
from vaekit.data.source import Array, Decoding, Source, Stored
from vaekit.data.tables import kind_of
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Column

ADDRESSES = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
SURVEYED = 256


def read_hub(name: str, decoding: Decoding) -> Source:
    """Read a public set as a whole.

    Arguments:
        name: mnist, fashion-mnist, or `hf:owner/name`, after which `:configuration` may choose one of several.
        decoding: how images become arrays of one size.

    Raises:
        DataError: if the set cannot be had (no such set, no connection, no package `datasets`), or has no column of images,
            arrays or numbers.
    """
    with _asking(name) as datasets:
        splits = datasets.load_dataset(*_address(name))
    return read_splits(name, splits, decoding)


def read_splits(name: str, splits: Mapping[Any, Any], decoding: Decoding) -> Source:
    """Read a set of which there is a `datasets.Dataset` of each split.

    Raises:
        DataError: if it has no column of images, arrays or numbers.
    """
    parts = _parts(splits, name)
    chosen = layout(next(iter(parts.values())).features, name)
    if chosen.is_image:
        pictures = HubImages(chosen.data[0], tuple(parts.values()))
        pixels, report = decode_once(pictures, partial(survey, pictures, decoding), decoding)
        x = cut(pixels, {part: len(rows) for part, rows in parts.items()})
    else:
        x = {part: as_vectors(_table(rows, chosen.data), chosen.data) for part, rows in parts.items()}
        report = ""
    labels: dict[str, Array] = {}
    if label := chosen.label:
        labels = {part: as_array(_table(rows, [label]).column(label), label) for part, rows in parts.items()}
    kinds: tuple[Column, ...] = ()
    if len(chosen.data) > 1:
        together = np.concatenate(list(x.values())).astype(np.float64)
        kinds = tuple(map(kind_of, together.T))
    return _source(name, chosen, x, labels, kinds, decoding, report)


def stream_hub(name: str | Path, decoding: Decoding) -> Source:
    """Open a public set, or a folder of parquet shards, whose rows are read and decoded when they are needed.

    Labels are read at once, as they are small. The shape of images is decided by the first of them.

    Arguments:
        name: as in `read_hub`; or a folder, whose file names give the splits (train-00000.parquet, test-00000.parquet).
        decoding: how images become arrays of one size.

    Raises:
        DataError: as `read_hub`, or if the set is stored in other files than parquet.
    """
    with _asking(name) as datasets:
        builder = datasets.load_dataset_builder(*(_address(name) if isinstance(name, str) else [str(name)]))
        files: Mapping[str, Sequence[str]] = builder.config.data_files or {}
    if not files or not all(str(file).endswith(".parquet") for its in files.values() for file in its):
        raise DataError(
            f"`{name}` is not stored as parquet, so it cannot be streamed. Open it as a whole: hf:owner/name."
        )
    parts = {part: Shards(tuple(map(str, its))) for part, its in _parts(files, str(name)).items()}
    return _from_shards(name, parts, builder.info.features, decoding)


def stream_file(path: Path, decoding: Decoding) -> Source:
    """Open one parquet file of images as `stream_hub` opens a folder of them.

    Raises:
        DataError: as `stream_hub`.
    """
    return replace(_from_shards(path, {"all": Shards((str(path),))}, None, decoding), name=path.stem)


@dataclass(frozen=True)
class HubImages:
    """The encoded images of a set's splits, one split after the other.

    Attributes:
        column: the column that holds them.
        splits: the splits, each a `datasets.Dataset`.
    """

    column: str
    splits: tuple[Any, ...]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of what `datasets` knows the splits by."""
        known = [self.column, *(split._fingerprint for split in self.splits)]
        return hashlib.sha256("\0".join(known).encode()).hexdigest()

    @cached_property
    def _encoded(self) -> list[tuple[int, Any]]:
        """The row at which each split ends, and its column, not decoded."""
        from datasets import Image

        columns = [s.select_columns([self.column]).cast_column(self.column, Image(decode=False)) for s in self.splits]
        return list(zip(accumulate(map(len, self.splits)), columns, strict=True))

    def __len__(self) -> int:
        return sum(map(len, self.splits))

    def name(self, i: int) -> str:
        """Return the number of an image."""
        return f"row {i}"

    def open(self, i: int) -> IO[bytes]:
        """Get an encoded image."""
        end, split = next(pair for pair in self._encoded if i < pair[0])
        return BytesIO(blob(split[i - end + len(split)][self.column]))


@dataclass(frozen=True)
class Encoded:
    """Encoded images in memory.

    Attributes:
        images: their contents.
    """

    images: tuple[bytes, ...]
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        """Return the number of an image."""
        return f"row {i}"

    def open(self, i: int) -> IO[bytes]:
        """Open an encoded image."""
        return BytesIO(self.images[i])


def _table(rows: Any, columns: Sequence[str]) -> ArrowTable:
    """Return columns of a `datasets.Dataset` as a pyarrow.Table."""
    return rows.select_columns(list(columns)).with_format("arrow")[:]


def _from_shards(
    name: str | Path, every: Mapping[str, Shards], features: Mapping[str, Any] | None, decoding: Decoding
) -> Source:
    """Set up a source of shards by split, whose columns are the features, or what the first file says."""
    parts = {part: shards for part, shards in every.items() if shards.groups}
    if not parts:
        raise DataError(f"`{name}` has no rows.")
    schema = next(iter(parts.values())).footers[0].schema.to_arrow_schema()
    with _asking(name) as datasets:
        known = features or datasets.Features.from_arrow_schema(schema)
    chosen = layout(known, str(name))
    x, report = _streamed(parts, chosen, decoding)
    labels = {part: shards.column(chosen.label) for part, shards in parts.items()} if chosen.label else {}
    return _source(str(name), chosen, x, labels, (), decoding, report)


def _streamed(parts: Mapping[str, Shards], chosen: Layout, decoding: Decoding) -> tuple[dict[str, Stored], str]:
    """Set up the reading of each part, by the shape and type of the first rows."""
    sample = next(iter(parts.values())).read(0, chosen.data).slice(0, SURVEYED)
    if chosen.is_image:
        (column,) = chosen.data
        geometry, report = survey(Encoded(tuple(blobs(sample.column(column)))), decoding)
        convert: Convert = partial(as_images, name=column, geometry=geometry)
    else:
        convert, report = partial(as_vectors, names=chosen.data), ""
    like = convert(sample)
    x = {part: ParquetRows(shards, chosen.data, convert, like.shape[1:], like.dtype) for part, shards in parts.items()}
    return dict(x), report


def _source(
    name: str,
    chosen: Layout,
    x: Mapping[str, Stored],
    labels: Mapping[str, Array],
    kinds: tuple[Column, ...],
    decoding: Decoding,
    report: str,
) -> Source:
    """Put a source together; a split whose labels are withheld, which the hub writes as -1, has none."""
    given = {part: values for part, values in labels.items() if values.dtype.kind not in "if" or (values >= 0).all()}
    return Source(
        name=Path(name.removeprefix("hf:")).name,
        x=x,
        labels=given,
        label_names=chosen.label_names if given else (),
        columns=kinds,
        column_names=chosen.data if len(chosen.data) > 1 else (),
        decoding=decoding.settled(next(iter(x.values())).shape[1:]) if chosen.is_image else None,
        report=" ".join(filter(None, (chosen.note, report))),
    )


def _address(name: str) -> list[str]:
    """Return the hub's name of a set, and of a configuration if one is given.

    Example:
        >>> _address("mnist"), _address("hf:owner/name:small")
        (['ylecun/mnist'], ['owner/name', 'small'])
    """
    return ADDRESSES.get(name, name).removeprefix("hf:").split(":", 1)


def _parts(splits: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Name splits as vaekit does, leaving out those of other names; a single one is all the rows.

    Raises:
        DataError: if there are several, none of which is for training.
    """
    known = {SPLIT_FOLDERS[str(split)]: rows for split, rows in splits.items() if str(split) in SPLIT_FOLDERS}
    if "train" in known and len(known) > 1:
        return known
    if "train" in known or len(splits) == 1:
        return {"all": known.get("train", next(iter(splits.values())))}
    raise DataError(f"`{name}` has the splits {', '.join(map(str, splits))}, but none called train. Open another set.")


@contextmanager
def _asking(name: str | Path) -> Iterator[Any]:
    """Give the package `datasets`, and say in one sentence what is wrong where it fails.

    Raises:
        DataError: if the package is not installed or raises anything, as it does for a name that is not known.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"`{name}` needs the package datasets. Install it: pip install 'vaekit[hub]'.") from error
    try:
        yield datasets
    except Exception as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        if isinstance(name, Path):
            raise DataError(f"`{name}` cannot be opened ({told}). Check its files, or open a folder in it.") from error
        raise DataError(
            f"`{name}` cannot be had from the Hugging Face hub ({told}). Check the name and the connection; sets that were "
            f"opened before are found without one."
        ) from error

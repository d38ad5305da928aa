"""What other libraries hold in memory, as sources. An object is known by what it can do, and no library is imported to ask.

tables of pandas, polars, DuckDB, pyarrow    they export Arrow's columns; an index is none of them
datasets of Hugging Face                     as the sets of the hub
datasets and loaders of torch, and lists     row by row, as `vaekit.data.items` says
mappings                                     arrays by the names that a `.npz` gives them, or any source for each split
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler, Subset, SubsetRandomSampler

from vaekit.data import arrays
from vaekit.data.items import Rows, as_numbers, labelled, read_rows
from vaekit.data.source import Array, ArrayFile, Decoding, Options, Source, Table, no_options, options_for
from vaekit.data.splits import PARTS
from vaekit.errors import DataError

Read: TypeAlias = Callable[[Any, Options | None], Source]
ONCE = "All its rows were read once, so what it draws at random stays as it was drawn."
LOADED = "Of the loader only its dataset is used; batches and their order are vaekit's."


@runtime_checkable
class ExportsArrow(Protocol):
    """A table that shares its columns in Arrow's memory."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


def read_object(found: Any, options: Options | None, read: Read) -> Source | None:
    """Read what a library holds in memory; None if it is nothing of that.

    Arguments:
        found: the object.
        options: Table for tables, Decoding for images, ArrayFile for a mapping of arrays.
        read: reads any source, for what is made up of several.

    Raises:
        ConfigError: if the options are those of another kind of source.
        DataError: if it cannot be read.
    """
    name = type(found).__name__
    if hasattr(found, "nnz") and hasattr(found, "toarray"):
        raise DataError(f"The {name} is sparse, and rows are read with all their values. Give its toarray().")
    if isinstance(found, np.ndarray | Tensor):
        no_options(options, name)
        return arrays.from_memory(as_numbers(found))
    if isinstance(found, tuple) and len(found) == 2:
        return _read_pair(*found, options, read)
    if isinstance(found, DataLoader):
        return _read_loader(found, options, read)
    if _is_hub_set(found):
        return _read_hub_sets({"all": found}, options, name)
    if isinstance(found, ExportsArrow):
        return _read_table(found, options_for(options, Table, name))
    if isinstance(found, Mapping):
        return _read_mapping(found, options, read)
    if isinstance(found, Rows) and not isinstance(found, bytes):
        source = read_rows(found, options, name)
        return replace(source, report=f"{source.report} {ONCE}".strip()) if isinstance(found, Dataset) else source
    if hasattr(found, "__iter__"):
        raise DataError(
            f"`{name}` has no number of rows, so it can be neither split nor shuffled. Make an array or a list of its rows, or "
            f"save them as .npy or .parquet, which are read on demand."
        )
    return None


def _read_pair(x: Any, labels: Any, options: Options | None, read: Read) -> Source:
    """Read data, and its labels, which may be None."""
    if isinstance(x, ExportsArrow):
        options = replace(options_for(options, Table, type(x).__name__), label="")
    found = read(x, options)
    if labels is None:
        return found
    _require_one_part(found, "pair's data")
    return labelled(found, labels)


def _require_one_part(found: Source, told: str) -> None:
    if list(found.x) != ["all"]:
        raise DataError(f"The {told} has splits of its own: {', '.join(found.x)}. Give rows that are not split.")


def _is_hub_set(found: object) -> bool:
    """Tell whether something is a `datasets.Dataset`."""
    return hasattr(found, "features") and hasattr(found, "select_columns") and isinstance(found, Rows)


def _read_hub_sets(sets: Mapping[str, object], options: Options | None, name: str) -> Source:
    from vaekit.data.hub import read_splits

    return read_splits(name, sets, options_for(options, Decoding, name))


def _read_table(table: Any, options: Table) -> Source:
    """Read a table by its columns.

    Raises:
        DataError: if pyarrow is not installed, or the columns cannot be shared.
    """
    from vaekit.data.tables import from_arrow

    name = type(table).__name__
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(f"A {name} needs pyarrow to be read. Install it: pip install 'vaekit[tables]'.") from error
    try:
        columns = pyarrow.table(table.reset_index(drop=True) if hasattr(table, "reset_index") else table)
    except (ValueError, TypeError, NotImplementedError) as error:
        told = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(
            f"The {name} is no table of columns of numbers and words ({told}). Give a DataFrame of such."
        ) from error
    return from_arrow(Path(name), columns, options)


def _read_mapping(held: Mapping[Any, Any], options: Options | None, read: Read) -> Source:
    """Read a mapping: arrays by their names, data and labels of another kind, or each split by its own source."""
    name = type(held).__name__
    if held and all(map(_is_hub_set, held.values())):
        return _read_hub_sets(held, options, name)
    named = {str(key): array for key, value in held.items() if (array := _as_array(value)) is not None}
    data, label = arrays.roles(list(held))
    if data is not None and data not in named:
        return read(held[data] if label is None else (held[data], held[label]), options)
    if named:
        return arrays.choose(named, options_for(options, ArrayFile, name), Path(name))
    return _read_splits(held, options, read)


def _as_array(value: object) -> Array | None:
    """Return an entry of a mapping that is an array, or a list of numbers or words; None for others."""
    if isinstance(value, np.ndarray | Tensor):
        return as_numbers(value)
    flat = isinstance(value, list) and all(isinstance(x, str | int | float | np.number) for x in value)
    return np.asarray(value) if flat else None


def _read_splits(parts: Mapping[Any, Any], options: Options | None, read: Read) -> Source:
    """Read a source for each split, the others as the first is read.

    Raises:
        DataError: if a name is no split's, none is for training, or a source has splits of its own.
    """
    keys = {part: key for key in parts if (part := arrays.part_of(str(key))) is not None}
    if "train" not in keys or len(keys) != len(parts):
        raise DataError(
            f"The entries of the {type(parts).__name__} are {', '.join(map(str, parts)) or 'none'}. Call them train, validation "
            f"and test, or x and y."
        )
    sources: dict[str, Source] = {}
    for part in sorted(keys, key=PARTS.index):
        sources[part] = found = read(parts[keys[part]], options)
        options = found.decoding or found.options_like(options)
        _require_one_part(found, f"{part} split")
    labels, names = _numbered_alike(sources)
    return replace(
        sources["train"],
        name=type(parts).__name__,
        x={part: found.x["all"] for part, found in sources.items()},
        labels=labels,
        label_names=names,
        files={part: found.files["all"] for part, found in sources.items() if found.files},
    )


def _numbered_alike(sources: Mapping[str, Source]) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return the labels of several sources by split, classes of one name under one number, and the names."""
    labels = {part: found.labels["all"] for part, found in sources.items() if found.labels}
    known = {part: found.label_names for part, found in sources.items() if found.labels}
    if len(set(known.values())) <= 1:
        return labels, next(iter(known.values()), ())
    names = tuple(sorted(set().union(*known.values())))
    numbers = {part: np.array([names.index(name) for name in its]) for part, its in known.items()}
    return {part: _renumbered(labels[part], numbers[part]) for part in labels}, names


def _renumbered(labels: Array, numbers: Array) -> Array:
    """Exchange the numbers of classes; NaN, for a label that is missing, stays."""
    present = np.isfinite(labels)
    renumbered = np.full(len(labels), np.nan)
    renumbered[present] = numbers[labels[present].astype(int)]
    return renumbered


def _read_loader(loader: DataLoader[Any], options: Options | None, read: Read) -> Source:
    """Read the dataset of a loader, or those of its rows to which its sampler is limited.

    Raises:
        DataError: if its sampler chooses rows otherwise.
    """
    data, sampler = loader.dataset, loader.sampler
    if isinstance(sampler, SubsetRandomSampler):
        data = Subset(data, sorted(map(int, sampler.indices)))
    elif isinstance(data, Rows) and not isinstance(sampler, RandomSampler | SequentialSampler):
        raise DataError(
            f"The loader's rows are chosen by a {type(sampler).__name__}, which may leave some out. Give its dataset, or a "
            f"torch.utils.data.Subset of that."
        )
    found = read(data, options)
    return replace(found, report=f"{found.report} {LOADED}".strip())

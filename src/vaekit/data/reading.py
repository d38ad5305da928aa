"""From one argument to a source: which reader serves a name, a file, a folder or an array.

A string is looked up in this order: a built-in name (digits, rectangles, mnist, fashion-mnist), `hf:owner/name` (held) and
`hf-stream:owner/name` (read on demand), a path. So a name means the same data in every folder; a folder called mnist is
written `./mnist`.

Paths, and the public sets by their built-in names, are also looked for in the folder that the environment variable VAEKIT_DATA
names, so that one who keeps data sets in one place, or has no connection, opens them by name: $VAEKIT_DATA/mnist, as mnist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor
from torch.utils.data import DataLoader

from vaekit.data import amat, arrays, idx
from vaekit.data.interchange import ExportsArrow, read_object
from vaekit.data.items import Rows
from vaekit.data.source import Array, ArrayFile, Decoding, Options, Source, Table, no_options, options_for
from vaekit.data.synthetic import Rectangles, read_digits, read_rectangles
from vaekit.errors import DataError

Memory: TypeAlias = Array | Tensor | ExportsArrow | Rows | DataLoader[Any]
Openable: TypeAlias = Rectangles | Source | Mapping[Any, Any] | str | Path | Memory | tuple[Memory, Memory]

HUB_NAMES, STREAM, FOLDER = ("mnist", "fashion-mnist"), "hf-stream:", "VAEKIT_DATA"
NAMES = ("digits", "rectangles", *HUB_NAMES)
KINDS = (
    "an array, a DataFrame, a Dataset of torch or of Hugging Face, a list of arrays or images, a mapping of splits; a .npy, .npz, "
    ".mat, .csv or .parquet file, an IDX or .amat file or a folder of them, a folder of .npy files, of parquet shards or of "
    "images, CelebA's folder; hf:owner/name (hf-stream: for what is too large to decode at once), or one of "
    + ", ".join(NAMES)
)
ALONE = (".npz", ".mat", ".csv", ".tsv")
WAYS_OUT = {
    (".pt", ".pth", ".pkl", ".pickle", ".joblib"): "it would have to be unpickled. Save its arrays with numpy.savez",
    (".h5", ".hdf5", ".h5ad"): "HDF5 is not read. Save its arrays with numpy.savez",
    (".zip", ".tar", ".tgz", ".tar.gz"): "it is an archive. Unpack it, and open the folder",
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"): "it is one image. Open the folder that holds the images",
}


def read(source: Openable, options: Options | None = None) -> Source:
    """Read a source, whatever it is.

    Arguments:
        source: arrays (x, or x and labels), a built-in name, a path, `hf:owner/name`, `Rectangles`, or a `Source`.
        options: what the reader should know: Decoding for images, ArrayFile for files of arrays, Table for tables.

    Raises:
        ConfigError: if the options are those of another kind of source.
        DataError: if there is no such source, or it cannot be read.
    """
    if isinstance(source, str | Path):
        return _read_named(str(source), options)
    if isinstance(source, Source | Rectangles):
        no_options(options, type(source).__name__)
        return read_rectangles(source) if isinstance(source, Rectangles) else source
    if (found := read_object(source, options, read)) is not None:
        return found
    raise DataError(f"`source` is of type {type(source).__name__}. Data is opened from {KINDS}.")


def settled(opened_by: Mapping[str, Any]) -> dict[str, Any]:
    """Make the paths among the arguments of `vaekit.data.open` absolute, so that they hold from any folder."""
    options = opened_by.get("options")
    if isinstance(options, ArrayFile) and options.labels is not None:
        options = replace(options, labels=absolute(options.labels))
    if isinstance(options, Decoding) and options.cache is not None:
        options = replace(options, cache=options.cache.expanduser().absolute())
    return {**opened_by, "source": absolute_source(opened_by.get("source")), "options": options}


def absolute_source(source: Any) -> Any:
    """Make the path that a source is, or those of its splits, absolute; what is no path stays as it is."""
    if isinstance(source, Mapping):
        return {part: absolute_source(its) for part, its in source.items()}
    return absolute(source) if isinstance(source, str | Path) else source


def absolute(name: str | Path) -> str:
    """Return the absolute path of what is there by this name; a name that data has everywhere stays as it is."""
    path = Path(name).expanduser()
    return str(path.absolute() if str(name) not in NAMES and path.exists() else name)


def _read_named(name: str, options: Options | None) -> Source:
    built_in: dict[str, Callable[[], Source]] = {
        "digits": read_digits,
        "rectangles": partial(read_rectangles, Rectangles()),
    }
    if name in built_in:
        no_options(options, name)
        return built_in[name]()
    local = Path(os.environ.get(FOLDER, "")) / name
    if name.startswith(("hf:", STREAM)) or (name in HUB_NAMES and not (os.environ.get(FOLDER) and local.is_dir())):
        return _read_public(name, options_for(options, Decoding, name))
    path = local if name in HUB_NAMES else Path(name).expanduser()
    path = path if path.exists() else local
    if path.is_dir():
        return _read_folder(path, options)
    if path.is_file():
        return _read_file(path, options)
    raise DataError(_not_found(name, Path(name).expanduser()))


def _read_public(name: str, decoding: Decoding) -> Source:
    from vaekit.data import hub

    if name.startswith(STREAM):
        return hub.stream_hub("hf:" + name.removeprefix(STREAM), decoding)
    return hub.read_hub(name, decoding)


def _read_file(path: Path, options: Options | None) -> Source:
    as_array: dict[str, Callable[[Path, ArrayFile], Source]] = {
        ".npy": arrays.read_npy,
        ".npz": arrays.read_npz,
        ".mat": arrays.read_mat,
    }
    suffix = path.suffix.lower()
    if suffix in as_array:
        return as_array[suffix](path, options_for(options, ArrayFile, path))
    if idx.is_idx_file(path):
        return idx.read_idx_file(path, options_for(options, ArrayFile, path))
    if amat.is_amat_file(path):
        return amat.read_amat_file(path, options_for(options, ArrayFile, path))
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path, options)
    if suffix in (".csv", ".tsv"):
        from vaekit.data.tables import read_csv

        return read_csv(path, options_for(options, Table, path))
    problem = _way_out(path) or f"its kind, {suffix!r}, is not known. Data is opened from {KINDS}"
    raise DataError(f"`{path}` cannot be opened: {problem}.")


def _way_out(path: Path) -> str | None:
    """Say what to do with a file of a kind that is known, but not read."""
    return next((way for suffixes, way in WAYS_OUT.items() if path.name.lower().endswith(suffixes)), None)


def _read_parquet(path: Path, options: Options | None) -> Source:
    """Read a Parquet file: images where it has a column of them, unless the options are those of a table."""
    from vaekit.data.parquet import holds_images

    if not isinstance(options, Table) and holds_images(str(path)):
        from vaekit.data.hub import stream_file

        return stream_file(path, options_for(options, Decoding, path))
    from vaekit.data.tables import read_parquet

    return read_parquet(path, options_for(options, Table, path))


def _read_folder(path: Path, options: Options | None) -> Source:
    if not any(path.iterdir()):
        raise DataError(f"`{path}` is an empty folder. Data is opened from {KINDS}.")
    if idx.is_idx_folder(path):
        no_options(options, path)
        return idx.read_idx_folder(path)
    if amat.is_amat_folder(path):
        return amat.read_amat_folder(path, options_for(options, ArrayFile, path))
    if arrays.holds_arrays(path):
        return arrays.read_array_folder(path, options_for(options, ArrayFile, path))
    if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
        return _stream(path, options)
    from vaekit.data import celeba, images

    if celeba.is_celeba(path):
        return celeba.read_celeba(path, options_for(options, Decoding, path))
    if images.holds_images(path):
        return images.read_folder(path, options_for(options, Decoding, path))
    if any(path.rglob("*.parquet")):
        return _stream(path, options)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    if alone := [p for p in files if p.suffix.lower() in ALONE]:
        raise DataError(
            f"`{path}` is a folder of files that are opened one at a time. Name one of them, as `{alone[0]}`."
        )
    if waiting := [p for p in files if _way_out(p)]:
        raise DataError(f"`{path}` holds nothing that can be opened. Of `{waiting[0].name}`: {_way_out(waiting[0])}.")
    found = ", ".join(sorted({p.suffix or p.name for p in files})[:5]) or "no files"
    raise DataError(f"`{path}` holds nothing that can be opened (found: {found}). Data is opened from {KINDS}.")


def _stream(path: Path, options: Options | None) -> Source:
    from vaekit.data.hub import stream_hub

    return stream_hub(path, options_for(options, Decoding, path))


def _not_found(name: str, path: Path) -> str:
    """Say that there is no such source, and what was perhaps meant."""
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(name, NAMES, 1) or [str(path.parent / n) for n in get_close_matches(path.name, beside, 1)]
    hint = f" Did you mean `{near[0]}`?" if near else ""
    public = f" A public set of that name is written `hf:{name}`." if _may_be_public(name, near) else ""
    if name == "celeba":
        public = " CelebA is not downloaded: give the folder where its package is unpacked."
    return f"There is no file, folder or data set `{name}`.{hint}{public} Data is opened from {KINDS}."


def _may_be_public(name: str, near: Sequence[str]) -> bool:
    """Tell whether a name may be one of the hub's: owner/name where there is no such folder, or a word like no other name."""
    owner, slash, rest = name.partition("/")
    of_owner = owner and rest and "/" not in rest and not Path(owner).expanduser().exists()
    return "." not in name and bool(of_owner if slash else not near)

"""Parquet where the Hugging Face hub's users keep it: shards in folders below, single files of images, and tables beside them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from shell import SMALL, done, refusal

import vaekit.data as vd
from vaekit.data.hub import read_hub, stream_hub
from vaekit.data.reading import read
from vaekit.data.source import Source
from vaekit.errors import ConfigError, DataError
from vaekit.likelihoods.columns import Categorical, Real

NAMES, ROWS = ("cat", "dog", "owl"), 20
FEATURES = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
PLAIN = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
LARGE = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
UNTOLD = pa.struct([("bytes", pa.binary()), ("path", pa.null())])


@pytest.fixture(autouse=True)
def _beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache" / "hub")


def cells(rows: int = ROWS) -> list[dict[str, bytes | None]]:
    """Return encoded images of 6 x 5 pixels, each of its own grey."""
    encoded = []
    for i in range(rows):
        Image.fromarray(np.full((6, 5, 3), i, np.uint8)).save(buffer := io.BytesIO(), "png")
        encoded.append({"bytes": buffer.getvalue(), "path": None})
    return encoded


def shard(path: str, rows: int = ROWS) -> Path:
    """Write images and their classes as the package `datasets` does."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": cells(rows), "label": [i % 3 for i in range(rows)]}
    datasets.Dataset.from_dict(columns, datasets.Features(FEATURES)).to_parquet(path)
    return Path(path)


def bare(path: str, kind: pa.DataType = PLAIN) -> Path:
    """Write images and the words of their classes without telling more than the types of the columns."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    names = [NAMES[i % 3] for i in range(ROWS)]
    parquet.write_table(pa.table({"picture": pa.array(cells(), kind), "label": names}), path)
    return Path(path)


def same(found: Source, expected: Source) -> bool:
    """Tell whether two sources have the same rows and labels in the same parts."""
    parts = found.x.keys() == expected.x.keys() and found.labels.keys() == expected.labels.keys()
    rows = all(np.array_equal(x[0 : len(x)], expected.x[part][0 : len(x)]) for part, x in found.x.items())
    return parts and rows and all(np.array_equal(y, expected.labels[part]) for part, y in found.labels.items())


@pytest.mark.parametrize("place", ["data", "mnist", "plain/small"])
def test_shards_in_a_folder_below_are_those_of_the_folder(place: str) -> None:
    for part in ("train", "test"):
        shard(f"set/{place}/{part}-00000-of-00001.parquet", ROWS if part == "train" else 3)
    if place == "data":
        Path("set/assets").mkdir()
        Image.new("RGB", (50, 50)).save("set/assets/logo.png")
    found = read("set")
    assert (found.name, found.label_names) == ("set", NAMES)
    assert {part: x.shape for part, x in found.x.items()} == {"train": (ROWS, 3, 6, 5), "test": (3, 3, 6, 5)}
    assert same(found, read(f"set/{place}"))


def test_images_come_before_a_table_below_them() -> None:
    Path("set/meta").mkdir(parents=True)
    Image.new("RGB", (7, 7)).save("set/one.png")
    shutil.move(shard("x.parquet"), "set/meta/x.parquet")
    assert read("set", vd.Decoding(cache=Path("cache"), workers=1)).x["all"].shape == (1, 3, 7, 7)


def test_a_folder_of_several_sets_is_refused_without_speaking_of_a_connection() -> None:
    for name in "ab":
        shard(f"set/{name}/train.parquet")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in "ab")
    Path("set/README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    with pytest.raises(
        DataError, match=r"`set` cannot be opened \(Config name is missing\)\. .* open a folder in it\.$"
    ):
        vd.open("set")
    assert len(read("set/a").x["all"]) == ROWS


FILES: dict[str, Callable[[str], Path]] = {
    "of datasets": shard,
    "plain": bare,
    "large": lambda path: bare(path, LARGE),
    "without paths": lambda path: bare(path, UNTOLD),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_images_is_opened_as_images(kind: str) -> None:
    found = vd.open(FILES[kind]("x.parquet"), validation=0, test=0)
    assert (found.name, found.event_shape, found.label_names) == ("x", (3, 6, 5), NAMES)
    np.testing.assert_array_equal(found.train.x[0:ROWS][:, 0, 0, 0], np.arange(ROWS))
    np.testing.assert_array_equal(found.train.labels, np.arange(ROWS) % 3)


@pytest.mark.parametrize("read_set", [read_hub, stream_hub], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", [PLAIN, LARGE, UNTOLD], ids=["plain", "large", "without paths"])
def test_images_need_no_metadata(kind: pa.DataType, read_set: Callable[..., Source], tmp_path: Path) -> None:
    bare("set/train.parquet", kind)
    found = read_set(f"hf:{tmp_path / 'set'}", vd.Decoding(cache=tmp_path / "cache", workers=1))
    np.testing.assert_array_equal(found.x["all"][0:ROWS][:, 0, 0, 0], np.arange(ROWS))
    assert found.labels["all"].tolist() == [NAMES[i % 3] for i in range(ROWS)]


def test_options_say_how_a_file_of_images_is_read() -> None:
    shard("x.parquet")
    assert vd.open("x.parquet", options=vd.Decoding(size=4, channels=1)).event_shape == (1, 4, 4)
    assert vd.open("x.parquet", options=vd.Table("", ignore=("image",))).column_names == ("label",)
    with pytest.raises(ConfigError, match=r"`options` is ArrayFile, but `x\.parquet` is read with Decoding"):
        vd.open("x.parquet", options=vd.ArrayFile())


@pytest.mark.parametrize("other", [{}, {"cell": [{"bytes": i, "path": "x"} for i in range(30)]}], ids=["", "struct"])
def test_tables_remain_tables(other: dict[str, list[object]]) -> None:
    columns = {"real": [i / 7 - 1 for i in range(30)], "word": [NAMES[i % 3] for i in range(30)], **other}
    datasets.Dataset.from_dict(columns).to_parquet("t.parquet")
    options = vd.Table(ignore=tuple(other))
    assert vd.open("t.parquet", options=options).columns == (Real(), Categorical(3))
    if other:
        with pytest.raises(DataError, match=r"Leave it out: Table\(ignore=\('cell',\)\)"):
            vd.open("t.parquet")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ({"bytes": b"<html>", "path": None}, r"1 of 20 images read .* \(it is no image that Pillow reads\)"),
        (None, "1 of 20 images read cannot be decoded"),
        ({"bytes": None, "path": "gone.png"}, r"The image `gone\.png` cannot be read \(No such file"),
    ],
    ids=["no image", "empty", "elsewhere"],
)
def test_images_that_cannot_be_read_are_refused(cell: dict[str, object] | None, told: str) -> None:
    parquet.write_table(pa.table({"image": pa.array([*cells(ROWS - 1), cell], PLAIN)}), "x.parquet")
    with pytest.raises(DataError, match=told):
        vd.open("x.parquet")


def test_a_file_of_no_images_at_all_is_empty() -> None:
    parquet.write_table(pa.table({"image": pa.array([], PLAIN)}), "x.parquet")
    assert "`x.parquet` has no rows" in refusal("data", "x.parquet")


def test_a_model_is_fitted_to_a_file_of_images_and_used_on_another() -> None:
    shard("x.parquet")
    assert done("data", "x.parquet").out.startswith(
        "x: 16 rows to train on, 2 to validate, 2 to test.\nImages of 3 x 6"
    )
    done("fit", "--data=x.parquet", "--run=run", *SMALL)
    bare("other/y.parquet")
    done("encode", "run", "--data=other/y.parquet", "--out=file.npy")
    done("encode", "run", "--data=other", "--out=folder.npy")
    assert np.load("file.npy").shape == (ROWS, 2)
    np.testing.assert_array_equal(np.load("file.npy"), np.load("folder.npy"))
    done("score", "run", "--samples=1")

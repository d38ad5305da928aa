"""Every kind of source, on tiny files: the values, labels and names that come out are those that went in."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vaekit.data as vd
from vaekit.data.reading import read
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Binary, Categorical, Count, Positive, Real

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 5, 4)).astype(np.uint8)
VECTORS = RNG.normal(size=(12, 3))
LABELS = np.arange(12) % 3

Writer = Callable[[Path], Any]


def idx(values: np.ndarray, code: int) -> bytes:
    big = values.astype(values.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape) + big.tobytes()


def write_idx_folder(folder: Path, zipped: bool = False, prefix: str = "") -> Path:
    for part, values in (("train", GREY), ("t10k", GREY[:4])):
        images, labels = idx(values, 8), idx(LABELS[: len(values)].astype(np.uint8), 8)
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            path = folder / f"{prefix}{name}{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def amat(values: np.ndarray) -> bytes:
    return "".join(" ".join(map(str, row)) + " \n" for row in values.reshape(len(values), -1).tolist()).encode()


def saved(name: str, content: Any) -> Writer:
    """Write one file in the way that its suffix says, and return its path."""

    def write(folder: Path) -> Path:
        path = folder / name
        if path.suffix == ".npy":
            np.save(path, content)
        elif path.suffix == ".npz":
            np.savez(path, **content)
        elif path.suffix == ".mat":
            from scipy.io import savemat

            savemat(path, content)
        elif path.suffix == ".gz":
            path.write_bytes(gzip.compress(content))
        elif path.suffix == ".parquet":
            from pyarrow import parquet, table

            parquet.write_table(table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def several(files: dict[str, Any]) -> Writer:
    """Write several files, and return their folder."""

    def write(folder: Path) -> Path:
        for name, content in files.items():
            saved(name, content)(folder)
        return folder

    return write


IMAGE = GREY[:, None]
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
BITS = (GREY[:, :2, :2] > 99).astype(int)

ARRAYS: dict[str, tuple[Writer, vd.ArrayFile | None, np.ndarray, bool]] = {
    "grey images": (lambda _: GREY, None, IMAGE, False),
    "tensor": (lambda _: torch.from_numpy(VECTORS), None, VECTORS, False),
    "bfloat16": (
        lambda _: torch.from_numpy(VECTORS).bfloat16(),
        None,
        torch.from_numpy(VECTORS).bfloat16().float().numpy(),
        False,
    ),
    "booleans": (lambda _: VECTORS > 0, None, (VECTORS > 0).astype(np.uint8), False),
    "one value a row": (lambda _: VECTORS[:, 0], None, VECTORS[:, :1], False),
    "channels last": (lambda _: COLOUR, None, COLOUR.transpose(0, 3, 1, 2), False),
    "channels first": (lambda _: COLOUR.transpose(0, 3, 1, 2), None, COLOUR.transpose(0, 3, 1, 2), False),
    "volumes": (lambda _: np.zeros((3, 7, 5, 6, 2)), None, np.zeros((3, 7, 5, 6, 2)), False),
    "pair": (lambda _: (GREY, LABELS), None, IMAGE, True),
    "pair of tensors": (lambda _: (torch.from_numpy(GREY), torch.from_numpy(LABELS)), None, IMAGE, True),
    ".npy": (saved("x.npy", GREY), None, IMAGE, False),
    ".npy, big-endian": (saved("x.npy", VECTORS.astype(">f4")), None, VECTORS.astype(np.float32), False),
    ".npy with labels beside": (several({"x.npy": GREY, "y.npy": LABELS}), None, IMAGE, True),
    ".npz, one array": (saved("x.npz", {"anything": GREY}), None, IMAGE, False),
    ".npz, X and y": (saved("x.npz", {"X": VECTORS, "y": LABELS}), None, VECTORS, True),
    ".npz, by name": (
        saved("x.npz", {"a": VECTORS, "b": LABELS, "c": GREY}),
        vd.ArrayFile("c", labels="b"),
        IMAGE,
        True,
    ),
    ".mat": (saved("x.mat", {"data": VECTORS, "labels": LABELS}), None, VECTORS, True),
    ".mat, columns": (saved("x.mat", {"ff": VECTORS.T}), vd.ArrayFile("ff", transpose=True), VECTORS, False),
    ".mat, folded": (
        saved("x.mat", {"ff": GREY.reshape(12, 20).T}),
        vd.ArrayFile(transpose=True, shape=(1, 5, 4)),
        IMAGE,
        False,
    ),
    "IDX": (saved("x-idx3-ubyte", idx(GREY, 8)), None, IMAGE, False),
    "IDX, gzipped": (saved("x-idx3-ubyte.gz", idx(GREY, 8)), None, IMAGE, False),
    "IDX of integers": (saved("x.idx", idx(LABELS.astype(np.int32), 0x0C)), None, LABELS[:, None], False),
    "IDX of floats": (saved("x.idx", idx(VECTORS, 0x0E)), None, VECTORS, False),
    ".amat of bits": (saved("x.amat", amat(BITS)), None, BITS[:, None], False),
    ".amat of bits, gzipped": (saved("x.amat.gz", amat(BITS)[:-1]), None, BITS[:, None], False),
    ".amat of numbers": (saved("x.amat", amat(VECTORS.round(2))), None, VECTORS.round(2).astype(np.float32), False),
    ".amat, folded": (saved("x.amat", amat(BITS)), vd.ArrayFile(shape=(2, 2)), BITS, False),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    write, options, values, labelled = ARRAYS[name]
    source = vd.open(write(tmp_path), options=options, transforms=(), validation=0, test=0)
    x = np.asarray(source.train.x)
    assert x.shape == values.shape
    assert np.array_equal(x, values)
    assert (source.train.labels is not None) == labelled
    if labelled:
        assert np.array_equal(source.train.labels, LABELS)


PARTS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "IDX folder": (write_idx_folder, ("train", "test")),
    "IDX folder, gzipped": (lambda folder: write_idx_folder(folder, zipped=True), ("train", "test")),
    "IDX folder with a prefix": (lambda folder: write_idx_folder(folder, prefix="emnist-letters-"), ("train", "test")),
    ".npz of Keras": (
        saved("mnist.npz", {"x_train": GREY, "y_train": LABELS, "x_test": GREY[:4], "y_test": LABELS[:4]}),
        ("train", "test"),
    ),
    ".npz of parts": (
        saved("x.npz", {"train": GREY, "val": GREY[:3], "test": GREY[:4], "train_labels": LABELS}),
        ("train", "validation", "test"),
    ),
    "folder of .npy": (
        several({"train.npy": GREY, "valid.npy": GREY[:3], "train_labels.npy": LABELS}),
        ("train", "validation"),
    ),
    "folder of .amat": (
        several({f"set_{part}.amat.gz": amat(BITS) for part in ("train", "valid", "test")}),
        ("train", "validation", "test"),
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_official_parts_are_found(name: str, tmp_path: Path) -> None:
    write, parts = PARTS[name]
    source = read(write(tmp_path))
    assert set(source.x) == set(parts)
    expected = BITS[:, None] if "amat" in name else IMAGE
    assert np.array_equal(source.x["train"][0:12], expected)
    if source.labels:
        assert np.array_equal(source.labels["train"], LABELS)


TABLE = """height;width;species;alive;legs;price;note
1.5;-2;cat;yes;4;1;
2.5;0.25;dog;no;4;1.5;
-1;3;bird;yes;2;80;
0;1;cat;no;3;2;
"""


def test_kinds_of_columns_are_detected(tmp_path: Path) -> None:
    data = vd.open(
        saved("pets.csv", TABLE)(tmp_path), options=vd.Table(ignore=("note",)), transforms=(), validation=0, test=0
    )
    assert data.column_names == ("height", "width", "species", "alive", "legs", "price")
    assert data.columns == (Real(), Real(), Categorical(3), Binary(), Count(), Positive())
    assert data.column_words == ((), (), ("bird", "cat", "dog"), ("no", "yes"), (), ())
    assert np.asarray(data.train.x).tolist()[2] == [-1, 3, 0, 1, 2, 80]
    assert data.propose().reason.startswith("Mixed")


CODED = "region,age,sex,size\n10,30,1,5\n2,41,2,1\n,52,1,3\n2,18,2,2\n"
KINDS: dict[str, Any] = {"region": "categorical", "age": "real", "sex": "categorical", "size": "positive"}


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_kinds_of_columns_are_those_asked_for(name: str, tmp_path: Path) -> None:
    columns = {"region": [10, 2, None, 2], "age": [30, 41, 52, 18], "sex": [1, 2, 1, 2], "size": [5, 1, 3, 2]}
    path = saved(name, columns if name.endswith("parquet") else CODED)(tmp_path)
    data = vd.open(path, options=vd.Table(kinds=KINDS), drop_missing=True, transforms=(), validation=0, test=0)
    assert data.columns == (Categorical(2), Real(), Categorical(2), Positive())
    assert data.train.x[0:3].tolist() == [[1, 30, 0, 5], [0, 41, 1, 1], [0, 18, 1, 2]]
    assert data.opened_by["options"].words == {"region": ("2", "10"), "sex": ("1", "2")}
    assert data.opened_by["options"].kinds == KINDS


def test_categories_keep_their_numbers_in_other_tables(tmp_path: Path) -> None:
    path = saved("t.csv", CODED)(tmp_path)
    own = vd.open(path, options=vd.Table(kinds=KINDS), drop_missing=True, transforms=(), validation=0, test=0).opened_by
    again = vd.open(**{**own, "source": saved("new.csv", "region,age,sex,size\n10,30,2,5\n10,31,2,5\n")(tmp_path)})
    assert again.columns == (Categorical(2), Real(), Categorical(2), Positive())
    assert again.train.x[0:2].tolist() == [[1, 30, 1, 5], [1, 31, 1, 5]]
    with pytest.raises(DataError, match=r"'region'.* holds 3; the data for training has only 2, 10"):
        vd.open(**{**own, "source": saved("new.csv", "region,age,sex,size\n3,1,1,1\n")(tmp_path)})


def test_text_may_be_asked_for_as_categories(tmp_path: Path) -> None:
    path = saved("t.csv", "name,on\na,x\nb,y\nc,x\n")(tmp_path)
    options = vd.Table(kinds={"name": "categorical", "on": "binary"})
    assert vd.open(path, options=options, validation=0, test=0).columns == (Categorical(3), Binary())


COLUMNS: dict[str, list[Any]] = {
    "size": [1.5, -2.0, 0.5, 3.25, 1.0, 0.0],
    "word": ["a", "b", "c", "a", "b", "c"],
    "class": ["y", "x", "y", "x", "x", "y"],
}
TEXT = "size,word,class\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(*COLUMNS.values(), strict=True))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
@pytest.mark.parametrize(
    ("options", "columns", "labels"),
    [
        (None, ("size", "word"), ["y", "x", "y", "x", "x", "y"]),
        (vd.Table(label="word"), ("size", "class"), ["a", "b", "c", "a", "b", "c"]),
        (vd.Table(label=""), ("size", "word", "class"), None),
        (vd.Table(ignore=("class",)), ("size", "word"), None),
        (vd.Table(columns=("size", "class")), ("size", "class"), None),
        (vd.Table(columns=("size",), label="word"), ("size",), ["a", "b", "c", "a", "b", "c"]),
    ],
)
def test_a_column_is_taken_as_labels(
    name: str, options: vd.Table | None, columns: tuple[str, ...], labels: list[str] | None, tmp_path: Path
) -> None:
    content = COLUMNS if name.endswith("parquet") else TEXT.replace(",", "\t" if name.endswith("tsv") else ",")
    data = vd.open(saved(name, content)(tmp_path), options=options, transforms=(), validation=0, test=0)
    assert data.column_names == columns
    assert np.asarray(data.train.x)[:, 0].tolist() == COLUMNS["size"]
    found = None if data.train.labels is None else [data.label_names[i] for i in data.train.labels]
    assert found == labels
    assert ("taken as labels" in data.describe()) == (options is None)


def test_tables_without_names_and_with_missing_values(tmp_path: Path) -> None:
    path = saved("t.csv", "1,2\n3,4.5\nNA,6\n7,\n\n-8,9.25\n")(tmp_path)
    data = vd.open(path, drop_missing=True, transforms=(), validation=0, test=0)
    assert data.column_names == ("column 1", "column 2")
    assert np.asarray(data.train.x).tolist() == [[1, 2], [3, 4.5], [-8, 9.25]]


FRAME = pd.DataFrame(np.linspace(-2, 2, 12).reshape(6, 2) ** 3, index=[7, 2, 3, 9, 4, 0])
WRITTEN: dict[str, Callable[[], object]] = {
    "names that are numbers": lambda: FRAME.to_csv("t.csv", index=False),
    "an index": lambda: FRAME.to_csv("t.csv"),
    "an index read as a column": lambda: pd.read_csv(io.StringIO(FRAME.to_csv())).to_csv("t.csv", index=False),
    "an index of Arrow": lambda: FRAME.rename(columns=str).to_parquet("t.parquet"),
    "an index in shards": lambda: (Path("set").mkdir(), FRAME.rename(columns=str).to_parquet("set/train.parquet")),
    "words as an index": lambda: FRAME.set_axis(list("abcdef")).to_csv("t.csv"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_pandas_writes_beside_values_is_not_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    WRITTEN[name]()
    (path,) = tmp_path.iterdir()
    data = vd.open(path, transforms=(), validation=0, test=0)
    assert data.column_names == ("0", "1")
    np.testing.assert_allclose(data.train.x[:], FRAME)
    assert ("not used" in data.describe().lower()) == ("index" in name)
    assert ("The first line, 0, 1" in data.describe()) == (name == "names that are numbers")


def test_an_index_that_is_asked_for_is_data(tmp_path: Path) -> None:
    path = saved("t.csv", FRAME.to_csv())(tmp_path)
    assert vd.open(path, options=vd.Table(kinds={"": "real"}), validation=0, test=0).column_names == ("", "0", "1")
    assert vd.open(path, options=vd.Table(columns=("1", "")), validation=0, test=0).column_names == ("1", "")


def test_parquet_with_missing_words_and_several_types(tmp_path: Path) -> None:
    columns = {"word": ["a", None, "b", "a"], "flag": [True, False, True, True], "count": [1, 2, 3, 0]}
    data = vd.open(saved("t.parquet", columns)(tmp_path), drop_missing=True, transforms=(), validation=0, test=0)
    assert data.columns == (Binary(), Binary(), Count())
    assert np.asarray(data.train.x).tolist() == [[0, 1, 1], [1, 1, 3], [0, 1, 0]]


def test_large_whole_numbers_are_read_as_the_nearest_that_there_are(tmp_path: Path) -> None:
    columns = {"number": [2**60 + 1, -(2**58) - 3, 7], "size": [1.5, -2.0, 0.5]}
    text = "number,size\n" + "".join(f"{a},{b}\n" for a, b in zip(*columns.values(), strict=True))
    for name, content in (("t.parquet", columns), ("t.csv", text)):
        data = vd.open(saved(name, content)(tmp_path), transforms=(), validation=0, test=0)
        assert np.asarray(data.train.x)[:, 0].tolist() == [2.0**60, -(2.0**58), 7.0]


def test_booleans_of_both_kinds_of_table_are_the_same_words(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"flag": [True, False, None, True], "size": [1.5, 2.0, 0.5, 3.5]}
    text = "".join(f"{'' if a is None else a},{b}\n" for a, b in zip(*columns.values(), strict=True))
    paths = [saved(f"t.{kind}", of)(tmp_path) for kind, of in (("parquet", columns), ("csv", f"flag,size\n{text}"))]
    found = [vd.open(path, drop_missing=True, transforms=(), validation=0, test=0) for path in paths]
    assert np.array_equal(found[0].train.x, found[1].train.x)
    assert [data.opened_by["options"].words for data in found] == [{"flag": ("False", "True")}] * 2


def test_bars_separate_fields(tmp_path: Path) -> None:
    data = vd.open(saved("t.csv", "a|b\n1|2.5\n3|4.5\n")(tmp_path), transforms=(), validation=0, test=0)
    assert np.asarray(data.train.x).tolist() == [[1, 2.5], [3, 4.5]]


def test_columns_that_are_left_out_may_hold_anything(tmp_path: Path) -> None:
    path = saved("t.parquet", {"a": [1.5, -2.0], "nested": [[1], [2, 3]]})(tmp_path)
    for options in (vd.Table(ignore=("nested",)), vd.Table(columns=("a",))):
        assert vd.open(path, options=options, validation=0, test=0).column_names == ("a",)


def test_standardisation_of_a_table_leaves_counts_and_categories_alone(tmp_path: Path) -> None:
    data = vd.open(saved("pets.csv", TABLE)(tmp_path), options=vd.Table(ignore=("note",)), validation=0, test=0)
    (x,) = next(iter(data.batches("train", 9)))
    raw = torch.from_numpy(np.asarray(data.train.x)).float()
    assert torch.equal(x[:, 2:5], raw[:, 2:5])
    torch.testing.assert_close(x[:, :2].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    assert (x[:, 5] > 0).all()
    torch.testing.assert_close(x[:, 5].square().mean(), torch.tensor(1.0))


def test_large_files_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.data.arrays.MAPPED_BYTES", 100)
    path = saved("x.npy", COLOUR)(tmp_path)
    data = vd.open(path, transforms=())
    assert not isinstance(data.train.x, np.ndarray)
    held = vd.open(COLOUR, transforms=())
    assert np.array_equal(data.train.x[0:9], held.train.x)
    assert data.facts == held.facts


@pytest.mark.parametrize("name", ["mnist", "other"])
def test_data_kept_in_one_folder_is_opened_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    write_idx_folder(tmp_path / name)
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path))
    data = vd.open(name)
    assert data.name == name
    assert len(data.test) == 4


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data = vd.open("digits")
    held, source = load_digits(), read("digits")
    assert np.array_equal(source.x["all"][0:1797, 0], held.images)
    assert np.array_equal(source.labels["all"], held.target)
    assert data.event_shape == (1, 8, 8)
    assert (data.levels, data.facts.scale) == (17, 16)
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert data.label_names == tuple("0123456789")


@pytest.mark.parametrize(("smallest", "largest"), [(3, 3), (1, 7), (2, 5)])
def test_rectangles_reach_every_place_and_are_what_their_factors_say(smallest: int, largest: int) -> None:
    data = vd.open(vd.Rectangles(count=4000, size=7, smallest=smallest, largest=largest))
    assert data.label_names == ("row", "column", "height", "width")
    x, factors = np.asarray(data.train.x)[:, 0], data.train.labels
    assert factors is not None
    for image, (row, column, height, width) in zip(x[:300], factors[:300].astype(int), strict=True):
        drawn = np.zeros((7, 7), np.uint8)
        drawn[row : row + height, column : column + width] = 1
        assert np.array_equal(image, drawn)
    sides = set(range(smallest, largest + 1))
    assert set(factors[:, 2]) == set(factors[:, 3]) == sides
    for axis in (0, 1):
        assert set(factors[factors[:, 2 + axis] == smallest, axis]) == set(range(7 - smallest + 1))
    assert x[:, 0].any()
    assert x[:, -1].any()
    assert x[:, :, 0].any()
    assert x[:, :, -1].any()


def test_rectangles_are_seeded_and_default_to_the_article() -> None:
    one, two, other = (vd.open(vd.Rectangles(count=50, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.train.x, two.train.x)
    assert not np.array_equal(one.train.x, other.train.x)
    data = vd.open("rectangles")
    assert (len(data.train), data.event_shape) == (50_000, (1, 24, 24))
    assert np.asarray(data.train.x).sum((1, 2, 3)).tolist() == [64] * 50_000
    assert data.propose().transforms == ()


SHARED = {
    "mnist": (None, (55_000, 5_000, 10_000), (1, 28, 28), 256, "Bernoulli with dynamic"),
    "binarized-mnist": (None, (50_000, 10_000, 10_000), (1, 28, 28), 2, "Bernoulli,"),
    "tabular-anomaly/32_shuttle.npz": (None, (39_277, 4_910, 4_910), (9,), None, "Normal"),
    "tabular-anomaly/2_annthyroid.npz": (None, (5_760, 720, 720), (6,), None, "Normal"),
    "frey-faces/frey_rawface.mat": (
        vd.ArrayFile("ff", transpose=True, shape=(1, 28, 20)),
        (1_573, 196, 196),
        (1, 28, 20),
        256,
        "Discretized",
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_real_data(name: str, shared_data: Path) -> None:
    options, sizes, event_shape, levels, proposal = SHARED[name]
    data = vd.open(shared_data / name, options=options)
    assert (len(data.train), len(data.validation), len(data.test)) == sizes
    assert (data.event_shape, data.levels) == (event_shape, levels)
    assert data.propose().reason.startswith(proposal)
    assert (data.train.labels is not None) == (name in ("mnist",) or "anomaly" in name)


def test_binarised_mnist_lies_within_the_ink_of_mnist(shared_data: Path) -> None:
    grey = read(str(shared_data / "mnist"))
    binary = read(str(shared_data / "binarized-mnist" / "binarized_mnist_test.amat.gz"))
    order = np.argsort(grey.labels["test"], kind="stable")
    ink = grey.x["test"][0:10_000][order] > 0
    assert not (binary.x["all"][0:10_000] > ink).any()

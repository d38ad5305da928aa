"""Every kind of source, on tiny files: the values, labels and names that come out are those that went in."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit.data as vd
from vaekit.data.reading import read

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

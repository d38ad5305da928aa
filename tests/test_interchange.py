"""What other libraries hold in memory: the values, labels and splits that come out are those that went in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image
from sklearn.datasets import load_wine
from torch.utils import data as td

import vaekit as vk
from vaekit.data import ArrayFile, Decoding, Source, Table
from vaekit.data.reading import read
from vaekit.errors import ConfigError, DataError
from vaekit.likelihoods.columns import Binary, Categorical, Count, Real

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(12, 3)).astype(np.float32)
CLASSES = np.arange(12) % 3
X, Y = torch.from_numpy(VECTORS), torch.from_numpy(CLASSES)
FRAME = pd.DataFrame(
    {
        "size": VECTORS[:, 0].astype(float),
        "colour": pd.Categorical(np.array(["red", "blue", "green"])[CLASSES]),
        "sold": CLASSES > 0,
        "count": CLASSES + 2,
        "label": np.array(["b", "a", "b"])[CLASSES],
    }
)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3)).astype(np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in PIXELS]
HUB = datasets.Dataset.from_dict({"x": VECTORS, "label": CLASSES})


class Pairs(td.Dataset):
    """A dataset of one's own, whose rows are whatever a function makes."""

    def __init__(self, row: Callable[[int], Any]) -> None:
        self.row = row

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> Any:
        return self.row(i)


class Endless(td.IterableDataset):
    def __iter__(self) -> Iterator[torch.Tensor]:
        yield X[0]


SETS: dict[str, tuple[Any, bool]] = {
    "torch's tensors": (td.TensorDataset(X), False),
    "torch's tensors, labelled": (td.TensorDataset(X, Y), True),
    "dataset of one's own": (Pairs(lambda i: (VECTORS[i], int(CLASSES[i]))), True),
    "rows as lists": (Pairs(lambda i: [X[i], Y[i]]), True),
    "rows as mappings": (Pairs(lambda i: {"image": X[i], "label": Y[i], "id": i}), True),
    "rows in half precision": (Pairs(lambda i: (X[i].double(), Y[i], "more")), True),
    "loader": (td.DataLoader(td.TensorDataset(X, Y), batch_size=5, shuffle=True), True),
    "list of arrays": (list(VECTORS), False),
    "list of lists": (VECTORS.tolist(), False),
    "list of pairs": (list(zip(VECTORS, CLASSES, strict=True)), True),
    "list and labels": ((VECTORS.tolist(), CLASSES.tolist()), True),
    "mapping of arrays": ({"x": X, "y": CLASSES.tolist()}, True),
    "mapping of pairs": ({"data": list(VECTORS), "target": Y}, True),
    "Hugging Face": (HUB, True),
    "array without labels": ((VECTORS, None), False),
}


@pytest.mark.parametrize("name", SETS)
def test_values_and_labels(name: str) -> None:
    given, has_labels = SETS[name]
    found = read(given)
    np.testing.assert_array_equal(np.asarray(found.x["all"]).astype(np.float32), VECTORS)
    if has_labels:
        np.testing.assert_array_equal(found.labels["all"], CLASSES)
    assert bool(found.labels) == has_labels


def test_a_frame_is_a_table_whatever_its_index() -> None:
    shuffled = FRAME.iloc[::-1]
    found = read(shuffled)
    assert found.column_names == ("size", "colour", "sold", "count")
    assert found.columns == (Real(), Categorical(3), Binary(), Count())
    np.testing.assert_array_equal(found.x["all"][:, 0], FRAME["size"][::-1])
    np.testing.assert_array_equal(found.x["all"][:, 1], [("blue", "green", "red").index(c) for c in shuffled.colour])
    assert [found.label_names[int(code)] for code in found.labels["all"]] == list(shuffled.label)


def test_a_frame_takes_the_options_of_a_table() -> None:
    found = read(FRAME, Table(label="colour", columns=("count",), kinds={"count": "real"}))
    assert found.columns == (Real(),)
    assert found.label_names == ("blue", "green", "red")


@pytest.mark.parametrize(
    "labels", [FRAME.label, FRAME.label.tolist(), np.array(FRAME.label)], ids=["series", "list", "array"]
)
def test_labels_beside_a_frame_are_words_of_any_kind(labels: Any) -> None:
    found = read((FRAME, labels))
    assert "label" in found.column_names
    assert [found.label_names[int(code)] for code in found.labels["all"]] == list(FRAME.label)


def test_rows_without_one_of_the_labels() -> None:
    data = vk.data.open((VECTORS, ["a", None] * 6), context=True, drop_missing=True, validation=0, test=0)
    np.testing.assert_array_equal(data.train.x, VECTORS[::2])


def test_missing_values_of_a_frame_are_named() -> None:
    holes = FRAME.assign(size=[None, *FRAME["size"][1:]], sold=[True, None] * 6)
    with pytest.raises(DataError, match=r"`DataFrame`: 7 of 12 rows .* 2 columns: size, sold"):
        vk.data.open(holes)


@pytest.mark.parametrize(
    "make", [list, lambda images: td.Subset(images, range(12)), tuple], ids=["list", "dataset", "tuple"]
)
def test_images_of_one_size_stay_as_they_are(make: Callable[[Any], Any]) -> None:
    found = read(make(IMAGES))
    np.testing.assert_array_equal(found.x["all"], PIXELS.transpose(0, 3, 1, 2))
    assert found.decoding == Decoding(size=(6, 5), channels=3)


def test_images_of_several_sizes_are_those_of_a_folder(tmp_path: Path) -> None:
    images = [image.resize((30 + i, 40)) for i, image in enumerate(IMAGES)]
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i:02}.png")
    options = Decoding(size=16, channels=1, cache=tmp_path / "cache")
    np.testing.assert_array_equal(read(images, options).x["all"], read(tmp_path, options).x["all"])


def test_images_are_not_changed_by_being_read(tmp_path: Path) -> None:
    IMAGES[0].resize((512, 512)).save(tmp_path / "large.jpg")
    image = Image.open(tmp_path / "large.jpg")
    read([image, image], Decoding(size=16))
    assert image.size == (512, 512)


def test_labels_beside_images() -> None:
    found = read([(image, "ab"[i % 2]) for i, image in enumerate(IMAGES)])
    assert found.label_names == ("a", "b")
    np.testing.assert_array_equal(found.labels["all"], np.arange(12) % 2)


def test_whole_and_other_numbers_are_kept_beside_each_other() -> None:
    np.testing.assert_array_equal(read([np.array([1, 2]), np.array([0.5, 2])]).x["all"], [[1, 2], [0.5, 2]])


def test_a_loader_gives_only_the_rows_of_its_sampler() -> None:
    rows = [7, 1, 4]
    found = read(td.DataLoader(td.TensorDataset(X, Y), sampler=td.SubsetRandomSampler(rows)))
    np.testing.assert_array_equal(found.x["all"], VECTORS[sorted(rows)])


def test_sets_of_hugging_face_by_split() -> None:
    found = read(datasets.DatasetDict(train=HUB, test=HUB.select(range(4))))
    assert list(map(len, found.x.values())) == [12, 4]


SPLITS: dict[str, Any] = {
    "pairs": {"train": (X, Y), "val": (X[:5], Y[:5]), "test": (X[:4], Y[:4])},
    "datasets": {
        "train": td.TensorDataset(X, Y),
        "valid": td.TensorDataset(X[:5], Y[:5]),
        "test": td.TensorDataset(X[:4], Y[:4]),
    },
    "named arrays": {"x_train": X, "y_train": Y, "x_val": X[:5], "y_val": Y[:5], "x_test": X[:4], "y_test": Y[:4]},
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_that_are_given_are_kept(name: str) -> None:
    data = vk.data.open(SPLITS[name])
    for part, rows in (("train", 12), ("validation", 5), ("test", 4)):
        np.testing.assert_array_equal(data.split(part).x, VECTORS[:rows])
        np.testing.assert_array_equal(data.split(part).labels, CLASSES[:rows])


def test_splits_of_tables_share_words_columns_and_classes() -> None:
    part = FRAME[FRAME.label == "b"][["label", "count", "sold", "colour", "size"]]
    found = read({"test": part[part.colour == "red"], "train": FRAME})
    assert found.words == {"colour": ("blue", "green", "red"), "sold": ("False", "True")}
    assert set(found.x["test"][:, 1]) == {2}
    assert found.label_names == ("a", "b")
    assert set(found.labels["test"]) == {1}


def test_splits_by_their_paths_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "test"):
        np.save(f"{name}.npy", VECTORS)
    data = vk.data.open({"train": "train.npy", "test": Path("test.npy")})
    assert data.opened_by["source"] == {part: str(tmp_path / f"{part}.npy") for part in ("train", "test")}


def test_arrays_by_the_names_of_scikit_learn() -> None:
    wine = load_wine()
    found = read(wine)
    np.testing.assert_array_equal(found.x["all"], wine.data)
    np.testing.assert_array_equal(found.labels["all"], wine.target)
    assert read(load_wine(as_frame=True)).column_names == tuple(wine.feature_names)


def test_a_run_of_a_frame_is_used_on_another(tmp_path: Path) -> None:
    frame = pd.concat([FRAME] * 5)
    vk.fit(vk.compose(frame, latent=2), data=frame, run=tmp_path / "run", epochs=1, progress=False)
    reordered = FRAME[["count", "size", "label", "sold", "colour"]].assign(more=1)
    found = vk.load(tmp_path / "run", data=reordered).data
    assert found is not None
    assert found.column_names == ("size", "colour", "sold", "count")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pd.DataFrame({"hue": np.linspace(0, 1, len(X)), "age": np.arange(len(X))}), ("hue", "age")),
        (pd.DataFrame({"hue": np.linspace(0, 1, len(X))}), ("hue",)),
        (pd.Series(np.linspace(0, 1, len(X)), name="hue"), ("hue",)),
        (pd.Series(np.linspace(0, 1, len(X))), ("factor 1",)),
        (pd.DataFrame({"colour": ["red", "blue"] * (len(X) // 2)}), ("blue", "red")),
        (pd.DataFrame({"class": [0, 1] * (len(X) // 2)}), ("0", "1")),
    ],
)
def test_factors_are_called_as_the_columns_of_a_frame(labels: Any, names: tuple[str, ...]) -> None:
    assert vk.data.open((X, labels)).label_names == names


def test_factors_that_only_the_run_or_only_other_data_names(tmp_path: Path) -> None:
    factors = np.stack([np.linspace(0, 1, len(X)), np.arange(len(X))], 1)
    named = pd.DataFrame(factors, columns=["hue", "age"])
    for own, other in ((factors, named), (named, factors)):
        folder = tmp_path / type(own).__name__
        data = vk.data.open((X, own), context=True)
        vk.fit(vk.compose(data, latent=2), data=data, run=folder, epochs=1, progress=False)
        assert len(vk.load(folder, data=(X, other)).score(samples=1)["rate"]) > 0


def test_masked_labels_are_missing() -> None:
    labels = np.ma.masked_less(np.arange(len(VECTORS)), 2)
    assert f"Labels are not used: 2 of {len(VECTORS)} rows" in vk.data.open((VECTORS, labels)).describe()


@pytest.mark.parametrize("form", [lambda x: x, lambda x: {"x": x}, list, lambda x: {"train": x}])
def test_masked_values_are_missing(form: Callable[[Any], Any]) -> None:
    masked = np.ma.masked_where([[False, True, False], *[[False] * 3] * 11], VECTORS)
    data = vk.data.open(form(masked), drop_missing=True, transforms=(), validation=0, test=0)
    np.testing.assert_array_equal(data.train.x, VECTORS[1:])
    np.testing.assert_array_equal(read(np.ma.asarray(VECTORS)).x["all"], VECTORS)


REFUSED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "rows of several shapes": ([np.ones(2), np.ones(3)], None, DataError, r"Row 1 of the list has shape \(3,\)"),
    "words": (["a", "b"], None, DataError, "type str"),
    "nothing": ([], None, DataError, "The list is empty"),
    "no rows to number": (Endless(), None, DataError, "`Endless` has no number of rows"),
    "a loader of such": (td.DataLoader(Endless()), None, DataError, "`Endless` has no number of rows"),
    "a generator": ((x for x in VECTORS), None, DataError, "`generator` has no number of rows"),
    "rows drawn by weight": (
        td.DataLoader(td.TensorDataset(X), sampler=td.WeightedRandomSampler([1.0] * 12, 12)),
        None,
        DataError,
        "chosen by a WeightedRandomSampler",
    ),
    "rows without names": (Pairs(lambda i: {"a": X[i]}), None, DataError, "has the entries a. Call the example x"),
    "splits without names": ({"a": (X, Y), "b": (X, Y)}, None, DataError, "The entries of the dict are a, b"),
    "no split for training": ({"val": (X, Y), "test": (X, Y)}, None, DataError, "Call them train"),
    "splits of splits": ({"train": {"train": X, "test": X}}, None, DataError, "train split has splits of its own"),
    "labels for splits": (({"train": X, "test": X}, Y), None, DataError, "has splits of its own"),
    "labels of several lengths": ((X, [[1], [1, 2]] * 6), None, DataError, "labels of the array differ in shape"),
    "a series": (FRAME["size"], None, DataError, "Series is no table"),
    "dates": (
        FRAME.assign(day=pd.Timestamp("2020")),
        None,
        DataError,
        r"'day' holds values of type timestamp.*ignore=\('day',\)",
    ),
    "a name twice": (pd.DataFrame(VECTORS, columns=["a", "a", "b"]), None, DataError, "no table"),
    "options of an array for a frame": (FRAME, ArrayFile(), ConfigError, "`DataFrame` is read with Table"),
    "options for vectors": (list(VECTORS), Decoding(), ConfigError, "takes none"),
    "a sparse array": (scipy.sparse.csr_array(VECTORS), None, DataError, r"csr_array is sparse.* Give its toarray\(\)"),
    "a sparse tensor": (torch.ones(9, 2).to_sparse(), None, DataError, r"sparse.* Give its to_dense\(\)"),
    "sparse tensors by name": ({"x": torch.ones(9, 2).to_sparse()}, None, DataError, r"sparse.* Give its to_dense\(\)"),
    "a number": (5, None, DataError, "`source` is of type int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(name: str) -> None:
    given, options, error, told = REFUSED[name]
    with pytest.raises(error, match=told):
        read(given, options)


def test_a_source_is_read_as_it_is() -> None:
    source = Source("mine", {"all": VECTORS})
    assert read(source) is source
    with pytest.raises(ConfigError, match="takes none"):
        read(source, Table())

"""Tables of every kind, on tiny files: the values, kinds, labels and names that come out are those that went in."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_data_sources import saved

import vaekit.data as vd
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Binary, Categorical, Count, Positive, Real

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

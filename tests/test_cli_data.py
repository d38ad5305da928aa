"""A user's own data on the command line: what is fitted as it is, and what is refused in one sentence."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from shell import SMALL, done, refusal, vaekit

import vaekit as vk

RNG = np.random.default_rng(0)
WORDS = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def _beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, and cache pictures there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pictures(folder: str, count: int = 12) -> None:
    """Make pictures of mixed sizes."""
    Path(folder).mkdir()
    for i in range(count):
        size = tuple(RNG.integers(9, 20, 2).tolist())
        Image.fromarray(RNG.integers(0, 255, (3, 3, 3), np.uint8)).resize(size).save(Path(folder, f"{i}.jpg"))


def table(name: str, *columns: list[Any]) -> None:
    """Write a table with named columns."""
    rows = [
        ",".join(f"c{i}" for i in range(len(columns))),
        *(",".join(map(str, row)) for row in zip(*columns, strict=True)),
    ]
    Path(name).write_text("\n".join(rows))


def parquet(name: str) -> None:
    """Write a Parquet table of numbers and a category."""
    import pyarrow as pa
    from pyarrow import parquet as format_

    format_.write_table(pa.table({"a": RNG.normal(size=40), "b": [WORDS[i % 3] for i in range(40)]}), name)


def class_folders(name: str) -> None:
    """Make a folder of class folders of pictures."""
    Path(name).mkdir()
    for kind in ("cats", "dogs"):
        pictures(f"{name}/{kind}", 10)


def truncated(name: str) -> None:
    """Make pictures of which one was cut short."""
    pictures(name)
    Path(name, "3.jpg").write_bytes(Path(name, "3.jpg").read_bytes()[:200])


FITS: dict[str, tuple[str, Callable[[], object]]] = {
    "pictures of mixed sizes": ("photos", lambda: pictures("photos")),
    "class folders": ("classes", lambda: class_folders("classes")),
    "a table with a category": (
        "t.csv",
        lambda: table("t.csv", [WORDS[i % 3] for i in range(40)], [i / 7 for i in range(40)]),
    ),
    "a Parquet table": ("t.parquet", lambda: parquet("t.parquet")),
    "arrays with labels": ("xy.npz", lambda: np.savez("xy.npz", X=RNG.random((40, 6)), y=np.arange(40) % 4)),
    "one value a row": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=50))),
    "three rows": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=(3, 4)))),
    "constants": ("x.npy", lambda: np.save("x.npy", np.full((40, 3), 7.0))),
    "huge values": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=(40, 3)) * 1e30)),
    "tiny values": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=(40, 3)) * 1e-30)),
    "large counts": ("x.npy", lambda: np.save("x.npy", RNG.poisson(5e6, (40, 3)))),
    "booleans": ("x.npy", lambda: np.save("x.npy", RNG.random((40, 3)) > 0.5)),
    "small colour images": ("x.npy", lambda: np.save("x.npy", RNG.integers(0, 255, (20, 9, 7, 3), np.uint8))),
}


@pytest.mark.parametrize("name", FITS)
def test_data_of_a_user_is_fitted(name: str) -> None:
    source, make = FITS[name]
    make()
    end = vaekit("fit", "--data", source, "--run=run", *SMALL)
    assert (end.code, "nats" in end.err) == (0, True), end.err
    assert vk.load("run").needs_data().name == Path(source).stem


UNFIT: dict[str, tuple[str, Callable[[], object], str]] = {
    "free text": (
        "t.csv",
        lambda: table("t.csv", [f"a remark, no. {i}".replace(",", ";") for i in range(40)], list(range(40))),
        "free text in c0: .*--data.options Table --data.options.ignore '\\[c0\\]'",
    ),
    "a missing number": (
        "x.npy",
        lambda: np.save("x.npy", np.where(np.eye(20) > 0, np.nan, 1.0)),
        "missing or infinite.*--data.drop_missing",
    ),
    "an empty folder": ("empty", lambda: Path("empty").mkdir(), "empty folder"),
    "a folder of nothing known": (
        "texts",
        lambda: (Path("texts").mkdir(), Path("texts/a.txt").touch()),
        "nothing that can be",
    ),
    "a missing path": ("absent", lambda: None, "There is no file, folder or data set `absent`"),
    "a truncated picture": ("cut", lambda: truncated("cut"), "cannot be decoded.*3.jpg"),
    "labels of another length": (
        "xy.npz",
        lambda: np.savez("xy.npz", X=RNG.random((40, 6)), y=np.arange(39) % 4),
        "`labels` have shape \\(39,\\)",
    ),
    "one row": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=(1, 4))), "1 rows, and 1 for validation, 1 for test"),
    "no row": ("x.npy", lambda: np.save("x.npy", np.zeros((0, 4))), "is empty"),
    "an empty file": ("x.npy", lambda: Path("x.npy").touch(), "No data left in file"),
    "an empty table": ("x.csv", lambda: Path("x.csv").touch(), "is empty"),
    "something pickled": ("x.npy", lambda: np.save("x.npy", np.array([{}], object), allow_pickle=True), "unpickled"),
    "words": ("x.npy", lambda: np.save("x.npy", np.array(["a", "b"])), "not numbers"),
    "values beyond squares": ("x.npy", lambda: np.save("x.npy", RNG.normal(size=(40, 3)) * 1e300), "NaN or infinite"),
    "another format": ("x.h5", lambda: Path("x.h5").touch(), "HDF5 is not read"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_data_that_cannot_be_fitted_is_refused(name: str) -> None:
    source, make, told = UNFIT[name]
    make()
    said = refusal("fit", "--data", source, "--run=runs/deep/run", *SMALL)
    assert re.search(told, said), said


def test_data_is_described_as_it_would_be_fitted() -> None:
    table("t.csv", [f"2026-01-{i:02}" for i in range(40)], [i / 7 for i in range(40)], [i % 4 for i in range(40)])
    assert "free text in c0" in refusal("data", "t.csv")
    options = ("--data.options=Table", "--data.options.ignore=[c0]", "--data.options.kinds={c2: categorical}")
    said = vaekit("data", "t.csv", *options, "--data.validation=0").out
    assert "36 rows to train on, 0 to validate" in said
    assert "Columns: real: c1; categorical: c2." in said
    assert "`size` of Decoding is 0" in refusal("data", "digits", "--data.options=Decoding", "--data.options.size=0")


@pytest.mark.parametrize("words", [["digits"], ["--data", "digits"], ["--data=digits"], ["--data.source=digits"]])
def test_data_is_named_as_for_a_fit(words: list[str]) -> None:
    assert done("data", *words).out.startswith("digits: 1,437 rows")


def test_columns_of_any_name_are_left_out_by_what_is_suggested() -> None:
    odd = ["income, €", "id", "it's", 'a "b"', "2020", "yes", "1e3", "a: b", "[f(g(x))]", "c #d", "- e", "f\\g"]
    with Path("t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["x", *odd], *([i / 7, *(f"word {i}" for _ in odd)] for i in range(40))])
    way = refusal("data", "t.csv").partition("Leave it out: ")[2]
    assert way.startswith('--data.options Table --data.options.ignore \'["income, €", id, ')
    assert "Vectors of 1" in done("data", "t.csv", *shlex.split(way.rstrip(".\n"))).out


@pytest.mark.parametrize(
    ("name", "said", "flags", "told"),
    [
        ("t.csv", "taken as labels; {} keeps it as data.", "Table --data.options.label ''", "Vectors of 2"),
        ("x.mat", "if its 9 columns are, open it with {}.", "ArrayFile --data.options.transpose true", "Vectors of 3"),
        ("x.npz", "Call it x, or name it: {}.", "ArrayFile --data.options.key NAME", "Vectors of 9"),
    ],
)
def test_what_python_is_told_is_suggested_as_flags(name: str, said: str, flags: str, told: str) -> None:
    values = RNG.normal(size=(3, 9))
    table("t.csv", list(values[0]), ["a", "b", "a"] * 3)
    Path("t.csv").write_text(Path("t.csv").read_text().replace("c1", "label"))
    savemat("x.mat", {"faces": values})
    np.savez("x.npz", a=values, b=values[1:])
    end = vaekit("data", name)
    assert said.format(f"--data.options {flags}") in end.out + end.err
    assert told in done("data", name, "--data.options", *shlex.split(flags.replace("NAME", "a"))).out


def test_a_transform_is_suggested_as_a_flag() -> None:
    words = ("fit", "digits", "--likelihood=Bernoulli", "--run=run", *SMALL)
    way = "--data.transforms '[{class_path: Binarize}]'"
    assert f"Binarise it ({way})" in refusal(*words)
    done(*words, *shlex.split(way))


def test_a_cross_entropy_is_suggested_as_a_flag() -> None:
    np.save("x.npy", RNG.random((40, 2)))
    words = ("fit", "--data=x.npy", "--likelihood=Bernoulli", "--run=run", *SMALL)
    way = "--likelihood.relaxed true"
    assert refusal(*words).endswith(f"not a likelihood with {way}.\n")
    done(*words, *way.split())


def test_what_a_command_has_no_flags_for_is_not_suggested() -> None:
    np.save("x.npy", RNG.normal(size=(40, 2)))
    done("fit", "--data=x.npy", "--data.drop_missing", "--run=run", *SMALL)
    np.savez("x.npz", a=np.ones((4, 2)), b=np.ones((3, 2)))
    table("t.csv", [f"word {i}" for i in range(40)])
    table("labels.csv", [1.5, 2.5, 0.5], [0.5, 2.5, 1.5], ["a", "b", "a"])
    Path("labels.csv").write_text(Path("labels.csv").read_text().replace("c2", "label"))
    assert refusal("score", "run", "--data=x.npz").endswith("b (3, 2). Call it x.\n")
    assert refusal("score", "run", "--data=t.csv").endswith("which is no category. Leave it out.\n")
    assert done("score", "run", "--data=labels.csv").err == "The column label was taken as labels.\n"


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_only_the_number_that_is_wrong_is_named(command: str) -> None:
    np.save("x.npy", RNG.normal(size=(40, 2)))
    done("fit", "--data=x.npy", "--run=run", *SMALL)
    assert (
        refusal(command, "run", "--samples=0")
        == f"vaekit {command}: `samples` is 0; it must be a whole number, at least 1.\n"
    )


def test_rows_that_are_left_out_are_spoken_of(tmp_path: Path) -> None:
    table("t.csv", ["" if i == 3 else i / 7 for i in range(40)], [i % 5 for i in range(40)])
    assert vaekit("fit", "--data=t.csv", "--data.drop_missing", "--run=run", *SMALL).code == 0
    end = vaekit("score", "run", "--data=t.csv")
    assert "1 of 40 rows has missing or infinite values" in end.err
    assert "39 rows" in end.out

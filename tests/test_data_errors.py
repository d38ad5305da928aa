"""What cannot be opened is refused in one sentence that names the thing, says what is wrong, and shows the way out."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_data_sources import GREY, VECTORS, amat, idx, saved, several, write_idx_folder

import vaekit.data as vd
from vaekit.errors import ConfigError, DataError, VaekitError
from vaekit.likelihoods.columns import Categorical

NAN = VECTORS.copy()
NAN[3, 1], NAN[5, 1], NAN[5, 2] = np.nan, np.inf, -np.inf
WORDS = "id,size\n" + "".join(f"word {i},{i}.5\n" for i in range(30))


def truncated(name: str, content: Any, keep: float = 0.6) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = saved(name, content)(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
        return path

    return write


def just(source: object) -> Callable[[Path], object]:
    return lambda folder: source


def missing_path(folder: Path) -> Path:
    (folder / "faces").mkdir()
    return folder / "face"


REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any], tuple[str, ...]]] = {
    "missing path": (missing_path, {}, ("There is no file", "Did you mean", "faces")),
    "misspelt name": (just("mnits"), {}, ("`mnits`", "Did you mean `mnist`?")),
    "CelebA without its folder": (just("celeba"), {}, ("CelebA is not downloaded", "folder")),
    "name of a public set": (just("cifar10"), {}, ("`hf:cifar10`",)),
    "owner and name of a public set": (just("zalando/fashion-mnist"), {}, ("`hf:zalando/fashion-mnist`",)),
    "unknown path": (just("no/such/file.npy"), {}, ("no/such/file.npy", ".csv", "digits")),
    "unknown type": (just(3), {}, ("of type int", "an array")),
    "unknown suffix": (saved("x.xyz", b"?"), {}, ("'.xyz'", "is not known", ".npy")),
    "pickle": (saved("x.pt", b"?"), {}, ("unpickled", "numpy.savez")),
    "HDF5": (saved("x.h5ad", b"?"), {}, ("HDF5", "numpy.savez")),
    "archive": (saved("x.zip", b"?"), {}, ("archive", "Unpack")),
    "one image": (saved("x.JPG", b"?"), {}, ("one image", "folder")),
    "empty folder": (just, {}, ("empty folder",)),
    "folder of something else": (several({"a.txt": "?"}), {}, ("nothing that can be opened", ".txt")),
    "folder of archives": (several({"a.txt": "?", "b.zip": "?"}), {}, ("Of `b.zip`: it is an archive. Unpack it",)),
    "folder of tables": (several({"b.csv": "x", "a.CSV": "x"}), {}, ("one at a time", "/a.CSV`.")),
    "no rows": (just(np.zeros((0, 3))), {}, ("is empty", "(0, 3)")),
    "no values": (just(np.zeros((3, 0))), {}, ("is empty", "(3, 0)")),
    "a number": (just(np.array(3.0)), {}, ("single number",)),
    "objects": (just(np.array([{}, 1], object)), {}, ("object", "not numbers")),
    "words": (just(np.array(["a", "b"])), {}, ("<U1", "table")),
    "complex": (just(np.ones(3, complex)), {}, ("complex128",)),
    "parts of different shapes": (
        just(vd.Source("s", {"train": VECTORS, "test": VECTORS[:, :2]})),
        {},
        ("differ in the shape",),
    ),
    "NaN in an array": (just(NAN), {}, ("2 of 12 rows", "2 elements: 1, 2", "drop_missing=True")),
    "NaN in a file": (saved("x.npy", NAN), {}, ("`x`", "2 of 12 rows", "drop_missing=True")),
    "nothing but NaN": (just(VECTORS * np.nan), {"drop_missing": True}, ("12 of 12", "leaves none")),
    "missing once in a table": (
        saved("t.csv", "a,b\n1,2\n,3\n"),
        {},
        ("1 of 2 rows has missing", "(in 1 column: a; row 1, counted from 0)"),
    ),
    "missing in a table": (
        saved("t.csv", "a,b\n1,x\n,y\n3,\n"),
        {},
        ("2 of 3 rows have missing", "(in 2 columns: a, b; rows 1, 2, counted from 0)", "drop_missing=True"),
    ),
    "labels of another length": (just((VECTORS, np.zeros(11))), {}, ("`labels`", "(11,)", "12 rows")),
    "labels of another length in a file": (saved("x.npz", {"X": VECTORS, "y": np.zeros(9)}), {}, ("(9,)", "12 rows")),
    "labels of three axes": (just((VECTORS, np.zeros((12, 2, 2)))), {}, ("(12, 2, 2)",)),
    "missing labels": (
        just((VECTORS, np.full(12, np.nan))),
        {"context": True},
        ("`labels` have no finite value", "12 of 12 rows"),
    ),
    "labels that are objects": (just((VECTORS, np.array([None] * 12))), {}, ("`labels` are of type object",)),
    "free text": (saved("t.csv", WORDS), {}, ("free text in id", "Table(ignore=('id',))")),
    "row of empty fields": (saved("t.csv", "a,b\n1,2\n,\n3,4\n"), {}, ("1 of 3 rows", "row 1, counted from 0")),
    "word among numbers": (
        saved("t.csv", "a\n" + "".join(f"{i}.5\n" for i in range(40)) + "unk\n"),
        {},
        ("The column 'a' of `", "holds numbers, and 'unk' among them", "Table(kinds={'a': 'categorical'})"),
    ),
    "numbers in groups": (saved("t.csv", 'a;b\n"1,234.5";x\n7;y\n'), {}, ("such as 1,234.5. Write 1234.5",)),
    "decimal commas": (
        saved("t.csv", "a;b\n0,5;x\n;y\n1;x\n"),
        {},
        ("The column 'a' of `", "numbers with commas, such as 0,5. Write 1234.5, as"),
    ),
    "column of data that is not there": (
        saved("t.csv", "a,b\n1,2\n"),
        {"options": vd.Table(columns=("b", "c"))},
        ("no column 'c'", "a, b"),
    ),
    "no columns left": (saved("t.csv", "a\n1\n"), {"options": vd.Table(ignore=("a",))}, ("no columns of data",)),
    "column that is not there": (saved("t.csv", "a,b\n1,2\n"), {"options": vd.Table(label="c")}, ("'c'", "a, b")),
    **{
        f"kind that does not fit: {kind} of {column}": (
            saved("t.csv", "a,b,w\n0,1.5,x\n3,-2,y\n0.25,7,z\n"),
            {"options": vd.Table(kinds={column: kind})},
            (f"'{column}'", "of `", "`kinds`", *told),
        )
        for column, kind, told in (
            ("b", "categorical", ("has 1.5, which is not a whole number",)),
            ("a", "count", ("the kind count", "has 0.25")),
            ("b", "binary", ("the kind binary", "from -2 to 7")),
            ("a", "positive", ("least value is 0",)),
            ("w", "binary", ("holds the words x, y, z",)),
            ("w", "real", ("the kind real", "holds the words x, y, z")),
        )
    },
    "kind of a column that is not there": (
        saved("t.csv", "a,b\n1,2\n"),
        {"options": vd.Table(ignore=("b",), kinds={"b": "real"})},
        ("no column of data 'b'", "are: a"),
    ),
    "columns named twice": (
        saved("t.csv", "a,b,a,,\n1,2,3,4,5\n"),
        {},
        ("names a column twice: 'a', ''. Give each its own name.",),
    ),
    "ragged table": (saved("t.csv", "a,b\n1,2\n3\n"), {}, ("Line 3", "1 fields", "first has 2")),
    "empty table": (saved("t.csv", ""), {}, ("is empty",)),
    "table of names only": (saved("t.csv", "a,b\n"), {}, ("is empty",)),
    **{
        f"table in {encoding}": (
            saved("t.csv", "größe,a\n1,2\n".encode(encoding)),
            {},
            ("comma-separated values: it is not UTF-8 text. Save it as UTF-8.",),
        )
        for encoding in ("cp1252", "utf-16")
    },
    "damaged Parquet": (truncated("t.parquet", {"a": [1.0, 2.0]}), {}, ("Parquet", "truncated")),
    "nested Parquet": (saved("t.parquet", {"a": [[1], [2, 3]]}), {}, ("'a'", "list", "ignore")),
    "truncated .npy": (truncated("x.npy", GREY), {}, ("x.npy", "truncated")),
    "truncated .npz": (truncated("x.npz", {"a": GREY}), {}, ("x.npz", "truncated")),
    "truncated .mat": (truncated("x.mat", {"a": VECTORS}), {}, ("x.mat", "truncated")),
    "pickled .npy": (saved("x.npy", np.array([{}], object)), {}, ("unpickled", "Save arrays of numbers")),
    "pickled .npz": (saved("x.npz", {"a": np.array([{}], object)}), {}, ("unpickled",)),
    "several arrays": (
        saved("x.npz", {"a": GREY, "b": VECTORS}),
        {},
        ("a (12, 5, 4), b (12, 3)", "ArrayFile(key=...)"),
    ),
    "array that is not there": (saved("x.npz", {"a": GREY}), {"options": vd.ArrayFile("b")}, ("'b'", "a (12, 5, 4)")),
    "labels that are not there": (
        saved("x.npz", {"a": GREY}),
        {"options": vd.ArrayFile("a", labels="b")},
        ("'b'", "are: a"),
    ),
    "file of labels that is not there": (
        saved("x.npy", GREY),
        {"options": vd.ArrayFile(labels="y.npy")},
        ("'y.npy'", "no such file"),
    ),
    "rows that do not fold": (saved("x.npy", GREY), {"options": vd.ArrayFile(shape=(3, 7))}, ("(3, 7)", "transpose")),
    "truncated IDX": (saved("x-idx3-ubyte", idx(GREY, 8)[:-5]), {}, ("251 bytes", "needs 256", "truncated")),
    "IDX cut in its header": (saved("x-idx3-ubyte", idx(GREY, 8)[:9]), {}, ("truncated", "header")),
    "truncated IDX, gzipped": (truncated("x-idx3-ubyte.gz", idx(GREY, 8)), {}, ("cannot be read as IDX",)),
    "no IDX": (saved("x-idx3-ubyte", b"ABCDEFGH"), {}, ("'41424344'",)),
    "IDX folder without training images": (
        several({"t10k-images-idx3-ubyte": idx(GREY, 8)}),
        {},
        ("no training images",),
    ),
    "IDX folder of two sets": (
        lambda folder: write_idx_folder(write_idx_folder(folder), prefix="emnist-"),
        {},
        ("several sets", "emnist-"),
    ),
    "ragged .amat": (saved("x.amat", amat(GREY[:, :1, :1]) + b"1 2\n"), {}, ("14 values in 13 lines",)),
    "words in .amat": (saved("x.amat", "a b\nc d\n"), {}, ("cannot be read as .amat",)),
    "truncated .amat": (truncated("x.amat.gz", amat(GREY)), {}, ("cannot be read as .amat",)),
    "a class": (just(vd.Rectangles), {}, ("of type type",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_opened_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    write, arguments, words = REFUSED[name]
    source = tmp_path if write is just else write(tmp_path)
    with pytest.raises(DataError) as raised:
        vd.open(source, **arguments)
    told = str(raised.value)
    assert "\n" not in told
    assert told.endswith((".", "?"))
    for word in words:
        assert word in told, told


OPTIONS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "array in memory": (just(GREY), vd.ArrayFile()),
    "digits": (just("digits"), vd.Table()),
    "rectangles": (just("rectangles"), vd.Decoding()),
    ".npy": (saved("x.npy", GREY), vd.Table()),
    ".csv": (saved("t.csv", "a\n1\n"), vd.ArrayFile()),
    "IDX folder": (write_idx_folder, vd.ArrayFile()),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_another_kind_are_refused(name: str, tmp_path: Path) -> None:
    write, options = OPTIONS[name]
    with pytest.raises(ConfigError, match=rf"`options` is {type(options).__name__}"):
        vd.open(write(tmp_path), options=options)


@pytest.mark.parametrize(
    "arguments", [{"smallest": 0}, {"smallest": 5, "largest": 4}, {"largest": 30}, {"count": 0}, {"size": 3}]
)
def test_impossible_rectangles_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="Rectangles"):
        vd.Rectangles(**arguments)


def test_unknown_kinds_of_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match="'age' is 'number'; a column is real, positive, binary, categorical, count"):
        vd.Table(kinds={"age": "number"})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"`columns` of Table has 'age', which `ignore` or `label` has too"):
        vd.Table(columns=("age",), label="age")


def test_words_that_are_all_numbers_are_a_category(tmp_path: Path) -> None:
    path = saved("t.parquet", {"zip": [str(10001 + i % 40) for i in range(200)], "v": [i / 7 for i in range(200)]})(
        tmp_path
    )
    assert vd.open(path).columns[0] == Categorical(40)


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ConfigError, match="train, validation, test"):
        next(vd.open(GREY).batches("dev", 3))


def test_a_damaged_gzip_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(GREY, 8))[:20] + b"garbage" * 9)
    with pytest.raises(VaekitError, match="IDX"):
        vd.open(path)

"""Data that a model was not fitted to: all of it is used, it is read as the run's own was, and what does not fit is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import paint, paint_celeba, paint_ten
from shell import done, fitted, refused

import vaekit as vk
from vaekit.data.source import Array

HEADER = ["size, in m", "colour", "sold", "count"]


def table(name: Path, colours: str, count: int, columns: list[str] = HEADER) -> Path:
    """Write a table of a number, two columns of words and a count; the colours take turns."""
    rng = np.random.default_rng(0)
    rows = [[f"{rng.normal():.3f}", colours.split()[i % len(colours.split())]] for i in range(count)]
    with name.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *([*row, ("no", "yes")[i // 2 % 2], i % 7] for i, row in enumerate(rows))])
    return name


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit small models to vectors, to a table, and to vectors of classes."""
    folder = tmp_path_factory.mktemp("home")
    vectors = np.random.default_rng(0).normal(3.0, 2.0, (60, 5))
    np.save(folder / "vectors.npy", vectors)
    np.savez(folder / "classes.npz", x=vectors, y=np.array(["red", "green", "blue"])[np.arange(60) % 3])
    for kind, source in (("vectors", "vectors.npy"), ("classes", "classes.npz")):
        fitted(folder / "runs" / kind, f"--data={folder / source}", *(["--data.context"] * (kind == "classes")))
    fitted(folder / "runs" / "table", f"--data={table(folder / 'table.csv', 'red green blue', 60)}")
    return folder


@pytest.fixture
def runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder beside the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home / "runs"


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_all_of_other_data_is_used(rows: int, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs" / "vectors", tmp_path / "run")
    np.save(tmp_path / "other.npy", np.load(home / "vectors.npy")[:rows])
    words = (tmp_path / "run", f"--data={tmp_path / 'other.npy'}")
    assert "; other, all rows\n" in done("evaluate", *words, "--samples=2").out
    told = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (told["data"], told["split"], told["examples"]) == ("other", ["all"], rows)
    for command in ("encode", "reconstruct"):
        done(command, *words, f"--out={tmp_path / 'other.csv'}")
        done(command, words[0], "--split=all", f"--out={tmp_path / 'own.csv'}")
        other, own = (np.loadtxt(tmp_path / name, delimiter=",", ndmin=2) for name in ("other.csv", "own.csv"))
        np.testing.assert_allclose(other, own[:rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("command", ["evaluate", "encode", "reconstruct"])
def test_other_data_is_cut_if_a_split_is_asked_for(command: str, home: Path, runs: Path) -> None:
    words = (command, runs / "vectors", f"--data={home / 'vectors.npy'}", "--split=validation")
    said = done(*words).out
    assert "split: validation" in said
    assert ("6 examples" if command == "evaluate" else "6 rows of shape") in said


def test_other_data_whose_parts_are_set_apart_keeps_them(home: Path, tmp_path: Path, runs: Path) -> None:
    (tmp_path / "parts").mkdir()
    for part, rows in (("train", 5), ("test", 3)):
        np.save(tmp_path / "parts" / f"{part}.npy", np.load(home / "vectors.npy")[:rows])
    for split, rows in (((), 8), (("--split=test",), 3)):
        said = done("encode", runs / "vectors", f"--data={tmp_path / 'parts'}", *split).out
        assert f"{rows} rows of shape (2,)" in said


@pytest.mark.parametrize("faces", [False, True])
def test_images_of_any_size_and_mode_become_the_models(faces: bool, tmp_path: Path, runs: Path) -> None:
    if faces:
        files = paint_celeba(tmp_path / "own", [0, 0, 1, 2]) / "img_align_celeba/img_align_celeba"
    else:
        files = paint_ten(tmp_path / "own")
        paint(files / "another.png", (21, 32))
    run = fitted(tmp_path / "run", f"--data={tmp_path / 'own'}", "--data.transforms=[]")
    shutil.copytree(files, tmp_path / "other", ignore=shutil.ignore_patterns("another.png"))
    codes = {}
    for name, words in {"own": ["--split=all"], "other": [f"--data={tmp_path / 'other'}"]}.items():
        done("encode", run, *words, f"--out={tmp_path / name}.npy")
        codes[name] = np.load(tmp_path / f"{name}.npy")
    np.testing.assert_allclose(codes["other"], codes["own"][: len(codes["other"])], rtol=1e-5, atol=1e-6)
    paint(tmp_path / "grey" / "0.png", (7, 9), "L")
    done("score", run, f"--data={tmp_path / 'grey'}", "--samples=1", f"--out={tmp_path / 'grey.csv'}")


def test_images_are_decoded_for_a_model_of_arrays(tmp_path: Path, runs: Path) -> None:
    np.save(tmp_path / "arrays.npy", np.random.default_rng(0).integers(0, 256, (40, 1, 6, 7), dtype=np.uint8))
    run = fitted(tmp_path / "run", f"--data={tmp_path / 'arrays.npy'}")
    paint_ten(tmp_path / "images")
    assert "10 rows of shape (1, 6, 7)" in done("reconstruct", run, f"--data={tmp_path / 'images'}").out


def test_words_keep_their_numbers(home: Path, runs: Path) -> None:
    lines = (home / "table.csv").read_text().splitlines()
    Path("some.csv").write_text("\n".join([lines[0], *(line for line in lines if "green" in line and "yes" in line)]))
    chosen = [i for i, line in enumerate(lines[1:]) if "green" in line and "yes" in line]
    done("encode", runs / "table", "--split=all", "--out=own.npy")
    done("encode", runs / "table", "--data=some.csv", "--out=some.npy")
    np.testing.assert_allclose(np.load("some.npy"), np.load("own.npy")[chosen], rtol=1e-5, atol=1e-6)


def test_figures_show_words(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.figures.shown", lambda picture: picture)
    (marginals,) = (i.picture for i in vk.load(runs / "table").illustrate() if i.name == "marginals")
    shown = {axes.get_title(): [tick.get_text() for tick in axes.get_xticklabels()] for axes in marginals.axes}
    assert shown["colour"] == ["blue", "green", "red"]
    assert shown["sold"] == ["no", "yes"]


@pytest.mark.parametrize("command", ["sample", "reconstruct"])
def test_words_come_out_as_words(command: str, runs: Path) -> None:
    done(command, runs / "table", "--out=new.csv")
    with Path("new.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    assert {row[1] for row in rows} <= {"red", "green", "blue"}
    assert {row[2] for row in rows} <= {"no", "yes"}
    if command == "sample":
        done("encode", runs / "table", "--data=new.csv")


@pytest.mark.parametrize(
    ("colours", "columns", "told"),
    [
        (
            "red pink",
            HEADER,
            "column 'colour' of other.csv holds pink; the data for training has only blue, green, red",
        ),
        (
            "7 8",
            HEADER,
            "column 'colour' of other.csv holds numbers, but that of the data for training blue, green, red",
        ),
        ("red", ["count", "size, in m", "sold", "colour"], "holds red; the data for training has only numbers"),
        (
            "red",
            ["size, in m", "colour", "sold", "stock"],
            "has no column 'count'. Its columns are: size, in m, colour, sold,",
        ),
    ],
)
def test_tables_that_do_not_suit_the_model(colours: str, columns: list[str], told: str, runs: Path) -> None:
    other = table(Path("other.csv"), colours, 6, columns)
    assert told in refused("evaluate", runs / "table", f"--data={other}").replace("`", "")


def test_columns_are_found_by_name(home: Path, runs: Path) -> None:
    with (home / "table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    with Path("other.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([[*header[::-1], "id"], *([*row[::-1], f"no {i}"] for i, row in enumerate(rows))])
    done("encode", runs / "table", "--split=all", "--out=own.npy")
    done("encode", runs / "table", "--data=other.csv", "--out=other.npy")
    np.testing.assert_allclose(np.load("other.npy"), np.load("own.npy"), rtol=1e-5, atol=1e-6)


def test_the_factor_of_a_table_has_no_name_in_arrays(tmp_path: Path, runs: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    Path("own.csv").write_text("a,b,target\n" + "".join(f"{i},{-i},{j}\n" for i, j in zip(x, y, strict=True)))
    run = fitted(tmp_path / "run", "--data=own.csv", "--data.context")
    np.savez("other.npz", x=np.stack([x, -x], 1), y=y)
    done("encode", run, "--split=all", "--out=own.npy")
    done("encode", run, "--data=other.npz", "--out=other.npy")
    np.testing.assert_allclose(np.load("other.npy"), np.load("own.npy"), rtol=1e-5, atol=1e-6)
    np.savez("other.npz", x=np.stack([x, -x], 1), y=np.stack([y, y], 1))
    said = refused("evaluate", run, "--data=other.npz")
    assert "labels of `other` are factor 1, factor 2; the model is conditional on target" in said


def test_some_of_the_models_classes_keep_their_numbers(home: Path, runs: Path) -> None:
    with np.load(home / "classes.npz") as own:
        chosen = np.flatnonzero(own["y"] == "green")[:4]
        np.savez("other.npz", x=own["x"][chosen], y=own["y"][chosen])
    done("encode", runs / "classes", "--split=all", "--out=own.npy")
    done("encode", runs / "classes", "--data=other.npz", "--out=other.npy")
    np.testing.assert_allclose(np.load("other.npy"), np.load("own.npy")[chosen], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("classes", "told"), [(["green", "pink"], "labels pink"), ([0.5, 1.25], "are numbers")])
def test_classes_that_the_model_does_not_know_are_refused(classes: list[Any], told: str, runs: Path) -> None:
    np.savez("other.npz", x=np.ones((4, 5)), y=np.array(classes * 2))
    said = refused("evaluate", runs / "classes", "--data=other.npz")
    assert told in said
    assert "the model is conditional on blue, green, red" in said


def test_rows_without_labels_are_refused_by_a_conditional_model(runs: Path) -> None:
    np.save("other.npy", np.ones((4, 5)))
    told = "`other` has no labels, and the model is conditional on blue, green, red. Give data with labels."
    assert told in refused("evaluate", runs / "classes", "--data=other.npy")


def test_labels_that_some_rows_lack_are_left_out(runs: Path) -> None:
    x = np.random.default_rng(1).normal(3.0, 2.0, (6, 5))
    np.savez("other.npz", x=x, y=np.array([0, 1, np.nan] * 2))
    done("score", runs / "vectors", "--data=other.npz", "--samples=1", "--out=scores.csv")
    assert len(Path("scores.csv").read_text().splitlines()) == 7
    data = vk.data.open("other.npz", validation=0, test=0)
    assert data.train.labels is None
    assert "Labels are not used: 2 of 6 rows without a label." in data.describe()


CHANGES: dict[str, Callable[[Array], Array]] = {
    "another order": lambda x: x[::-1],
    "a row less": lambda x: x[:-1],
    "other values": lambda x: x + 1,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_own_data_that_has_changed_is_refused_and_used_whole_as_other_data(
    change: Callable[[Array], Array], home: Path, runs: Path
) -> None:
    np.save("own.npy", np.load(home / "vectors.npy"))
    fitted(Path("run"), "--data=own.npy")
    done("evaluate", "run", "--samples=1")
    np.save("own.npy", change(np.load("own.npy")))
    assert "`own` is not what it was when the run was fitted" in refused("evaluate", "run")
    assert "`data` is not what the run in `run` was begun with" in refused("fit", "--resume=run", "--epochs=2")
    done("score", "run", "--data=own.npy", "--samples=1")


def test_scores_say_which_rows_they_are_of(runs: Path) -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (20, 5))
    x[[2, 7], 1] = np.nan
    np.save("gaps.npy", x)
    fitted(Path("run"), "--data=gaps.npy", "--data.drop_missing=true")
    own = next(vk.data.open("gaps.npy", drop_missing=True).batches("test", 9))[0]
    for words in ((), ("--split=all",), ("--split=train",)):
        said = done("score", "run", *words, "--samples=1")
        assert "rows 2, 7, counted from 0" in said.err
        with Path("scores.csv").open(newline="") as file:
            rows = [int(row["row"]) for row in csv.DictReader(file)]
        assert not {2, 7} & set(rows)
        assert rows == sorted(set(rows))
        assert len(rows) == {(): len(own), ("--split=all",): 18, ("--split=train",): 14}[words]
    paint_ten(Path("images"))
    fitted(Path("pictures"), "--data=images")
    done("score", "pictures", "--split=all", "--samples=1")
    with Path("scores.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"{i}.png" for i in range(10)]


@pytest.mark.parametrize("command", ["score", "evaluate", "encode"])
def test_a_value_that_cannot_be_scored_is_told_by_row_and_column(command: str, home: Path, runs: Path) -> None:
    with (home / "table.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    rows[18][HEADER.index("count")] = "-3"
    with Path("other.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    said = refused(command, runs / "table", "--data=other.csv")
    assert (
        "Row 17 of `other`, counted from 0, cannot be scored: 'count' is -3, and is to be count. Mend that row" in said
    )


def test_a_log_likelihood_in_units_of_the_data_is_the_same_for_data_on_another_scale(runs: Path) -> None:
    x, found = np.random.default_rng(0).normal(0.0, 1.0, (60, 3)), []
    for factor in (1.0, 1000.0):
        np.save("x.npy", factor * x)
        shutil.rmtree("run", ignore_errors=True)
        fitted(Path("run"), "--data=x.npy")
        told = json.loads(done("evaluate", "run", "--samples=4", "--json").out)
        assert told["log_likelihood_in_units"] == told["log_likelihood"] - told["units_offset"]
        found.append(told["log_likelihood_in_units"])
        assert "in units of the data" in done("evaluate", "run", "--samples=4").out
    assert found[0] - found[1] == pytest.approx(3 * np.log(1000), abs=1e-4)


def test_labels_that_a_conditional_model_is_given_must_stay_what_they_were(home: Path, runs: Path) -> None:
    with np.load(home / "classes.npz") as own:
        x, y = own["x"], own["y"]
    np.savez("own.npz", x=x, y=y)
    for context in (True, False):
        fitted(Path(f"run-{context}"), "--data=own.npz", *(["--data.context"] * context))
    np.savez("own.npz", x=x, y=np.roll(y, 1))
    assert "`own` is not what it was" in refused("evaluate", "run-True")
    done("evaluate", "run-False", "--samples=1")


def test_other_rows_without_a_label_are_left_out_where_the_runs_own_were(home: Path, runs: Path) -> None:
    lines = ["a,b,label", *(f"{i}.5,{-i}.25,{'xyz'[i % 3]}" for i in range(60))]
    Path("own.csv").write_text("\n".join(lines))
    fitted(Path("run"), "--data=own.csv", "--data.context", "--data.drop_missing=true")
    Path("other.csv").write_text("\n".join(["a,b,label", "1.5,2,x", "2.5,3,", "3.5,1,z"]))
    assert "2 rows of shape" in done("encode", "run", "--data=other.csv").out

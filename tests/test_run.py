"""A run's folder at work: judged, used, resumed, damaged, and with its data elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shell import done, fitted, flags_of, refused, same_weights, vaekit
from tiny import QUIET, tiny_data, tiny_model

import vaekit as vk
from vaekit.training.recorder import read_table

ROWS = 60
KEYS = {
    "elbo",
    "rate",
    "distortion",
    "log_likelihood",
    "standard_error",
    "samples",
    "bits_per_dim",
    "active_units",
    "relaxed",
    "unit",
}
WITH_ERRORS = {"elbo", "rate", "distortion", "log_likelihood", "bits_per_dim"}
KINDS: dict[str, tuple[str, ...]] = {
    "vectors": ("--data=vectors.npy",),
    "table": ("--data=table.csv",),
    "images": ("--data=images.npy", "--likelihood=Bernoulli"),
    "classes": ("--data=classes.npz", "--data.context", "--likelihood=Bernoulli"),
    "factors": ("--data=factors.npz", "--data.context"),
    "levels": ("--data=levels.npy", "--likelihood=Normal"),
}


def make_data(folder: Path) -> None:
    """Write data of every kind."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(3.0, 2.0, (ROWS, 5))
    images = (rng.random((ROWS, 6, 5)) > 0.5).astype(np.uint8)
    words = np.array(["red", "green", "blue"])[rng.integers(0, 3, ROWS)]
    table = [
        f"{x:.3f},{word},{count}" for x, word, count in zip(vectors[:, 0], words, rng.poisson(4, ROWS), strict=True)
    ]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "images.npy", images)
    np.save(folder / "levels.npy", rng.integers(0, 40, (ROWS, 4)))
    np.savez(folder / "classes.npz", x=images, y=words)
    np.savez(folder / "factors.npz", x=vectors, y=rng.normal(size=(ROWS, 2)))
    (folder / "table.csv").write_text('"size, in m",colour,count\n' + "\n".join(table) + "\n")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit a small model to data of every kind."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_data(folder)
        for kind, flags in KINDS.items():
            fitted(folder / "runs" / kind, *flags)
    return folder


@pytest.fixture
def runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder beside the runs."""
    monkeypatch.chdir(tmp_path)
    return home / "runs"


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_all_that_evaluate_prints(kind: str, runs: Path) -> None:
    end = done("evaluate", runs / kind, "--samples=3", "--json")
    told = json.loads(end.out)
    assert (end.err, told.keys() >= KEYS, told["standard_error"].keys()) == ("", True, WITH_ERRORS)
    assert (told["samples"], told["split"], told["examples"]) == (3, ["test"], 6)
    assert told["elbo"] == pytest.approx(-told["rate"] - told["distortion"], rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "examples"), [((), 6), (("--split=train",), 48), (("--split=validation",), 6), (("--split=all",), 60)]
)
def test_any_split_is_judged(flags: tuple[str, ...], examples: int, runs: Path) -> None:
    assert json.loads(done("evaluate", runs / "vectors", "--samples=2", "--json", *flags).out)["examples"] == examples


def test_evaluate_speaks_to_people(runs: Path) -> None:
    end = done("evaluate", runs / "vectors", "--samples=2", "--checkpoint=last")
    assert end.out.startswith(f"{runs / 'vectors'}, weights: last; vectors, split: test\n")
    assert all(word in end.out for word in ("ELBO", "distortion", "rate", "active units", "nats"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--split=holdout"], "it must be train, validation, test, or all"),
        (["--samples=0"], "`samples` is 0"),
        (["--checkpoint=other"], "There is no checkpoint"),
        (["--checkpoint=../../secret"], "name a file of"),
        (["--data=absent.npy"], "There is no file, folder or data set `absent.npy`"),
    ],
)
def test_what_evaluate_refuses(flags: list[str], told: str, runs: Path) -> None:
    assert told in refused("evaluate", runs / "vectors", *flags)


def test_a_run_is_printed_in_one_line(runs: Path) -> None:
    kept = vk.load(runs / "vectors", checkpoint="last")
    closed = vk.load(runs / "vectors", reopen=False)
    shown = vk.fit(tiny_model(), data=tiny_data(), epochs=2, **QUIET)
    assert repr(kept) == f"Run({str(runs / 'vectors')!r}, data='vectors', step=3)"
    assert repr(closed) == f"Run({str(runs / 'vectors')!r}, data=None, step=3)"
    assert re.fullmatch(r"Run\(not kept, data='\w+', epochs=2, step=8\)", repr(shown))


@pytest.mark.parametrize("name", ["best-epoch0001", "best-epoch0001.safetensors"])
def test_a_checkpoint_is_named_as_it_is_printed(name: str, runs: Path) -> None:
    told = json.loads(done("evaluate", runs / "vectors", "--samples=2", "--json", f"--checkpoint={name}").out)
    assert told["checkpoint"] == "best-epoch0001"


def test_report_writes_figures_and_a_page(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs" / "images", tmp_path / "run")
    end = done("report", tmp_path / "run", "--samples=2", "--limit=20")
    written = [Path(line.removeprefix("wrote ")) for line in end.out.splitlines()]
    assert written[-1] == tmp_path / "run" / "report.html"
    assert all(path.stat().st_size for path in written)
    assert "`--limit` is 0" in refused("report", tmp_path / "run", "--limit=0")


def judgement(run: Path) -> dict[str, Any]:
    """Read what is kept of the newest judgement."""
    told: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return {name: told[name] for name in ("checkpoint", "step", "data", "split", "examples")}


def test_a_judgement_says_what_it_is_of(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs" / "vectors", tmp_path / "run")
    run = vk.load(tmp_path / "run")
    run.evaluate("all", samples=2)
    of = {"checkpoint": "best-epoch0001", "step": 3, "data": "vectors", "split": ["all"], "examples": ROWS}
    assert judgement(tmp_path / "run") == of
    assert "all, 60 examples" in run.report(limit=5).read_text()


def test_a_report_is_of_the_weights_that_there_are(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs" / "vectors", tmp_path / "run")
    run = vk.load(tmp_path / "run")
    pages = [run.report(samples=2, limit=5).read_text() for _ in range(2)]
    vk.fit(run.model, data=run.needs_data(), run=tmp_path / "run", resume=True, epochs=2, progress=False)
    pages.append(run.report(samples=2, limit=5).read_text())
    told = [re.findall(r"weights: (.*); figures", page)[0] for page in pages]
    assert told == ["best-epoch0001", "best-epoch0001", "step 4"]
    pictures = [re.findall(r"base64,([^\"]*)", page) for page in pages]
    assert pictures[0] == pictures[1] != pictures[2]
    assert judgement(tmp_path / "run")["step"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_of_rows_average_to_the_judgement(kind: str, runs: Path) -> None:
    done("score", runs / kind, "--samples=300")
    judged = json.loads(done("evaluate", runs / kind, "--samples=300", "--json").out)
    scores = np.genfromtxt("scores.csv", delimiter=",", names=True)
    assert len(scores) == judged["examples"] == 6
    for name in ("log_likelihood", "distortion", "rate"):
        assert scores[name].mean() == pytest.approx(judged[name], rel=1e-4), name


def test_scores_of_a_relaxed_likelihood_are_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("grey.npy", np.random.default_rng(0).random((ROWS, 6, 5), np.float32))
    run = fitted(Path("run"), "--data=grey.npy", "--likelihood=Bernoulli", "--likelihood.relaxed=true")
    done("score", run, "--samples=2")
    header = Path("scores.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "row,relaxed_log_likelihood,relaxed_distortion,rate"
    assert "(relaxed)" in done("evaluate", run, "--samples=2").out
    captions = {i.name: i.caption for i in vk.load(run).illustrate()}
    assert {name for name, caption in captions.items() if "not likelihoods" in caption} == {"curves", "bounds"}


def test_unusual_rows_score_low_in_the_order_of_the_source(home: Path, runs: Path) -> None:
    vectors = np.load(home / "vectors.npy")[:10]
    vectors[3] += 40
    np.save("other.npy", vectors)
    done("score", runs / "vectors", "--data=other.npy", "--out=scores.npy")
    scores = np.load("scores.npy")
    assert (scores.shape, scores[:, 0].argmin()) == ((10, 3), 3)
    assert "`samples` is 0" in refused("score", runs / "vectors", "--samples=0")


LABELS = {"classes": ("--label=green",), "factors": ("--label=0.5,-1",)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".npy", ".csv", ".png"])
def test_samples_go_into_every_format_that_holds_them(kind: str, suffix: str, runs: Path) -> None:
    images = kind in ("images", "classes")
    words = ("sample", runs / kind, "--count=7", f"--out=new{suffix}", *LABELS.get(kind, ()))
    if suffix != ".npy" and images != (suffix == ".png"):
        assert "go into .npy" in refused(*words)
    else:
        done(*words)
        assert Path(f"new{suffix}").stat().st_size


@pytest.mark.parametrize(("kind", "name"), [("images", "samples.png"), ("vectors", "samples.csv")])
def test_samples_have_a_file_of_their_own(kind: str, name: str, runs: Path) -> None:
    done("sample", runs / kind)
    assert Path(name).exists()


def test_samples_depend_on_the_seed_alone(runs: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done("sample", runs / "vectors", f"--out={name}.npy", f"--seed={seed}", "--count=300")
    a, b, c = (np.load(f"{name}.npy") for name in "abc")
    assert (a.shape, np.array_equal(a, b), np.array_equal(a, c)) == ((300, 5), True, False)


def test_a_sampled_table_opens_as_the_data_did(runs: Path) -> None:
    done("sample", runs / "table", "--out=new.csv", "--count=50")
    original, new = (vk.load(runs / "table", data=source).needs_data() for source in (None, "new.csv"))
    assert new.column_names == original.column_names == ("size, in m", "colour", "count")


@pytest.mark.parametrize(
    ("kind", "label", "told"),
    [
        (
            "classes",
            None,
            "The model is conditional, and `label` is not given. Give one of its classes: blue, green, red.",
        ),
        ("classes", "gren", "did you mean `green`?"),
        ("classes", "3", "blue, green, red"),
        ("factors", None, "2 numbers: factor 1, factor 2. Give them in this order, with commas between them"),
        ("factors", "nan,1", "conditional on 2 numbers"),
        ("factors", "1", "conditional on 2 numbers"),
        ("factors", "much,more", "conditional on 2 numbers"),
        ("vectors", "green", "the model is not conditional"),
    ],
)
@pytest.mark.parametrize("command", ["sample", "decode"])
def test_labels_that_do_not_suit_the_model(command: str, kind: str, label: str | None, told: str, runs: Path) -> None:
    np.save("codes.npy", np.zeros((3, 2)))
    codes = ["codes.npy"] if command == "decode" else []
    assert told in refused(command, runs / kind, *codes, *([] if label is None else [f"--label={label}"]))


def test_a_class_is_named_or_numbered(runs: Path) -> None:
    for label in ("green", "1", "red"):
        done("sample", runs / "classes", f"--label={label}", f"--out={label}.npy", "--count=5")
    green, number, red = (np.load(f"{label}.npy") for label in ("green", "1", "red"))
    assert np.array_equal(green, number)
    assert not np.array_equal(green, red)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LABELS])
def test_decoding_codes_is_reconstructing(kind: str, runs: Path) -> None:
    for name in ("codes.csv", "codes.npy"):
        done("encode", runs / kind, "--split=all", f"--out={name}")
        done("decode", runs / kind, name, f"--out={name}.npy")
    done("reconstruct", runs / kind, "--split=all", "--out=whole.npy")
    whole = np.load("whole.npy")
    assert np.array_equal(np.load("codes.npy.npy"), whole)
    np.testing.assert_allclose(np.load("codes.csv.npy"), whole, rtol=1e-4, atol=1e-5)


def test_all_rows_are_in_the_order_of_the_source(home: Path, runs: Path) -> None:
    done("encode", runs / "images", "--split=all", "--out=codes.npy")
    model = vk.load(runs / "images").model
    x = torch.from_numpy(np.load(home / "images.npy")).float()[:, None]
    np.testing.assert_allclose(np.load("codes.npy"), model.encode(x).numpy(), rtol=1e-5, atol=1e-6)


def test_rows_of_a_split_are_in_its_order(runs: Path) -> None:
    done("encode", runs / "vectors", "--split=validation", "--out=codes.npy")
    run = vk.load(runs / "vectors")
    ((x,),) = run.needs_data().batches("validation", 100)
    np.testing.assert_allclose(np.load("codes.npy"), run.model.encode(x).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "low", "high"), [("vectors", 2.0, 4.0), ("levels", 15.0, 24.0)])
def test_what_comes_out_is_in_the_units_of_the_data(kind: str, low: float, high: float, runs: Path) -> None:
    done("reconstruct", runs / kind, "--split=all", "--out=r.npy")
    done("sample", runs / kind, "--count=400", "--out=s.npy")
    assert all(low < np.load(name).mean() < high for name in ("r.npy", "s.npy"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((3, 5)), "rows of 2 latents"),
        (np.zeros((0, 2)), "rows of 2 latents"),
        (np.full((3, 2), np.nan), "NaN or infinite"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.zeros(2), "rows of 2 latents"),
    ],
)
def test_codes_that_are_none(content: np.ndarray[Any, Any], told: str, runs: Path) -> None:
    np.save("codes.npy", content)
    assert told in refused("decode", runs / "vectors", "codes.npy")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "1,2\n3\n"])
def test_tables_of_codes_that_are_none(text: str, runs: Path) -> None:
    Path("codes.csv").write_text(text)
    assert "codes.csv` holds no codes" in refused("decode", runs / "vectors", "codes.csv")


def test_files_that_cannot_be_written(runs: Path) -> None:
    Path("file").touch()
    assert "could not be written" in refused("sample", runs / "vectors", "--out=file/new.npy")
    for command, kind, name in (("reconstruct", "vectors", "new.png"), ("decode", "images", "new.csv")):
        codes = ["no-codes.npy"] if command == "decode" else []
        assert "images also into .png" in refused(command, runs / kind, *codes, f"--out={name}")
    assert "at least 1 is drawn" in refused("sample", runs / "vectors", "--count=0")


def test_a_run_is_used_without_its_data_and_judged_where_it_moved(home: Path, tmp_path: Path) -> None:
    make_data(tmp_path)
    run = fitted(tmp_path / "run", f"--data={tmp_path / 'vectors.npy'}")
    before = done("evaluate", run, "--json", "--samples=2").out
    (tmp_path / "vectors.npy").rename(tmp_path / "moved.npy")
    done("sample", run, f"--out={tmp_path / 'new.csv'}")
    assert "There is no file" in refused("evaluate", run)
    after = done("evaluate", run, "--json", "--samples=2", f"--data={tmp_path / 'moved.npy'}", "--split=test").out
    assert {**json.loads(after), "data": "vectors"} == json.loads(before)


def test_data_of_another_shape_is_refused(home: Path, runs: Path) -> None:
    said = refused("evaluate", runs / "vectors", f"--data={home}/levels.npy")
    assert "The events of `levels` have shape (4,), but the model's have (5,)" in said


NEEDED = {
    "model.yaml": (2, 2, 2),
    "config.yaml": (0, 0, 2),
    "metrics.csv": (0, 0, 0),
    "rates.csv": (0, 0, 0),
    "checkpoints/last.safetensors": (2, 2, 2),
    "checkpoints/best-epoch0001.safetensors": (2, 2, 0),
}


@pytest.mark.parametrize("how", ["gone", "empty", "junk", "half"])
@pytest.mark.parametrize("name", NEEDED)
def test_a_damaged_run_is_refused_by_what_needs_the_file(name: str, how: str, home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "runs" / "vectors", run)
    path = run / name
    content = {"empty": b"", "junk": b"\0\xff{[junk: :", "half": path.read_bytes()[: path.stat().st_size // 2]}
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[how])
    commands = [
        ("evaluate", run, "--samples=2"),
        ("sample", run, f"--out={run}/new.csv"),
        ("fit", "--resume", run, "--epochs=2"),
    ]
    ends = [vaekit(*words) for words in commands]
    assert tuple(end.code for end in ends) == NEEDED[name], ends
    for end in ends:
        assert end.code == 0 or (end.err.count("\n"), str(run) in end.err) == (1, True), end.err


@pytest.mark.parametrize("name", ["metrics.csv", "rates.csv"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_table_that_was_cut_goes_on_with_rows_of_its_own(name: str, kept: float, home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "runs" / "vectors", run)
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: int(kept * len(whole))])
    done("fit", "--resume", run, "--epochs=2")
    assert read_table(run / name)["train"]["epoch"][-1] == 2
    assert b"\0" not in (run / name).read_bytes()


@pytest.mark.parametrize("kind", ["vectors", "classes"])
def test_resuming_in_another_folder_is_going_on(
    kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home / "runs" / kind, tmp_path / "halves")
    monkeypatch.chdir(home)
    fitted(tmp_path / "whole", *KINDS[kind], "--epochs=3")
    monkeypatch.chdir(tmp_path)
    done("fit", "--resume", "halves", "--epochs=3")
    assert same_weights(tmp_path / "whole", tmp_path / "halves")
    assert (tmp_path / "whole/metrics.csv").read_text() == (tmp_path / "halves/metrics.csv").read_text()
    assert flags_of(tmp_path / "whole") == flags_of(tmp_path / "halves")

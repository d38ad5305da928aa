"""What a run does from Python is what its commands do; and which rows a split stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shell import done, refused
from test_metrics import Flowing
from tiny import LATENT, QUIET, WIDTH, fitted, tiny_data, tiny_model

import vaekit as vk
from vaekit.errors import ConfigError, RunError

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"size": RNG.normal(3, 2, 40), "colour": RNG.choice(["red", "blue", "green"], 40)})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> vk.Run:
    """A run on a table of its own file."""
    folder = tmp_path_factory.mktemp("table")
    TABLE.to_csv(folder / "table.csv", index=False)
    data = vk.data.open(folder / "table.csv")
    return vk.fit(vk.compose(data, latent=2), data=data, run=folder / "run", epochs=1, **QUIET)


def test_rows_are_scored_as_by_the_command(table: vk.Run, tmp_path: Path) -> None:
    done("score", table.folder, "--samples=7", "--out", tmp_path / "scores.csv")
    scored = pd.DataFrame(table.score(samples=7))
    pd.testing.assert_frame_equal(scored, pd.read_csv(tmp_path / "scores.csv"), check_dtype=False, rtol=1e-5)


USES: dict[str, Any] = {
    "encode": lambda run, codes: run.encode(),
    "reconstruct": lambda run, codes: run.reconstruct(),
    "decode": lambda run, codes: run.decode(codes),
    "sample": lambda run, codes: run.sample(9, seed=3),
}


@pytest.mark.parametrize("name", USES)
def test_a_run_is_used_as_by_the_command(name: str, table: vk.Run, tmp_path: Path) -> None:
    codes, out = table.encode().numpy(), tmp_path / "out.npy"
    np.save(tmp_path / "codes.npy", codes)
    flags = {"decode": [tmp_path / "codes.npy"], "sample": ["--count=9", "--seed=3"]}.get(name, [])
    done(name, table.folder, *flags, "--out", out)
    np.testing.assert_allclose(USES[name](table, codes).numpy(), np.load(out), rtol=1e-5)


@pytest.mark.parametrize("name", ["encode", "reconstruct"])
def test_codes_are_drawn_where_they_are_asked_for_and_where_they_have_no_mean(
    name: str, table: vk.Run, tmp_path: Path
) -> None:
    use, out, words = getattr(table, name), tmp_path / "out.npy", (name, table.folder, "--out", tmp_path / "out.npy")
    done(*words, "--sample", "--seed=5")
    np.testing.assert_allclose(use(sample=True, seed=5).numpy(), np.load(out), rtol=1e-5)
    assert not torch.equal(table.encode(sample=True, seed=5), table.encode(sample=True))
    assert not torch.equal(table.encode(sample=True), table.encode())
    flow = Flowing(vk.networks.MLP(64, 5, LATENT))
    parts = {"likelihood": vk.likelihoods.Bernoulli(vk.networks.MLP(LATENT, 5, 64), (1, 8, 8), relaxed=True)}
    vk.fit(tiny_model(posterior=flow, **parts), data="digits", run=tmp_path / "flow", epochs=1, **QUIET)
    assert "Draw a code: --sample." in refused(name, tmp_path / "flow", "--out", out)
    done(name, tmp_path / "flow", "--out", out, "--sample")


def test_a_picture_of_reconstructions_shows_draws_where_they_are_asked_for(tmp_path: Path) -> None:
    vk.fit(vk.compose("digits", latent=2), data="digits", run=tmp_path / "run", epochs=1, **QUIET)
    found = []
    for flags in ([], ["--sample"], ["--sample", "--seed=1"], ["--sample"]):
        done("reconstruct", tmp_path / "run", "--out", tmp_path / "pairs.png", *flags)
        found.append((tmp_path / "pairs.png").read_bytes())
    assert (len(set(found)), found[1]) == (3, found[3])


def test_a_run_without_a_folder_is_used_as_one_with(tmp_path: Path) -> None:
    kept, not_kept = (
        vk.fit(vk.compose(TABLE, latent=2), data=TABLE, run=folder, epochs=1, **QUIET)
        for folder in (tmp_path / "run", None)
    )
    not_kept.model.load_state_dict(kept.model.state_dict())
    assert kept.reconstruct().shape == (4, 2)
    assert torch.equal(kept.reconstruct(), not_kept.reconstruct())
    assert torch.equal(kept.sample(5), not_kept.sample(5))
    assert set(kept.reconstruct()[:, 1].tolist()) <= {0.0, 1.0, 2.0}


def test_a_conditional_run_draws_by_a_label() -> None:
    data = vk.data.open((TABLE[["size"]], TABLE.colour), context=True)
    run = vk.fit(vk.compose(data, latent=2), data=data, epochs=1, **QUIET)
    assert run.sample(3, label="red").shape == (3, 1)
    with pytest.raises(ConfigError, match="Give one of its classes: blue, green, red"):
        run.sample(3)


def test_only_the_rows_of_the_fit_are_held_out_again(tmp_path: Path) -> None:
    fitted_to = vk.fit(vk.compose(TABLE, latent=2), data=TABLE, run=tmp_path / "run", epochs=1, **QUIET).needs_data()
    again, other = (vk.load(tmp_path / "run", data=rows).needs_data() for rows in (TABLE, TABLE[::-1]))
    assert again.split("test").numbers.tolist() == fitted_to.split("test").numbers.tolist() != []
    assert [len(other.split(part)) for part in ("train", "validation", "test")] == [40, 0, 0]
    cut = vk.load(tmp_path / "run", data=TABLE[::-1], hold_out=True).needs_data()
    assert [len(cut.split(part)) for part in ("train", "validation", "test")] == [32, 4, 4]


def test_data_in_memory_is_needed_again(tmp_path: Path) -> None:
    vk.fit(tiny_model(), data=tiny_data(), run=tmp_path / "run", epochs=1, **QUIET)
    run = vk.load(tmp_path / "run")
    assert run.sample(3).shape == (3, WIDTH)
    with pytest.raises(RunError, match="only in memory"):
        run.encode()


@pytest.mark.parametrize(
    ("validation", "test", "asked", "names"),
    [
        (0.2, 0.2, None, ["test"]),
        (0.2, 0, None, ["validation"]),
        (0, 0, None, ["train"]),
        (0, 0.2, "all", ["train", "test"]),
        (0, 0, "train", ["train"]),
    ],
)
def test_the_splits_that_are_meant(validation: float, test: float, asked: str | None, names: list[str]) -> None:
    assert vk.data.open(np.ones((10, 2)), validation=validation, test=test).parts(asked) == names


@pytest.mark.parametrize(("asked", "why"), [("test", "which has no rows"), ("tests", "which is no split")])
def test_a_split_without_rows_is_refused_not_replaced(asked: str, why: str) -> None:
    data = vk.data.open(RNG.normal(size=(10, WIDTH)), validation=0, test=0)
    run = vk.fit(vk.compose(data, latent=2), data=data, epochs=1, **QUIET)
    for use in (run.evaluate, run.encode, run.score):
        with pytest.raises(ConfigError, match=f"`split` is '{asked}', {why}. Name another: train, or all"):
            use(asked)


def test_the_newest_judgement_is_read_again(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 1)
    evaluation = run.evaluate(samples=9)
    loaded = vk.load(tmp_path / "run", data=tiny_data())
    assert loaded.evaluation == evaluation
    assert loaded.judged == run.judged


def test_a_report_keeps_the_better_judgement(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 1)
    run.evaluate(samples=9)
    for samples, kept in ((None, 9), (2, 9), (11, 11)):
        run.report(samples=samples, limit=4)
        assert run.evaluation is not None
        assert run.evaluation.samples == kept


def test_the_seed_of_a_judgement_leaves_the_noise_of_the_data() -> None:
    data = vk.data.open(np.full((40, 6), 128, np.uint8), transforms=[vk.data.Binarize()])
    posterior = vk.posteriors.Delta(vk.networks.MLP(6, 2))
    model = vk.VAE(vk.priors.StandardNormal(2), posterior, vk.likelihoods.Bernoulli(vk.networks.MLP(2, 6), 6))
    run = vk.Run(model, vk.objectives.ELBO(), data, None)
    assert run.evaluate(seed=0).distortion == run.evaluate(seed=1).distortion

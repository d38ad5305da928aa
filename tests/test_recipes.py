"""The recipes: listed, shown whole, of the sizes and numbers of their sources, and with every output that these ask for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from catalogue_recipes import RECIPES
from pictures import paint_celeba, paint_ten
from PIL import Image
from shell import Outcome, vaekit
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_data_sources import idx
from torch import nn

import vaekit as vk
from vaekit import recipes
from vaekit.commands.flags import parse_fit
from vaekit.composition import Composition
from vaekit.evaluation.scorer import is_normalised

ACTIVATIONS = {"mnist-bernoulli": nn.Softplus, "manifold": nn.Tanh}
by_recipe = pytest.mark.parametrize("name", RECIPES)
perceptrons = pytest.mark.parametrize("name", [name for name, expected in RECIPES.items() if expected.encoder])


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep little data by the names that the recipes use: 48 and 12 images as MNIST, and twelve faces as CelebA."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAEKIT_DATA", str(folder / "data"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("COLUMNS", "400")
        patch.chdir(folder)
        write_mnist(folder / "data" / "mnist")
        paint_celeba(folder / "data" / "celeba", [0] * 6 + [1] * 3 + [2] * 3)
        yield folder


def write_mnist(folder: Path) -> None:
    """Write images of the shape of MNIST's, two for each digit at least, in its format."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, rows in (("train", 48), ("t10k", 12)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (rows, 28, 28), np.uint8), 8))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(rows) % 10).astype(np.uint8), 8))


class Done(NamedTuple):
    """A recipe that was run on little data: its folder, and what it printed."""

    folder: Path
    end: Outcome


@pytest.fixture(scope="module")
def ran(home: Path) -> Callable[[str], Done]:
    """Run a recipe on little data, once."""

    @cache
    def run(name: str) -> Done:
        flags = ("--epochs=1", "--samples=1", "--figure_examples=12", *RECIPES[name].small)
        end = vaekit("fit", name, *flags, f"--run={home / name}")
        assert end.code == 0, end.err
        return Done(home / name, end)

    return run


def printed(*words: object) -> dict[str, Any]:
    """Return the flags that a command would use."""
    flags: dict[str, Any] = yaml.safe_load(vaekit("fit", *words, "--print_config").out)
    return flags


def at(flags: Any, path: str) -> Any:
    """Follow a path of names into nested flags."""
    for name in path.split("."):
        flags = flags[name]
    return flags


def holds(whole: Any, part: Any) -> bool:
    """Tell whether nested flags hold all that others say; a class without options may be said by its path alone."""
    if isinstance(part, dict):
        return all(name in whole and holds(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool((whole["class_path"] if isinstance(whole, dict) else whole) == part)


def widths(network: nn.Module) -> tuple[int, ...]:
    """Return the widths of the layers of a perceptron whose layers all have a bias."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    sizes = (layers[0].in_features, *(layer.out_features for layer in layers))
    assert sum(p.numel() for p in network.parameters()) == sum((a + 1) * b for a, b in pairwise(sizes))
    return sizes


def built(name: str, *flags: str) -> vk.VAE:
    """Build the model of a recipe as it is, for little data."""
    parsed, _ = parse_fit([name, *flags])
    parts = {field.name: parsed[field.name] for field in fields(Composition)}
    return Composition(**parts).build(vk.data.open(**vars(parsed.data)))


def table(path: Path) -> list[dict[str, float]]:
    """Read a table of numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_every_recipe_is_expected_here() -> None:
    assert sorted(RECIPES) == recipes.names()


@by_recipe
def test_a_recipe_is_listed_with_its_source_and_year(name: str) -> None:
    (line,) = (line for line in vaekit("recipes").out.splitlines() if line.split()[:1] == [name])
    _, summary, source = recipes.describe(name)
    assert summary in line
    assert source in line
    assert any(str(year) in source for year in range(1998, 2022))


@by_recipe
def test_a_recipe_is_shown_whole_and_taken_back(name: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.yaml"
    whole.write_text(vaekit("fit", name, "--print_config").out)
    flags = yaml.safe_load(whole.read_text())
    assert holds(flags, yaml.safe_load(recipes.find(name).read_text()))
    assert printed("--config", whole) == flags


@by_recipe
def test_a_recipe_has_the_numbers_of_its_source(name: str) -> None:
    flags = printed(name)
    assert [path for path, value in RECIPES[name].numbers.items() if not holds(at(flags, path), value)] == []


@perceptrons
def test_perceptrons_have_the_widths_of_their_source(name: str) -> None:
    model, expected = built(name, *RECIPES[name].small), RECIPES[name]
    assert (widths(model.posterior.network), widths(model.likelihood.network)) == (expected.encoder, expected.decoder)
    between = {type(m) for m in model.posterior.modules() if type(m).__module__ == "torch.nn.modules.activation"}
    assert between == {ACTIVATIONS.get(name, nn.ReLU)}


def test_the_decoder_of_the_squared_error_ends_in_a_sigmoid() -> None:
    assert type(list(built("mnist-gaussian").likelihood.network.modules())[-1]) is nn.Sigmoid


def test_all_weights_of_the_manifold_start_as_narrow_noise() -> None:
    values = torch.cat([p.detach().flatten() for p in built("manifold").parameters()])
    assert len(values) == 785 * 500 + 501 * 4 + 3 * 500 + 501 * 784
    assert values.std().item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("channels", [[32, 64, 128, 256, 512], [512, 256, 128, 64, 32]])
def test_faces_have_five_halvings_with_the_channels_in_either_order(channels: list[int]) -> None:
    orders = (f"--encoder.channels={channels}", f"--decoder.channels={channels}")
    model = built("faces", *orders, "--data.options.workers=1")
    down = [m for m in model.posterior.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in model.likelihood.modules() if isinstance(m, nn.ConvTranspose2d)]
    (head,) = (m for m in model.posterior.modules() if isinstance(m, nn.Linear))
    (last,) = (m for m in model.likelihood.modules() if isinstance(m, nn.Conv2d))
    assert [m.out_channels for m in down] == channels
    assert [m.in_channels for m in up] == channels[::-1]
    assert {(m.kernel_size, m.stride) for m in (*down, *up)} == {((3, 3), (2, 2))}
    assert len([m for m in model.posterior.modules() if isinstance(m, nn.BatchNorm2d)]) == 5
    assert (head.in_features, head.out_features) == (2 * 2 * channels[-1], 2 * 128)
    assert (last.out_channels, last.kernel_size, last.stride) == (3, (3, 3), (1, 1))


@by_recipe
def test_a_run_leaves_what_its_source_shows_and_nothing_else(name: str, ran: Callable[[str], Done]) -> None:
    folder, expected = ran(name).folder, RECIPES[name]
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    events = {file for file in files if file.startswith("tensorboard/")}
    best = {file for file in files if file.startswith("checkpoints/best-")}
    assert (len(events), len(best)) == (1, expected.best)
    assert files - events - best == expected.files


@by_recipe
def test_a_run_prints_its_model_and_a_line_an_epoch_and_loads_again(name: str, ran: Callable[[str], Done]) -> None:
    folder, end = ran(name)
    again = vk.load(folder)
    assert repr(again.model) in end.out
    epochs = again.history["epoch"]["epoch"]
    lines = [line for line in end.err.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == [f"epoch {epoch:.0f}" for epoch in epochs]
    relaxed = "" if is_normalised(again.model.likelihood) else "relaxed "
    assert all(f"nats ({relaxed}distortion " in line and ", rate " in line for line in lines)
    assert again.model.sample((2,), mean=True).shape == (2, *again.needs_data().event_shape)
    assert printed("--config", folder / "config.yaml")["epochs"] == len(epochs)


def test_rectangles_keep_five_numbers_of_every_step_and_their_means_of_fifty(ran: Callable[[str], Done]) -> None:
    folder = ran("rectangles").folder
    steps, history = table(folder / "steps.csv"), vk.load(folder).history
    assert [row["step"] for row in steps] == list(range(1, 53))
    assert history["train"]["step"] == [50, 52]
    for name in ("distortion", "rate", "posterior_mean", "posterior_log_variance"):
        assert history["train"][name][0] == pytest.approx(np.mean([row[name] for row in steps[:50]]), rel=1e-4)
    squares = np.mean([row["posterior_mean_std"] ** 2 + row["posterior_mean"] ** 2 for row in steps[:50]])
    std, mean = (history["train"][name][0] for name in ("posterior_mean_std", "posterior_mean"))
    assert std**2 + mean**2 == pytest.approx(squares, rel=1e-3)


def test_the_learning_rate_of_rectangles_falls_by_step(ran: Callable[[str], Done]) -> None:
    rates = vk.load(ran("rectangles").folder).history["train"]["learning_rate"]
    assert rates == pytest.approx([1e-3 / (1 + 1e-4 * t) for t in (50, 52)])


def test_the_test_bound_is_reported_every_five_epochs(ran: Callable[[str], Done]) -> None:
    folder, end = ran("mnist-bernoulli")
    history = vk.load(folder).history
    assert (history["epoch"]["epoch"], history["test"]["epoch"]) == ([1, 2, 3, 4, 5], [5])
    assert [", test " in line for line in end.err.splitlines()] == [False] * 4 + [True]


def test_the_penalty_of_the_manifold_is_a_term_of_its_own(ran: Callable[[str], Done]) -> None:
    history = vk.load(ran("manifold").folder).history
    assert history["validation"]["epoch"] == [1]
    for columns in (history["train"], history["validation"]):
        loss, bound, penalty = (np.array(columns[name]) for name in ("loss", "relaxed_bound", "l2"))
        np.testing.assert_allclose(loss, penalty - bound, rtol=1e-4)
        assert (penalty > 0).all()


def test_the_figures_of_the_manifold_show_validation_codes(ran: Callable[[str], Done]) -> None:
    run = vk.load(ran("manifold").folder)
    assert "figures: split validation" in (ran("manifold").folder / "report.html").read_text()
    assert len(run.needs_data().validation) == 8


def test_faces_are_in_tensorboard_term_by_term_with_the_learning_rate_and_pictures(ran: Callable[[str], Done]) -> None:
    events = EventAccumulator(str(ran("faces").folder / "tensorboard")).Reload()
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates == pytest.approx([0.005 * 0.95**epoch for epoch in range(3)])
    assert {f"validation/{term}" for term in ("loss", "distortion", "rate")} <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {"reconstructions", "samples"}


@pytest.mark.parametrize(
    ("name", "file", "shape", "enlarged"),
    [
        ("faces", "samples-epoch0003", (12 * 17 - 1, 12 * 17 - 1), 3),
        ("mnist-gaussian", "reconstructions-epoch0002", (8 * 29 - 1, 4 * 29 - 1), 3),
        ("mnist-bernoulli", "samples-epoch0005", (12 * 29 - 1, 12 * 29 - 1), 2),
    ],
)
def test_panels_have_the_rows_of_their_source(
    name: str, file: str, shape: tuple[int, int], enlarged: int, ran: Callable[[str], Done]
) -> None:
    """Samples are 144, 12 a row; images stand 8 a row above their reconstructions, here the 12 of the test split."""
    with Image.open(ran(name).folder / "figures" / f"{file}.png") as picture:
        assert picture.size == (enlarged * shape[0], enlarged * shape[1])


def test_faces_make_images_of_draws_and_of_codes(ran: Callable[[str], Done], tmp_path: Path) -> None:
    folder = ran("faces").folder
    np.save(tmp_path / "codes.npy", np.zeros((2, 3), np.float32))
    drawn = vaekit("sample", folder, "--count=3", f"--out={tmp_path / 'new.npy'}")
    made = vaekit("decode", folder, tmp_path / "codes.npy", f"--out={tmp_path / 'made.npy'}")
    assert (drawn.code, made.code) == (0, 0)
    shapes = [np.load(tmp_path / name).shape for name in ("new.npy", "made.npy")]
    assert shapes == [(3, 3, 16, 16), (2, 3, 16, 16)]


def test_faces_take_a_folder_of_photographs(home: Path) -> None:
    paint_ten(home / "photographs")
    flags = (
        "--epochs=1",
        "--samples=0",
        "--encoder.channels=[4]",
        "--decoder.channels=[4]",
        "--data.options.workers=1",
    )
    end = vaekit("fit", "faces", "--data=photographs", *flags, f"--run={home / 'own'}")
    assert end.code == 0, end.err
    assert vk.load(home / "own").needs_data().event_shape == (3, 64, 64)


def test_the_live_page_follows_the_pictures_that_are_taken(ran: Callable[[str], Done]) -> None:
    folder, end = ran("mnist-bernoulli")
    assert f"live: {folder / 'live.html'}" in end.out
    page = (folder / "live.html").read_text()
    assert "follow(figure, epoch + 5)" in page
    assert 'figures/${figure.id}-epoch${String(epoch).padStart(4, "0")}.png' in page

"""Transforms do what their formulas say, and code lengths after them are code lengths of the stored grid values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

import vaekit as vk
import vaekit.data as vd
from vaekit.data.transforms import Transform
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.likelihoods.columns import Count, Real

GRID = np.arange(4, dtype=np.uint8)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6)).astype(np.uint8)


def gradient(value: float) -> Tensor:
    """Values that differ everywhere, so that a wrong axis shows."""
    return value * torch.arange(24.0).reshape(2, 3, 2, 2)


class Steps:
    """The density of y in [0, 1) that is constant over each cell of a grid: L P(k)."""

    is_discrete = False

    def __init__(self, mass: Tensor) -> None:
        self.mass = mass

    def log_prob(self, y: Tensor) -> Tensor:
        return (self.mass[(y * len(self.mass)).long()] * len(self.mass)).log().flatten(1).sum(1)


class Triangle(Steps):
    """The density 2 y on [0, 1), so that P(k) = (2 k + 1) / L^2."""

    def log_prob(self, y: Tensor) -> Tensor:
        return (2 * y).log().flatten(1).sum(1)


MASSES = {Steps: torch.tensor([0.1, 0.2, 0.3, 0.4]), Triangle: (2 * torch.arange(4.0) + 1) / 16}


@pytest.mark.parametrize("kind", [Steps, Triangle])
@pytest.mark.parametrize("standardize", [False, True])
def test_dequantised_density_bounds_discrete_code_length(kind: type[Steps], standardize: bool, float64: None) -> None:
    mass = MASSES[kind].double()
    x = np.stack(np.meshgrid(GRID, GRID), -1).reshape(-1, 2)
    steps: list[Transform] = [vd.Dequantize(4)] + [vd.Standardize((0.3, 0.6), (0.2, 0.5))] * standardize
    data = vd.open(vd.Source("grid", {"train": x}, levels=4), transforms=steps, validation=0, test=0)
    density = kind(mass)
    offset = data.bits_offset(density)  # type: ignore[arg-type]
    assert offset is not None
    exact = -mass[torch.from_numpy(x).long()].log().sum(1)
    draws = []
    for _ in range(4000):
        y = torch.from_numpy(x).double() / 3
        for transform in data.transforms:
            y = transform(y)
        if standardize:  # the model's density of standardised values, by the change of variables
            mean, std = torch.tensor([0.3, 0.6]), torch.tensor([0.2, 0.5])
            log_density = density.log_prob(y * std + mean) + std.log().sum()
        else:
            log_density = density.log_prob(y)
        draws.append(-log_density + offset)
    lengths = torch.stack(draws)
    error = lengths.std(0) / len(draws) ** 0.5
    gap = lengths.mean(0) - exact
    if kind is Steps:
        torch.testing.assert_close(lengths, exact.expand_as(lengths))
    else:
        assert (gap > -4 * error).all()
        assert gap.max() > 10 * error[gap.argmax()], "the bound is loose where the density varies within a cell"


def test_dequantised_values_fill_their_cells() -> None:
    x = torch.arange(4).repeat(20_000)[:, None] / 3
    y = vd.Dequantize(4)(x)[:, 0]
    assert torch.equal((y * 4).floor(), (x[:, 0] * 3).round())
    within = (y * 4) % 1
    assert abs(within.mean() - 0.5) < 4 * (1 / 12 / len(within)) ** 0.5
    assert abs(within.var() - 1 / 12) < 0.002


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 1 / 255, 0.3, 254 / 255, 1.0])
def test_binarised_values_have_grey_values_as_frequencies(p: float, dtype: torch.dtype) -> None:
    draws = vd.Binarize()(torch.full((200_001, 1), p, dtype=dtype))
    assert draws.dtype == dtype
    assert set(draws.unique().tolist()) <= {0.0, 1.0}
    assert abs(draws.mean().item() - p) <= 4 * (p * (1 - p) / len(draws)) ** 0.5


def test_binarised_values_are_independent() -> None:
    draws = vd.Binarize()(torch.full((100_000, 4), 0.5)) - 0.5
    covariance = draws.T @ draws / len(draws)
    torch.testing.assert_close(covariance, 0.25 * torch.eye(4), atol=4 * 0.25 / len(draws) ** 0.5, rtol=0)


def test_binarised_draws_differ_and_static_ones_do_not() -> None:
    dynamic = vd.open(IMAGES, transforms=[vd.Binarize()], validation=0, test=0)
    loader = dynamic.loader(40, device="cpu", seed=0)
    first, second = (next(iter(loader.epoch(0))).given[0] for _ in range(2))
    assert not torch.equal(first, second)
    static = [vd.open(IMAGES, transforms=[vd.StaticBinarize(seed)], validation=0, test=0) for seed in (3, 3, 4)]
    assert np.array_equal(static[0].train.x, static[1].train.x)
    assert not np.array_equal(static[0].train.x, static[2].train.x)
    assert static[0].levels == 2
    assert static[0].train.x.dtype == np.uint8
    (again,) = (x for x, *_ in static[0].batches("train", 40))
    assert torch.equal(again, torch.from_numpy(np.asarray(static[0].train.x)).float())


def test_threshold() -> None:
    assert vd.Threshold(0.5)(torch.tensor([[0.49, 0.5, 1.0]])).tolist() == [[0.0, 1.0, 1.0]]


@given(st.integers(1, 30), st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))
def test_standardised_training_split_has_mean_0_and_deviation_1(rows: int, mean: float, std: float) -> None:
    x = np.random.default_rng(rows).normal(mean, std, (rows + 4, 3))
    data = vd.open(x, transforms=[vd.Standardize()], validation=0, test=0)
    (y,) = (x for x, *_ in data.batches("train", 100))
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_standardisation_is_measured_on_the_training_split_alone_and_stored() -> None:
    x = np.random.default_rng(0).normal(5, 2, (200, 2))
    data = vd.open(x, transforms=[vd.Standardize()])
    (stored,) = data.transforms
    assert isinstance(stored, vd.Standardize)
    assert stored.mean == pytest.approx(np.asarray(data.train.x).mean(0))
    assert stored.std == pytest.approx(np.asarray(data.train.x).std(0))
    again = vd.open(**{**data.opened_by, "source": x[:50]})
    assert again.transforms == data.transforms


def test_standardisation_of_images_is_per_channel() -> None:
    x = np.random.default_rng(0).normal([1.0, 5.0, -3.0], [1.0, 2.0, 0.5], (50, 4, 4, 3))
    data = vd.open(x, transforms=[vd.Standardize()], validation=0, test=0)
    (stored,) = data.transforms
    assert isinstance(stored, vd.Standardize)
    assert stored.mean == pytest.approx(x.mean((0, 1, 2)))
    assert stored.log_volume((3, 4, 4)) == pytest.approx(16 * np.log(x.std((0, 1, 2))).sum())


def test_double_precision_is_kept_until_values_are_standardised() -> None:
    seconds = 1.7e9 + np.arange(100.0)[:, None]
    data = vd.open(seconds, transforms=[vd.Standardize()], validation=0, test=0)
    (y,) = (x for x, *_ in data.batches("train", 100))
    held = torch.cat([b.given[0] for b in data.loader(100, device="cpu", seed=0).epoch(0)])
    exact = torch.from_numpy((seconds - seconds.mean()) / seconds.std()).float()
    torch.testing.assert_close(y, exact)
    torch.testing.assert_close(held.sort(0).values, exact)


def test_constant_columns_are_left_finite() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    x[:, 1] = 7
    data = vd.open(x)
    (y,) = (x for x, *_ in data.batches("train", 100))
    assert y[:, 1].abs().max() == 0
    assert "element 1" in data.describe()


def test_flips_mirror_some_training_images_and_no_others() -> None:
    data = vd.open(IMAGES, transforms=[vd.HorizontalFlip(0.5)], validation=0.25, test=0.25)
    original = torch.from_numpy(np.asarray(data.train.x)).float() / 255
    loader = data.loader(20, device="cpu", seed=0)
    seen = torch.cat([b.given[0] for b in loader.epoch(0)])[loader.order(0).argsort()]  # type: ignore[attr-defined]
    kept = (seen == original).flatten(1).all(1)
    mirrored = (seen == original.flip(-1)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 0 < mirrored.sum() < len(mirrored)
    for split in ("train", "validation", "test"):
        (judged,) = (x for x, *_ in data.batches(split, 100))
        assert torch.equal(judged, torch.from_numpy(np.asarray(data.split(split).x)).float() / 255)


def test_crop_and_resize_are_made_once_and_stay_on_the_grid() -> None:
    data = vd.open(IMAGES, transforms=[vd.CenterCrop(4), vd.Resize((2, 3))])
    assert data.event_shape == (1, 2, 3)
    assert data.levels == 256
    assert np.asarray(data.train.x).dtype == np.uint8
    cropped = vd.open(IMAGES, transforms=[vd.CenterCrop(4)], validation=0, test=0)
    assert np.array_equal(cropped.train.x, IMAGES[:, :, 1:5, 1:5])
    flat = vd.open(np.full((5, 1, 8, 8), 77, np.uint8), transforms=[vd.Resize(3)], validation=0, test=0)
    assert np.unique(flat.train.x).tolist() == [77]


def test_evaluation_sees_the_same_noise_every_time() -> None:
    data = vd.open(IMAGES, transforms=[vd.Binarize()])
    torch.rand(7)
    state = torch.get_rng_state()
    first, second = (list(data.batches("train", 8)) for _ in range(2))
    assert all(torch.equal(a, b) for (a,), (b,) in zip(first, second, strict=True))
    assert torch.equal(state, torch.get_rng_state())


class Sixteenth(Transform):
    """A transform of the user's own, of which nothing is known."""

    def __call__(self, x: Tensor) -> Tensor:
        return x / 16


def test_what_a_transform_of_ones_own_makes_may_be_binarised() -> None:
    data = vd.open(np.arange(51).reshape(17, 3) / 3.2, transforms=[Sixteenth(), vd.Binarize()], validation=0, test=0)
    assert set(np.unique(next(data.batches("train", 17))[0])) == {0, 1}


class Centred(Transform):
    """A dequantisation of the user's own: noise around each grid value, rather than above it."""

    dequantizes = True
    random = True
    keeps_grid = False

    def __call__(self, x: Tensor) -> Tensor:
        return x + (torch.rand_like(x) - 0.5) / 255

    def log_volume(self, event_shape: Sequence[int]) -> float:
        return math.prod(event_shape) * math.log(255)


@dataclass(frozen=True)
class Whitened(vd.Standardize):
    """A standardisation of the user's own."""

    name: str = "white"


def test_a_standardisation_of_ones_own_stays_what_it_is_once_measured() -> None:
    x = np.random.default_rng(0).poisson(5, (40, 2)).astype(float)
    table = vd.Source("table", {"all": x}, columns=(Real(), Count()), column_names=("a", "b"))
    (fitted,) = vd.open(table, transforms=[Whitened(name="snow")], validation=0, test=0).transforms
    assert isinstance(fitted, Whitened)
    assert fitted.name == "snow"
    assert fitted.mean == (pytest.approx(x[:, 0].mean()), 0)


@pytest.mark.parametrize("transforms", [[vd.Threshold()], [vd.Dequantize()], [Centred()]])
def test_values_that_are_no_longer_the_stored_ones_have_no_units(transforms: list[Transform]) -> None:
    density = vk.likelihoods.Normal(torch.nn.Identity(), (1, 6, 6), scale=1.0)
    assert vd.open(IMAGES, transforms=transforms).units_offset(density) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_of_the_data_is_independent_of_latents_drawn_by_the_same_seed(seed: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5000, 4), dtype=np.uint8)
    data = vd.open(x, transforms=[vd.Dequantize()], validation=0, test=0, seed=seed)
    ((values,),) = data.batches("train", 5000)
    noise = 256 * values - torch.from_numpy(x)
    torch.manual_seed(seed)
    latents = torch.rand(5000, 4)
    assert torch.corrcoef(torch.stack([noise.flatten(), latents.flatten()]))[0, 1].abs() < 0.03
    torch.manual_seed(seed)
    latents = torch.randn(5000, 4)
    assert torch.corrcoef(torch.stack([noise.flatten(), latents.flatten()]))[0, 1].abs() < 0.03


@pytest.mark.parametrize(
    ("likelihood", "transforms", "offset"),
    [
        ({"is_discrete": True}, [], 0.0),
        ({"is_discrete": True, "is_normalised": False}, [], None),
        ({"is_discrete": False}, [], None),
        ({"is_discrete": False}, [vd.Dequantize()], 36 * math.log(256)),
        ({"is_discrete": False}, [vd.Dequantize(), vd.Standardize((0.0,), (0.5,))], 36 * math.log(128)),
        ({"is_discrete": False}, [vd.Standardize((0.0,), (0.5,))], None),
        ({"is_discrete": False}, [Centred()], 36 * math.log(255)),
    ],
)
def test_bits_offset(likelihood: dict[str, bool], transforms: list[Transform], offset: float | None) -> None:
    scorer = type("Scorer", (torch.nn.Module,), likelihood)()
    assert vd.open(IMAGES, transforms=transforms).bits_offset(scorer) == (
        None if offset is None else pytest.approx(offset)
    )


@pytest.mark.parametrize(
    ("source", "transforms", "error", "words"),
    [
        (IMAGES, [vd.Dequantize(17)], ConfigError, "Use Dequantize(256)"),
        (IMAGES, [vd.Threshold(), vd.Dequantize()], ConfigError, "Use Dequantize(2)"),
        (np.random.rand(9, 3), [vd.Dequantize()], ConfigError, "needs values on a grid"),
        (IMAGES, [vd.Standardize(), vd.Dequantize()], ConfigError, "Leave it out, or put it first."),
        (IMAGES, [vd.Dequantize(), vd.Dequantize()], ConfigError, "needs values on a grid"),
        (np.random.rand(9, 3), [Centred()], ConfigError, "Centred needs values on a grid"),
        (IMAGES, [Whitened(), vd.Binarize()], ConfigError, "put Binarize first"),
        (np.arange(51).reshape(17, 3), [vd.Binarize()], ConfigError, "Binarize needs values in [0, 1]"),
        (IMAGES, [vd.Standardize(), vd.Binarize()], ConfigError, "put Binarize first"),
        (np.random.rand(9, 3), [vd.HorizontalFlip()], ConfigError, "is for images"),
        (np.random.rand(9, 3), [vd.Resize(3)], ConfigError, "is for images"),
        (np.random.randn(9, 3), [vd.StaticBinarize()], ConfigError, "needs values in [0, 1]"),
        (IMAGES, [vd.Threshold(3.0)], ConfigError, "`at` of Threshold is 3, and all values"),
        (IMAGES, [vd.Threshold(0)], ConfigError, "would become 1. Choose one above 0"),
        (IMAGES, [vd.CenterCrop(7)], DataError, "Crop less"),
        (IMAGES, [vd.Standardize((0.0, 0.0), (1.0, 1.0))], ShapeError, "statistics of 2 elements"),
    ],
)
def test_transforms_that_do_not_fit_are_refused(
    source: np.ndarray, transforms: list[Transform], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as raised:
        next(vd.open(source, transforms=transforms).batches("train", 4))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "arguments", [{"mean": (0.0,)}, {"mean": (0.0,), "std": (0.0,)}, {"mean": (0.0,), "std": (1.0, 1.0)}]
)
def test_standardize_refuses_half_statistics(arguments: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ConfigError, match="Standardize"):
        vd.Standardize(**arguments)


def test_data_opened_with_other_static_transforms_must_be_opened_anew() -> None:
    data = vd.open(IMAGES, transforms=[vd.StaticBinarize()])
    with pytest.raises(ConfigError, match="made once"):
        data.with_transforms([])
    assert data.with_transforms([vd.StaticBinarize(), vd.Dequantize(2)]).transforms[1] == vd.Dequantize(2)


def test_normal_on_standardised_rows_is_the_density_of_the_rows() -> None:
    x = torch.linspace(-3, 5, 7)[:, None]
    transform = vd.Standardize((1.0,), (2.0,))
    direct = -Normal(1.0, 2.0).log_prob(x)[:, 0]
    moved = -Normal(0.0, 1.0).log_prob(transform(x))[:, 0] + transform.log_volume((1,))
    torch.testing.assert_close(direct, moved)


@pytest.mark.parametrize("transforms", [[], [vd.Standardize()], [vd.Dequantize()], [vd.Dequantize(), vd.Standardize()]])
def test_transformed_values_return_to_their_units(transforms: list[Transform]) -> None:
    x = IMAGES.reshape(40, 36)
    data = vd.open(x, transforms=transforms, validation=0, test=0)
    back = data.in_units(next(data.batches("train", 40))[0])
    within = 0.5 * 256 / 255 if transforms and isinstance(transforms[0], vd.Dequantize) else 0
    torch.testing.assert_close(back, torch.from_numpy(x).float(), rtol=0, atol=within + 1e-3)


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([vd.Binarize], r"`transforms` is the class Binarize; write Binarize\(\)"),
        (vd.Binarize(), "`transforms` is one Binarize; put it into a list"),
    ],
)
def test_what_is_no_list_of_transforms_is_refused(transforms: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vd.open("digits", transforms=transforms)

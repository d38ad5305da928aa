"""Other data is read in the units of the data that a model was fitted to: the same numbers are the same to the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

import vaekit.data as vd
from vaekit import figures
from vaekit.errors import DataError
from vaekit.runs.description import describe_events
from vaekit.runs.reopening import reopen

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (40, 1, 6, 6)).astype(np.uint8)
VECTORS = np.append(RNG.integers(0, 256, (39, 6)), [[0, 255, 1, 1, 1, 1]], 0).astype(np.uint8)
COUNTS = RNG.poisson(3, (40, 6))
GREY = vd.Source("grey", {"all": PICTURES % 17}, levels=17)
BITS = PICTURES % 2
FLOATS = RNG.random((40, 1, 6, 6))


def seen(own: object, other: np.ndarray, transforms: Sequence[vd.Transform] = ()) -> Tensor:
    """Return what a model that was fitted to one data set is given of another."""
    fitted = vd.open(own, transforms=transforms)  # type: ignore[arg-type]
    found = reopen(fitted.opened_by, describe_events(fitted), other, hold_out=False)
    assert found is not None
    return next(found.batches("train", 100))[0]


def read(own: object) -> Tensor:
    """Return what a model is given of the data that it is fitted to, in the order of the source."""
    return next(vd.open(own, transforms=(), validation=0, test=0).batches("train", 100))[0]  # type: ignore[arg-type]


SAME: dict[str, tuple[object, np.ndarray, Tensor]] = {
    "8-bit vectors as integers": (VECTORS, VECTORS.astype(np.int64), read(VECTORS)),
    "8-bit vectors as floats": (VECTORS, VECTORS.astype(np.float32), read(VECTORS)),
    "8-bit vectors in [0, 1]": (VECTORS, VECTORS / 255, read(VECTORS)),
    "a few dark vectors": (VECTORS, VECTORS[:2].astype(int) % 9, torch.from_numpy(VECTORS[:2] % 9) / 255),
    "dark pictures": (PICTURES, PICTURES[:2] % 4, torch.from_numpy(PICTURES[:2] % 4) / 255),
    "pictures as integers": (PICTURES, PICTURES.astype(np.int32), read(PICTURES)),
    "pictures as floats": (PICTURES, PICTURES.astype(np.float64), read(PICTURES)),
    "pictures in [0, 1]": (PICTURES, PICTURES / 255, read(PICTURES)),
    "a picture between the levels": (PICTURES, PICTURES[:1] * 0.9, torch.from_numpy(PICTURES[:1] * 0.9).float() / 255),
    "pictures of ends alone": (PICTURES, BITS, torch.from_numpy(BITS).float()),
    "17 levels, as they are": (GREY, PICTURES % 17, read(GREY)),
    "17 levels in [0, 1]": (GREY, (PICTURES % 17) / 16, read(GREY)),
    "17 levels, given 256": (GREY, PICTURES, read(PICTURES)),
    "floats of pictures, given bytes": (PICTURES / 255, PICTURES, read(PICTURES)),
    "floats in [0, 1], given bytes": (FLOATS, PICTURES, read(PICTURES)),
    "floats in [0, 1], given others": (FLOATS, FLOATS * 3, torch.from_numpy(FLOATS * 3).float()),
    "counts as bytes": (COUNTS, COUNTS.astype(np.uint8), read(COUNTS)),
    "counts as floats": (COUNTS, COUNTS.astype(np.float32), read(COUNTS)),
    "bytes where integers were taken as they are": (VECTORS.astype(int), VECTORS, read(VECTORS.astype(int))),
    "bytes where reals were": (VECTORS - 99.5, VECTORS, torch.from_numpy(VECTORS).float()),
    "bits as ends of bytes": (BITS, BITS * 255, read(BITS)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_numbers_are_the_same_to_the_model(name: str) -> None:
    own, other, values = SAME[name]
    torch.testing.assert_close(seen(own, other), values)


OTHER: dict[str, tuple[object, np.ndarray, str]] = {
    "values below 0": (
        PICTURES,
        PICTURES / 127.5 - 1,
        "run from -1 to 1; those .* from 0 to 255. Give them in the same units",
    ),
    "values beyond the greatest": (PICTURES, PICTURES * 3.0, "to 765; those"),
    "whole numbers for floats in [0, 1]": (VECTORS / 255, VECTORS.astype(int), "from 0 to 1. Give them in the same"),
    "floats in [0, 1] for counts": (
        VECTORS.astype(int),
        VECTORS / 255,
        "between 0 and 1; the model was fitted to whole",
    ),
    "a few zeros and ones": (VECTORS, VECTORS[:3] % 2, "a few zeros and ones.* 1 may be the least or the greatest"),
}


@pytest.mark.parametrize("name", OTHER)
def test_numbers_that_mean_something_else_are_refused(name: str) -> None:
    own, other, told = OTHER[name]
    with pytest.raises(DataError, match=told):
        seen(own, other)


def test_a_few_floats_of_a_grid_lie_on_it() -> None:
    x = seen(VECTORS, VECTORS[:2] / 255, [vd.Dequantize(256)])
    assert torch.equal((x * 256).floor(), torch.from_numpy(VECTORS[:2]).float())


def test_units_are_those_before_what_is_made_once() -> None:
    x = seen(GREY, np.full((2000, 1, 6, 6), 12, np.uint8), [vd.StaticBinarize()])
    assert x.mean().item() == pytest.approx(0.75, abs=4 * 0.433 / np.sqrt(72_000))


@pytest.mark.parametrize("spread", [(-1.0, 1.0), (-2.1, 2.6), (0.0, 255.0), (0.0, 1.0)])
def test_pictures_of_images_in_any_range_are_those_of_the_images(spread: tuple[float, float]) -> None:
    low, high = spread
    grey = np.random.default_rng(0).integers(0, 256, (40, 3, 5, 4))
    grey[0, 0, 0, :2] = 0, 255
    data = vd.open((low + grey / 255 * (high - low)).astype(np.float32), validation=0, test=0)
    data = data.with_transforms([vd.Standardize()])
    (x,) = next(data.batches("train", 40))
    assert np.abs(figures.pixels(x, data.shown).transpose(0, 3, 1, 2).astype(int) - grey).max() <= 1
    assert np.array_equal(figures.pixels(data.shown(x)), figures.pixels(x, data.shown))

"""Data that needs no download: scikit-learn's digits, and rectangles whose factors are known."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vaekit.data.source import Array, Source
from vaekit.errors import ConfigError, DataError

FACTORS = ("row", "column", "height", "width")


@dataclass(frozen=True)
class Rectangles:
    """Binary images of one filled rectangle each, at a random place, after D. Stutz's tutorial on VAEs in Torch.

    Height and width are drawn between the least and the greatest size, and then the place, uniformly over all where the
    rectangle is wholly inside, borders included. The labels are its row, column, height and width, in pixels.

    Attributes:
        count: training images; a tenth of it, drawn separately, is added for validation and for test.
        size: side of an image, in pixels.
        smallest: least side of a rectangle.
        largest: greatest side of a rectangle.
        seed: seeds the draw.

    Raises:
        ConfigError: if a rectangle does not fit into the image.

    Example:
        >>> import vaekit as vk
        >>> vk.data.open(vk.data.Rectangles(count=100)).train
        Split(x=uint8 (100, 1, 24, 24), labels=float32 (100, 4), context=[])
    """

    count: int = 50_000
    size: int = 24
    smallest: int = 8
    largest: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest <= self.size:
            raise ConfigError(
                f"Rectangles have sides from {self.smallest} to {self.largest} in images of {self.size}; "
                f"`smallest`, `largest` and `size` must rise, from 1."
            )
        if self.count < 1:
            raise ConfigError(f"`count` of Rectangles is {self.count}; there is at least 1 image.")


def read_rectangles(recipe: Rectangles) -> Source:
    """Draw rectangles, with splits for training, validation and test that are drawn separately."""
    rng = np.random.default_rng(recipe.seed)
    counts = {"train": recipe.count, "validation": -(-recipe.count // 10), "test": -(-recipe.count // 10)}
    factors = {part: _factors(rng, count, recipe) for part, count in counts.items()}
    images = {part: _draw(values, recipe.size) for part, values in factors.items()}
    return Source("rectangles", images, factors, label_names=FACTORS, levels=2)


def read_digits() -> Source:
    """Take the 1,797 handwritten digits that scikit-learn holds (Alpaydin and Kaynak, 1998), 8 x 8 pixels of 17 levels.

    A pixel counts the black dots among the 16 of a block of the scanned image, so its share of 16 is a probability.
    """
    table = np.loadtxt(_digits_file(), delimiter=",", dtype=np.uint8)
    return Source(
        "digits", {"all": table[:, :64].reshape(-1, 1, 8, 8)}, {"all": table[:, 64]}, tuple("0123456789"), levels=17
    )


def _digits_file() -> Path:
    """Find the table that scikit-learn's `load_digits` reads, without the seconds that importing scikit-learn takes.

    Raises:
        DataError: if scikit-learn is not installed, or keeps it elsewhere.
    """
    installed = find_spec("sklearn")
    path = (
        Path(installed.origin or "").parent / "datasets" / "data" / "digits.csv.gz"
        if installed
        else Path("digits.csv.gz")
    )
    if not path.is_file():
        raise DataError(f"The digits of scikit-learn are not in `{path}`. Install scikit-learn, or open other data.")
    return path


def _factors(rng: np.random.Generator, count: int, recipe: Rectangles) -> Array:
    """Draw row, column, height and width of rectangles, float32 of shape (count, 4)."""
    sides = rng.integers(recipe.smallest, recipe.largest + 1, (count, 2))
    places = rng.integers(0, recipe.size - sides + 1)
    return np.concatenate([places, sides], 1).astype(np.float32)


def _draw(factors: Array, size: int) -> Array:
    """Fill rectangles, shape (N, 4), in images, uint8 of shape (N, 1, size, size)."""
    pixels = np.arange(size)
    inside = (pixels >= factors[:, :2, None]) & (pixels < (factors[:, :2] + factors[:, 2:])[..., None])  # (N, 2, size)
    return (inside[:, 0, :, None] & inside[:, 1, None, :]).astype(np.uint8)[:, None]

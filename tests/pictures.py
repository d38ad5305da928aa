"""Image files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def paint(path: Path, size: tuple[int, int] = (10, 8), mode: str = "RGB", seed: int = 0) -> Path:
    """Write an image of noise, of (width, height), in a lossless format unless its name says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(path)
    return path


def paint_ten(folder: Path) -> Path:
    """Write ten small images, 0.png to 9.png, into a folder."""
    for i in range(10):
        paint(folder / f"{i}.png", seed=i)
    return folder

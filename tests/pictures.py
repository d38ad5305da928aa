"""Image files for tests."""

from __future__ import annotations

from collections.abc import Sequence
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


def paint_celeba(folder: Path, partition: Sequence[int]) -> Path:
    """Write faces of noise in the layout of CelebA's package, one for each number of the partition, with two attributes."""
    files = [f"{i:06}.jpg" for i, _ in enumerate(partition, 1)]
    for i, name in enumerate(files, 1):
        paint(folder / "img_align_celeba/img_align_celeba" / name, (178, 218), seed=i)
    splits = [f"{name},{part}" for name, part in zip(files, partition, strict=True)]
    (folder / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *splits]))
    attributes = [f"{name},{1 if i % 2 else -1},{1 if i > 4 else -1}" for i, name in enumerate(files, 1)]
    (folder / "list_attr_celeba.csv").write_text("\n".join(["image_id,Bald,Young", *attributes]))
    return folder

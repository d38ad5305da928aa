"""The examples: MNIST where it is at hand, scikit-learn's digits enlarged elsewhere, noise for networks of other images."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import vaekit.data
from vaekit.shapes import Shape


def folder() -> Path | None:
    """Return MNIST's folder, in the folder of data sets that VAEKIT_DATA names, if it is there."""
    found = Path(os.environ.get("VAEKIT_DATA", "")) / "mnist"
    return found if "VAEKIT_DATA" in os.environ and found.is_dir() else None


def source() -> str:
    """Say what the digits are."""
    return "MNIST" if folder() else "scikit-learn's digits, enlarged to 28 x 28"


@cache
def images(shape: Shape, count: int, part: str = "train") -> Tensor:
    """Return 8-bit images, shape (count, *shape), repeated where there are fewer."""
    if shape != (1, 28, 28):
        return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    digits = _digits(part)
    return digits[torch.arange(count) % len(digits)]


@cache
def floats(shape: Shape, count: int, event: Shape, device: str) -> Tensor:
    """Return the same images in [0, 1], shape (count, *event), on a device."""
    return (images(shape, count).view(count, *event).float() / 255).to(device)


@cache
def _digits(part: str) -> Tensor:
    data = vaekit.data.open(str(folder() or "digits"), transforms=())
    pixels = torch.from_numpy(data.split(part).x[:].copy()).float() / data.facts.scale
    grown = pixels if pixels.shape[-1] == 28 else F.interpolate(pixels, (28, 28), mode="bilinear")
    return (grown * 255).round().to(torch.uint8)

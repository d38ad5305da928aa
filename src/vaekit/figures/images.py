"""Pictures of data and what the model makes of it: reconstructions, several draws for one image, samples.

An image is encoded to its posterior's mean, or, where a posterior does not know its mean, to one draw by a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from vaekit.arguments import require_count
from vaekit.evaluation.batches import inference
from vaekit.evaluation.representation import knows_mean
from vaekit.figures.canvas import Image, Shown, as_given, grid, pixels
from vaekit.model import VAE

PASS = 256


def decoded(model: VAE, z: Tensor, *context: Tensor) -> Tensor:
    """Decode latents, shape (N, D), to the means of p(x|z), shape (N, *event), a bounded number at a time.

    A context with one row is used for all latents.
    """
    rows = [c.expand(len(z), *c.shape[1:]) for c in context]
    parts: Iterator[tuple[Tensor, ...]] = zip(*(t.split(PASS) for t in (z, *rows)), strict=True)
    return torch.cat([model.decode(*part) for part in parts])


def encoded(model: VAE, x: Tensor, *context: Tensor, seed: int = 0, sample: bool = False) -> Tensor:
    """Encode data, shape (B, *event), to codes, shape (B, D), as all pictures do: by means where they are known, unless asked."""
    with inference(model, seed):
        return model.encode(x, *context, sample=sample or not knows_mean(model.posterior(x, *context)))


def reconstructions(
    model: VAE,
    x: Tensor,
    *context: Tensor,
    columns: int = 8,
    gap: int = 1,
    shown: Shown = as_given,
    seed: int = 0,
    sample: bool = False,
) -> Image:
    """Lay out originals, each row above the row of its reconstructions from the posterior's mean.

    Arguments:
        model: the model.
        x: images, shape (B, C, H, W).
        context: conditions, each of shape (B, ...).
        columns: how many stand in a row.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.
        seed: of the draws that stand in for the mean of a posterior that does not know it.
        sample: reconstruct draws from any posterior.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.figures.reconstructions(model, model.sample(8), gap=0).shape
        (16, 64)
    """
    columns = min(columns, len(x))
    again = model.decode(encoded(model, x, *context, seed=seed, sample=sample), *context)
    pairs = torch.stack([shown(values.cpu()) for values in (x, again)])  # (2, B, C, H, W)
    blank = pairs.new_ones(2, -len(x) % columns, *x.shape[1:])
    cells = torch.cat([pairs, blank], 1).unflatten(1, (-1, columns)).transpose(0, 1)  # (R, 2, columns, C, H, W)
    return grid(pixels(cells.flatten(0, 2)), columns, gap)


def draws(
    model: VAE, x: Tensor, *context: Tensor, count: int = 7, gap: int = 1, shown: Shown = as_given, seed: int = 0
) -> Image:
    """Lay out each image at the left of decoded draws of z from its posterior.

    Arguments:
        model: the model.
        x: images, shape (B, C, H, W), one a row.
        context: conditions, each of shape (B, ...).
        count: how many draws of z are decoded for each.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.
        seed: of the draws.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.figures.draws(model, model.sample(2), count=7, gap=0).shape
        (16, 64)
    """
    with inference(model, seed):
        drawn = [model.reconstruct(x, *context, sample=True) for _ in range(count)]
    cells = torch.stack([x, *drawn], 1).flatten(0, 1)  # (B * (1 + count), C, H, W)
    return grid(pixels(cells, shown), 1 + count, gap)


def samples(
    model: VAE,
    *context: Tensor,
    count: int = 144,
    columns: int = 12,
    mean: bool = True,
    gap: int = 1,
    shown: Shown = as_given,
    seed: int = 0,
) -> Image:
    """Lay out what the model makes of draws from the prior.

    Arguments:
        model: the model.
        context: conditions, each of shape (B, ...); one image is drawn for each row, and `count` is not used.
        count: how many images are drawn without context.
        columns: how many stand in a row.
        mean: show the mean of p(x|z) rather than a draw from it.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.
        seed: of the draws.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.figures.samples(model, count=6, columns=3, gap=0).shape
        (16, 24)
    """
    return grid(pixels(generated(model, *context, count=count, mean=mean, seed=seed), shown), columns, gap)


def generated(model: VAE, *context: Tensor, count: int, mean: bool = True, seed: int = 0) -> Tensor:
    """Draw data from the model, shape (N, *event): `count` examples, or one for each row of the context."""
    require_count("", "count", count)
    with inference(model, seed):
        z = model.prior(*context).sample(() if context else (count,))
        if mean:
            return decoded(model, z, *context)
        return cast(Tensor, model.likelihood(z, *context).sample())

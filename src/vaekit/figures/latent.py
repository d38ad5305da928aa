r"""Pictures of the latent space: grids over two latents, interpolations, traversals of single latents.

A grid over two latents takes its coordinates from two axes, vectors made by `linear_axis` or `normal_axis`:

    linear    evenly spaced over a range, such as that of the codes of the data
    normal    :math:`\Phi^{-1}((i + 1/2) / n)`, so that under N(0, 1) each interval is as probable (Kingma and Welling, 2014)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekit.errors import ConfigError
from vaekit.figures.canvas import Image, Shown, as_given, grid, pixels
from vaekit.figures.images import decoded, encoded
from vaekit.model import VAE


def linear_axis(low: float, high: float, count: int = 20) -> Tensor:
    """Return `count` evenly spaced coordinates from `low` to `high`.

    Example:
        >>> import vaekit as vk
        >>> vk.figures.linear_axis(0.0, 1.0, 3)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.linspace(low, high, count)


def normal_axis(count: int = 20) -> Tensor:
    """Return the coordinates that cut N(0, 1) into `count` equally probable parts at their medians.

    Example:
        >>> import vaekit as vk
        >>> vk.figures.normal_axis(2)
        tensor([-0.6745,  0.6745])
    """
    quantiles: Tensor = torch.special.ndtri((torch.arange(count) + 0.5) / count)
    return quantiles


def code_axes(codes: Tensor, *, count: int = 20, dims: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
    """Return linear axes from the least to the greatest coordinate of codes, shape (N, D), in two latents.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.figures.code_axes(torch.tensor([[0.0, 5.0], [1.0, 3.0]]), count=3)
        (tensor([0.0000, 0.5000, 1.0000]), tensor([3., 4., 5.]))
    """
    low, high = codes.min(0).values, codes.max(0).values
    horizontal, vertical = (linear_axis(low[d].item(), high[d].item(), count) for d in dims)
    return horizontal, vertical


def manifold(
    model: VAE,
    horizontal: Tensor,
    vertical: Tensor,
    *context: Tensor,
    dims: tuple[int, int] = (0, 1),
    center: Tensor | None = None,
    gap: int = 0,
    shown: Shown = as_given,
) -> Image:
    """Decode a grid over two latents, oriented as a chart: the first grows to the right, the second upwards.

    Arguments:
        model: the model.
        horizontal: coordinates of the first latent, shape (W,).
        vertical: coordinates of the second latent, shape (H,).
        context: conditions of one row, the same for all cells.
        dims: which two latents.
        center: the value of all other latents, shape (D,); zero if absent.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.

    Raises:
        ConfigError: if the model has no two such latents.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> axis = vk.figures.normal_axis(5)
        >>> vk.figures.manifold(model, axis, axis).shape
        (40, 40)
    """
    first, second = dims
    origin = latent_origin(model, *context) if center is None else center
    if first == second or not 0 <= min(dims) <= max(dims) < len(origin):
        raise ConfigError(f"`dims` is {dims}; it must name two different latents of {len(origin)}, counted from 0.")
    z = origin.repeat(len(vertical), len(horizontal), 1)
    z[..., first] = horizontal.to(z)
    z[..., second] = vertical.flip(0).to(z)[:, None]
    return grid(pixels(decoded(model, z.flatten(0, 1), *context), shown), len(horizontal), gap)


def latent_origin(model: VAE, *context: Tensor) -> Tensor:
    """Return the zero vector of the latent space, shape (D,)."""
    drawn: Tensor = model.prior(*context).sample()
    return torch.zeros_like(drawn.reshape(-1, drawn.shape[-1])[0])


def straight(start: Tensor, stop: Tensor, steps: int) -> Tensor:
    """Go from `start` to `stop`, each of shape (..., D), on a straight line.

    Returns:
        Shape (steps, ..., D), the ends included.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.figures.straight(torch.zeros(1), torch.ones(1), 3)
        tensor([[0.0000],
                [0.5000],
                [1.0000]])
    """
    t = torch.linspace(0, 1, steps).to(start).reshape(-1, *[1] * start.ndim)
    return torch.lerp(start, stop, t)


def spherical(start: Tensor, stop: Tensor, steps: int) -> Tensor:
    r"""Go from `start` to `stop`, each of shape (..., D), on an arc about the origin (Shoemake, 1985; White, 2016).

    With the angle :math:`\omega` between them, :math:`z_t = (\sin((1-t)\omega)\,z_0 + \sin(t\omega)\,z_1) / \sin\omega`; a
    straight line where they are (anti)parallel.

    Returns:
        Shape (steps, ..., D), the ends included.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.figures.spherical(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3)[1]
        tensor([0.7071, 0.7071])
    """
    t = torch.linspace(0, 1, steps).to(start).reshape(-1, *[1] * start.ndim)
    cosine = torch.nn.functional.cosine_similarity(start, stop, -1).clamp(-1, 1)[..., None]
    angle = cosine.acos()
    parallel = angle.sin() < 1e-4
    safe = angle.masked_fill(parallel, 1.0)
    arc = (((1 - t) * safe).sin() * start + (t * safe).sin() * stop) / safe.sin()
    return torch.where(parallel, torch.lerp(start, stop, t), arc)


def interpolations(
    model: VAE,
    first: Tensor,
    last: Tensor,
    *context: Tensor,
    steps: int = 10,
    arc: bool = False,
    gap: int = 1,
    shown: Shown = as_given,
    seed: int = 0,
) -> Image:
    """Lay out, one pair a row, the first image, the decoded codes on the way to the last, and the last image.

    Arguments:
        model: the model.
        first: images, shape (B, C, H, W).
        last: images, shape (B, C, H, W).
        context: conditions of the pairs, each of shape (B, ...).
        steps: how many codes are decoded, those of both images included.
        arc: go on arcs about the origin rather than on straight lines.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.
        seed: of the draws that stand in for the mean of a posterior that does not know it.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.figures.interpolations(model, model.sample(2), model.sample(2), steps=3, gap=0).shape
        (16, 40)
    """
    start, stop = (encoded(model, x, *context, seed=seed) for x in (first, last))
    path = (spherical if arc else straight)(start, stop, steps)
    between = model.decode(path, *context)  # (steps, B, C, H, W)
    cells = torch.cat([first[None], between, last[None]]).transpose(0, 1).flatten(0, 1)
    return grid(pixels(cells, shown), steps + 2, gap)


def traversals(
    model: VAE,
    center: Tensor,
    *context: Tensor,
    latents: Sequence[int],
    scale: Tensor | float = 1.0,
    deviations: float = 3.0,
    steps: int = 11,
    gap: int = 1,
    shown: Shown = as_given,
) -> Image:
    """Decode one latent a row, from -`deviations` to `deviations` standard deviations about `center`, all others as there.

    Arguments:
        model: the model.
        center: the code that is varied, shape (D,).
        context: conditions of one row, the same for all cells.
        latents: which latents, from the top row to the bottom row, usually by falling rate (`by_rate`).
        scale: the standard deviation of each latent, shape (D,), or of all.
        deviations: how many of them to go to each side.
        steps: how many values of each latent.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.figures.traversals(model, torch.zeros(2), latents=[0, 1], steps=5, gap=0).shape
        (16, 40)
    """
    scales = torch.as_tensor(scale).expand(len(center)).to(center)
    z = center.repeat(len(latents), steps, 1)
    for row, latent in enumerate(latents):
        z[row, :, latent] += scales[latent] * torch.linspace(-deviations, deviations, steps).to(z)
    return grid(pixels(decoded(model, z.flatten(0, 1), *context), shown), steps, gap)


def categories(
    model: VAE,
    center: Tensor,
    *context: Tensor,
    groups: Sequence[int],
    categories: int,
    gap: int = 1,
    shown: Shown = as_given,
) -> Image:
    """Decode every category of one group of one-hot latents a row, all other groups as in `center`.

    Arguments:
        model: the model.
        center: the code that is varied, G groups of K one-hot latents, shape (G K,).
        context: conditions of one row, the same for all cells.
        groups: which groups, from the top row to the bottom row.
        categories: K, how many categories a group has.
        gap: white pixels between neighbours.
        shown: brings values to the range from black, 0, to white, 1.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> prior, posterior = vk.priors.UniformCategorical, vk.posteriors.Concrete
        >>> model = vk.compose("digits", latent=20, prior=prior, posterior=posterior)
        >>> vk.figures.categories(model, torch.zeros(20), groups=[0, 1], categories=10, gap=0).shape
        (16, 80)
    """
    z = center.unflatten(0, (-1, categories)).repeat(len(groups), categories, 1, 1)  # (rows, K, G, K)
    for row, group in enumerate(groups):
        z[row, :, group] = torch.eye(categories).to(z)
    return grid(pixels(decoded(model, z.flatten(0, 1).flatten(1), *context), shown), categories, gap)


def by_rate(rates: Sequence[float] | Tensor, *, most: int | None = None) -> list[int]:
    """Order latents by falling rate and keep at most `most`.

    Example:
        >>> import vaekit as vk
        >>> vk.figures.by_rate([0.1, 2.0, 0.5], most=2)
        [1, 2]
    """
    return torch.as_tensor(rates).argsort(descending=True, stable=True)[:most].tolist()

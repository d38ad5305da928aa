"""Codes in the plane, and along a line where there is but one latent: projections, and what they look like by label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vaekit.errors import ShapeError
from vaekit.figures.charts import blank, describe, dots, legend_beside
from vaekit.figures.charts import color as one_of

MOST_CLASSES, MOST_BINS = 20, 40


def pca(codes: Tensor) -> Tensor:
    """Project codes, shape (N, D), onto their first two principal components, shape (N, 2).

    Raises:
        ShapeError: if there are fewer than two latents or rows.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.figures.pca(torch.randn(100, 16)).shape
        torch.Size([100, 2])
    """
    _require_plane(codes)
    centered = codes.double() - codes.double().mean(0)
    basis = centered.svd().V[:, :2]  # (D, 2)
    signs = basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    return (centered @ (basis * signs)).to(codes.dtype)


def tsne(codes: Tensor, *, seed: int = 0, perplexity: float = 30.0) -> Tensor:
    """Embed codes, shape (N, D), in the plane by t-SNE (van der Maaten and Hinton, 2008), started from PCA, shape (N, 2).

    Distances between far groups mean nothing in such a picture. 10,000 codes take about a minute on one core.

    Raises:
        ShapeError: if there are fewer than two latents or rows.
    """
    from sklearn.manifold import TSNE

    _require_plane(codes)
    method = TSNE(init="pca", random_state=seed, perplexity=min(perplexity, (len(codes) - 1) / 3))
    return codes.new_tensor(method.fit_transform(codes.detach().cpu().numpy()))


def _require_plane(codes: Tensor) -> None:
    if codes.ndim != 2 or min(codes.shape) < 2:
        raise ShapeError(
            f"`codes` has shape {tuple(codes.shape)}; a projection to the plane needs (N, D), both at least 2."
        )


def embedding(
    points: Tensor,
    labels: Tensor | npt.NDArray[np.generic] | None = None,
    *,
    label_names: Sequence[str] = (),
    title: str = "codes",
    names: tuple[str, str] = ("", ""),
    color: str = "label",
) -> Figure:
    """Draw points of the plane, coloured by label: a legend for classes, a colour bar for numbers (and for over 20 classes).

    Arguments:
        points: shape (N, 2), such as two latents, or the result of `pca` or `tsne`.
        labels: classes as integers, or numbers as floats, shape (N,).
        label_names: the names of classes 0, 1, ...
        title: what is shown.
        names: of the two axes; without any, the axes have no numbers either.
        color: what a colour bar counts.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> figure = vk.figures.embedding(torch.randn(4, 2), torch.tensor([0, 1, 1, 0]), label_names=("cat", "dog"))
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['cat', 'dog']
    """
    figure, (axes,) = blank(5.2, 4.4)
    xy = points.detach().cpu().numpy()
    look = dots(len(xy))
    describe(axes, title, *names)
    axes.set_aspect("equal", "datalim")
    if not any(names):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    if labels is None:
        axes.scatter(xy[:, 0], xy[:, 1], **look)
        return figure
    values = np.asarray(labels)
    classes = classes_of(values)
    if classes is None:
        bar = figure.colorbar(axes.scatter(xy[:, 0], xy[:, 1], c=values, cmap="viridis", **look), ax=axes)
        bar.set_label(color, parse_math=False)
        if np.issubdtype(values.dtype, np.integer):
            bar.locator = MaxNLocator("auto", integer=True)
        return figure
    for order, (label, name) in enumerate(named(classes, label_names)):
        axes.scatter(*xy[values == label].T, color=one_of(order, len(classes)), label=name, **look)
    legend_beside(axes, 3 / look["s"] ** 0.25)
    return figure


def histogram(
    codes: Tensor,
    labels: Tensor | npt.NDArray[np.generic] | None = None,
    *,
    label_names: Sequence[str] = (),
    title: str = "codes",
    name: str = "",
    color: str = "label",
) -> Figure:
    """Draw codes of one latent: how many examples lie where, by class; against their labels where these are numbers.

    Arguments:
        codes: shape (N, 1).
        labels: classes as integers, or numbers as floats, shape (N,).
        label_names: the names of classes 0, 1, ...
        title: what is shown.
        name: of the latent.
        color: what the labels are, where they are numbers.
    """
    figure, (axes,) = blank(5.2, 3.6)
    along, values = codes[:, 0].detach().cpu().double().numpy(), None if labels is None else np.asarray(labels)
    classes = None if values is None else classes_of(values)
    if values is not None and classes is None:
        describe(axes, title, name, color)
        axes.scatter(along, values, **dots(len(along)))
        return figure
    describe(axes, title, name, "examples")
    bins = np.histogram_bin_edges(along, min(MOST_BINS, math.ceil(2 * len(along) ** (1 / 3)))).tolist()
    if values is None or classes is None:
        axes.hist(along, bins, color="tab:blue")
        return figure
    kinds = list(named(classes, label_names))
    axes.hist(
        [along[values == label] for label, _ in kinds],
        bins,
        stacked=True,
        color=[one_of(order, len(kinds)) for order in range(len(kinds))],
        label=[kind for _, kind in kinds],
    )
    legend_beside(axes)
    return figure


def classes_of(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic] | None:
    """List the classes that labels are of; None where they are numbers, or over 20.

    Example:
        >>> classes_of(np.array([2, 0, 2])), classes_of(np.array([0.5]))
        (array([0, 2]), None)
    """
    classes = np.unique(labels)
    return None if len(classes) > MOST_CLASSES or np.issubdtype(labels.dtype, np.floating) else classes


def named(classes: npt.NDArray[np.generic], names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield each class with its name, its number where it has none."""
    for label in map(int, classes):
        yield label, names[label] if 0 <= label < len(names) else str(label)

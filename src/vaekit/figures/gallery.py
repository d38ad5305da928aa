"""Every figure that makes sense for a model and its data, each with a name for its file and a caption for its reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaekit.distributions import OneHotCategoricals, StandardNormal
from vaekit.evaluation.batches import Batches
from vaekit.figures.canvas import framed, is_image
from vaekit.figures.charts import MOST_COLUMNS, marginals, scatter
from vaekit.figures.exhibit import Exhibit, Illustration, Labels, Look, exhibited
from vaekit.figures.images import draws, generated, reconstructions, samples
from vaekit.figures.latent import (
    by_rate,
    categories,
    code_axes,
    interpolations,
    linear_axis,
    manifold,
    normal_axis,
    traversals,
)
from vaekit.figures.plane import embedding, histogram, pca, tsne
from vaekit.model import VAE

PAIRS, ROWS, STEPS, PER_CLASS = 6, 10, 11, 12


PLAIN = Look()


def illustrate(
    model: VAE,
    batches: Batches,
    *,
    labels: npt.NDArray[np.generic] | Tensor | None = None,
    label_names: Sequence[str] = (),
    look: Look = PLAIN,
    limit: int = 2000,
    span: tuple[float, float] | None = None,
    seed: int = 0,
) -> Iterator[Illustration]:
    """Draw all figures that suit the model and the data.

    Images get reconstructions, draws, samples, interpolations, traversals and manifolds; tables get their columns beside the
    model's; both get their codes in the plane.

    Arguments:
        model: the model.
        batches: tuples `(x, *context)`, each tensor of shape (B, ...), in the order of `labels`.
        labels: classes, shape (N,), or factors, shape (N, F), of which the first two are shown.
        label_names: the names of the classes, or of the factors.
        look: how examples are shown.
        limit: how many examples are used at most.
        span: the range of both axes of the linear manifold; None takes the range of the codes.
        seed: of all draws.
    """
    known = None if labels is None else np.asarray(labels)[:limit]
    exhibit = exhibited(model, batches, known, label_names, limit, seed)
    if is_image(exhibit.x.shape[1:]):
        yield from _of_images(exhibit, look, seed)
        yield from _of_latents(exhibit, look, span, seed)
    else:
        yield from _of_table(exhibit, look, seed)
    if exhibit.codes.shape[1] <= 2 or len(exhibit.codes) > 1:
        yield from _of_codes(exhibit, seed)


def _of_images(exhibit: Exhibit, look: Look, seed: int) -> Iterator[Illustration]:
    model = exhibit.model
    picture = framed(
        reconstructions(model, *exhibit.rows(32), shown=look.shown, seed=seed),
        "originals above, reconstructions below",
    )
    code = "the posterior's mean" if exhibit.means else "a draw from its posterior, which does not know its mean"
    yield Illustration("reconstructions", picture, f"Images, each above its reconstruction from {code}.")
    picture = framed(
        draws(model, *exhibit.rows(8), seed=seed, shown=look.shown),
        "several draws of one image's code",
        x_ticks=["original", *map(str, range(1, 8))],
    )
    caption = "Left: the image. Right: decoded draws from its posterior; what varies is what the code does not fix."
    yield Illustration("draws", picture, caption)
    yield _samples(exhibit, look, seed)


def _samples(exhibit: Exhibit, look: Look, seed: int) -> Illustration:
    """Draw samples: one class a row for a model that is conditional on classes."""
    caption, title = "Decoded draws from the prior (means of p(x|z))", "what draws from the prior decode to"
    context, classes = exhibit.rows(144)[1:], exhibit.classes
    if classes:
        context = tuple(torch.cat(c).repeat_interleave(PER_CLASS, 0) for c in zip(*classes.values(), strict=True))
        caption, title = f"{caption}, one class a row", f"{title}, by class"
    image = samples(exhibit.model, *context, columns=PER_CLASS, seed=seed, shown=look.shown)
    caption += ". They should look like the data, and differ from each other."
    return Illustration("samples", framed(image, title, y_ticks=list(classes)), caption)


def _of_latents(exhibit: Exhibit, look: Look, span: tuple[float, float] | None, seed: int) -> Iterator[Illustration]:
    prior = exhibit.model.prior(*exhibit.condition)
    if isinstance(prior, OneHotCategoricals):
        yield _categories(exhibit, look, prior.logits.shape[-1])
        return
    yield from _interpolations(exhibit, look, seed)
    yield _traversals(exhibit, look)
    if exhibit.codes.shape[1] > 1:
        yield from _manifolds(exhibit, look, span, isinstance(prior, StandardNormal))


def _categories(exhibit: Exhibit, look: Look, count: int) -> Illustration:
    groups = by_rate(exhibit.rates, most=ROWS)
    picture = framed(
        categories(
            exhibit.model, exhibit.drawn[0], *exhibit.condition, groups=groups, categories=count, shown=look.shown
        ),
        f"every category of single groups{exhibit.under}",
        x_label="category",
        x_ticks=[str(k) for k in range(count)],
        y_ticks=[f"group {group}" for group in groups],
    )
    caption = "One group a row, the most used at the top, the others as drawn for the first image. Equal images in a row: unused."
    return Illustration("categories", picture, caption)


def _interpolations(exhibit: Exhibit, look: Look, seed: int) -> Iterator[Illustration]:
    pairs = _pairs(exhibit)
    first, last = ([t[[pair[end] for pair in pairs]] for t in (exhibit.x, *exhibit.context)] for end in (0, 1))
    drawn = "" if exhibit.means else f" Codes are {exhibit.codes_are}."
    for arc, way in ((False, "linear"), (True, "spherical")) if pairs else ():
        image = interpolations(exhibit.model, first[0], last[0], *first[1:], arc=arc, shown=look.shown, seed=seed)
        caption = f"Outermost: two images. Between: decoded codes on the {way} path from one code to the other.{drawn}"
        picture = framed(image, f"{way} interpolation between two images' codes")
        yield Illustration(f"interpolations-{way}", picture, caption)


def _pairs(exhibit: Exhibit) -> list[tuple[int, int]]:
    """Choose pairs of examples that have the same conditions, the first ones that there are."""
    if not exhibit.context:
        count = min(PAIRS, len(exhibit.x) // 2)
        return [(i, count + i) for i in range(count)]
    waiting: dict[tuple[float, ...], int] = {}
    pairs = []
    for i, row in enumerate(torch.cat([c.flatten(1) for c in exhibit.context], 1).tolist()):
        before = waiting.pop(tuple(row), None)
        if before is None:
            waiting[tuple(row)] = i
        else:
            pairs.append((before, i))
    return pairs[:PAIRS]


def _traversals(exhibit: Exhibit, look: Look) -> Illustration:
    latents, center, scale = exhibit.latents[:ROWS], exhibit.codes.mean(0), exhibit.drawn.std(0, correction=0)
    picture = framed(
        traversals(
            exhibit.model, center, *exhibit.condition, latents=latents, scale=scale, steps=STEPS, shown=look.shown
        ),
        f"single latents, from -3 to 3 standard deviations{exhibit.under}",
        x_ticks=torch.linspace(-3, 3, STEPS),
        y_ticks=[f"z{latent}" for latent in latents],
    )
    caption = "One latent a row, the most used at the top, the others at their mean. Rows without change carry nothing."
    return Illustration("traversals", picture, caption)


def _manifolds(
    exhibit: Exhibit, look: Look, span: tuple[float, float] | None, standard: bool
) -> Iterator[Illustration]:
    """Draw the grids over two latents: by quantiles of the prior too where that is a standard normal."""
    plane = exhibit.codes.shape[1] == 2
    dims, count = ((0, 1), 20) if plane else ((exhibit.latents[0], exhibit.latents[1]), 10)
    rest = "" if plane else " The two most used latents; all others are 0."
    axes = code_axes(exhibit.drawn, count=count, dims=dims) if span is None else (linear_axis(*span, count),) * 2
    where = "over the range of the codes" if span is None else f"from {span[0]:g} to {span[1]:g}"
    grids = {"linear": (axes, f"evenly spaced {where}")}
    if standard:
        how = "mapped through the inverse normal CDF, so that cells are equally probable under the prior"
        grids["normal"] = ((normal_axis(count),) * 2, how)
    for name, ((horizontal, vertical), how) in grids.items():
        picture = framed(
            manifold(exhibit.model, horizontal, vertical, *exhibit.condition, dims=dims, shown=look.shown),
            f"decoded grid over two latents ({name}){exhibit.under}",
            x_label=f"z{dims[0]}",
            y_label=f"z{dims[1]}",
            x_ticks=horizontal,
            y_ticks=vertical.flip(0),
        )
        caption = f"What a {count} x {count} grid of codes decodes to, {how}.{rest}"
        yield Illustration(f"manifold-{name}", picture, caption)


def _of_table(exhibit: Exhibit, look: Look, seed: int) -> Iterator[Illustration]:
    drawn = generated(exhibit.model, *exhibit.context, count=len(exhibit.x), mean=False, seed=seed)
    real, modelled = (look.units(x.cpu()).flatten(1) for x in (exhibit.x, drawn.to(exhibit.x)))
    most = f"The first {MOST_COLUMNS} of {real.shape[1]} columns" if real.shape[1] > MOST_COLUMNS else "Each column"
    caption = f"{most} of the data beside as many samples of the model, as densities."
    yield Illustration("marginals", marginals(real, modelled, names=look.names, words=look.words), caption)
    if real.shape[1] > 1:
        caption = (
            "The two columns most correlated in the data, against each other: the model should show the same shape."
        )
        picture = scatter(real, modelled, names=look.names, columns=_most_correlated(real), words=look.words)
        yield Illustration("pairs", picture, caption)


def _most_correlated(x: Tensor) -> tuple[int, int]:
    """Return the two columns of a table, shape (N, D), whose correlation is strongest, in their order; the first two of one row."""
    if len(x) < 2:
        return 0, 1
    strength = x.double().T.corrcoef().abs().nan_to_num(0).triu(1)
    first, second = divmod(int(strength.argmax()), x.shape[1])
    return (first, second) if first < second else (0, 1)


class Projection(NamedTuple):
    """Codes as they are drawn.

    Attributes:
        name: of the figure's file.
        title: how they were projected, and from how many latents.
        points: shape (N, 2); shape (N, 1) for one latent.
        axes: the names of the axes.
        caption: what is shown and how to read it.
    """

    name: str
    title: str
    points: Tensor
    axes: tuple[str, str]
    caption: str


def _projections(exhibit: Exhibit, seed: int) -> Iterator[Projection]:
    """Bring codes into the plane; those of one latent stay on their line."""
    codes, are = exhibit.codes, exhibit.codes_are
    if codes.shape[1] <= 2:
        title = "codes, z0" if codes.shape[1] == 1 else "codes, z0 and z1"
        yield Projection("codes", title, codes, ("z0", "z1"), f"The codes ({are}) of examples.")
        return
    axes = ("first principal component", "second principal component")
    caption = f"Codes ({are}) on their principal components."
    yield Projection("codes-pca", f"principal components of {exhibit.space}", pca(codes), axes, caption)
    caption = f"Codes ({are}) by t-SNE: neighbours are near; far distances mean nothing."
    yield Projection("codes-tsne", f"t-SNE of {exhibit.space}", tsne(codes, seed=seed), ("", ""), caption)


def _of_codes(exhibit: Exhibit, seed: int) -> Iterator[Illustration]:
    """Draw the codes, coloured by class, or once by each of the first two factors."""
    labels, names = exhibit.labels, exhibit.label_names
    for projection in _projections(exhibit, seed):
        if labels is None or labels.ndim == 1:
            picture = _codes(projection, projection.title, labels, names)
            yield Illustration(projection.name, picture, projection.caption)
            continue
        for factor in range(min(2, labels.shape[1])):
            color = names[factor] if factor < len(names) else f"factor {factor}"
            values = labels[:, factor].astype(int if set(np.unique(labels[:, factor])) <= {0, 1} else float)
            picture = _codes(projection, f"{projection.title}, coloured by {color}", values, (), color)
            yield Illustration(f"{projection.name}-{factor}", picture, f"{projection.caption} Colour: {color}.")


def _codes(
    projection: Projection, title: str, labels: Labels | None, names: Sequence[str], color: str = "label"
) -> Figure:
    points, axes = projection.points, projection.axes
    if points.shape[1] == 1:
        return histogram(points, labels, label_names=names, title=title, name=axes[0], color=color)
    return embedding(points, labels, label_names=names, title=title, names=axes, color=color)

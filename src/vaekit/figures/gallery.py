"""Every figure that makes sense for a model and its data, each with a name for its file and a caption for its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaekit.distributions import OneHotCategoricals
from vaekit.evaluation.batches import Batches, inference, unpacked
from vaekit.evaluation.representation import posterior_mean
from vaekit.figures.canvas import Image, Shown, as_given, framed, is_image
from vaekit.figures.charts import (
    AXES,
    MOST_COLUMNS,
    UNITLESS,
    History,
    curves,
    embedding,
    marginals,
    pca,
    rates_over_time,
    scatter,
    terms_of,
    time_axis,
    tsne,
)
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
from vaekit.model import VAE
from vaekit.objectives import ELBO

PAIRS, ROWS, STEPS = 6, 10, 11


class Illustration(NamedTuple):
    """A figure for a reader.

    Attributes:
        name: the stem of its file's name.
        picture: an image, or a figure.
        caption: what it shows and how to read it.
    """

    name: str
    picture: Image | Figure
    caption: str


class Exhibit(NamedTuple):
    """What the figures of a model are made from: N examples and their codes.

    Attributes:
        model: the model.
        x: data, shape (N, *event).
        context: conditions, each of shape (N, ...).
        codes: posterior means, shape (N, D).
        drawn: draws from the posteriors, shape (N, D).
        rates: the mean rate of each latent or group, shape (G,).
        shown: brings images to the range from black, 0, to white, 1.
        under: which condition is that of the first example, as the end of a title; "" without conditions.
    """

    model: VAE
    x: Tensor
    context: tuple[Tensor, ...]
    codes: Tensor
    drawn: Tensor
    rates: Tensor
    shown: Shown
    under: str = ""

    @property
    def latents(self) -> list[int]:
        """The latents by falling rate, or by the falling variance of their means where rates are per group."""
        per_latent = len(self.rates) == self.codes.shape[1]
        return by_rate(self.rates if per_latent else self.codes.var(0, correction=0))

    @property
    def condition(self) -> tuple[Tensor, ...]:
        """The conditions of the first example."""
        return tuple(c[:1] for c in self.context)

    def rows(self, count: int) -> tuple[Tensor, ...]:
        """Return the first examples and their conditions."""
        return tuple(t[:count] for t in (self.x, *self.context))


class Look(NamedTuple):
    """How examples are shown: the columns of a table, or the values of an image.

    Attributes:
        names: what columns are called; their numbers where none is given.
        units: brings rows, shape (N, D), from what the model scores to the units in which they are shown.
        words: what the numbers 0, 1, ... of each column stand for; none for a column of numbers.
        shown: brings images to the range from black, 0, to white, 1.
    """

    names: Sequence[str] = ()
    units: Callable[[Tensor], Tensor] = as_given
    words: Sequence[Sequence[str]] = ()
    shown: Shown = as_given


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
    exhibit = _exhibit(model, batches, limit, seed)._replace(shown=look.shown)
    if exhibit.context:
        exhibit = exhibit._replace(under=_condition_of_first(known, label_names))
    if is_image(exhibit.x.shape[1:]):
        yield from _of_images(exhibit, seed)
        yield from _of_latents(exhibit, span)
    else:
        yield from _of_table(exhibit, look, seed)
    if exhibit.codes.shape[1] == 2 or min(exhibit.codes.shape) > 1:
        yield from _of_codes(exhibit.codes, known, label_names, seed)


def _exhibit(model: VAE, batches: Batches, limit: int, seed: int) -> Exhibit:
    given, codes, drawn, rates = [], [], [], []
    with inference(model, seed):
        for rows in unpacked(model, batches, limit):
            terms = ELBO()(model, *rows)
            given.append(rows)
            codes.append(posterior_mean(terms.trace))
            drawn.append(terms.trace.z)
            rates.append(terms.rates)
    x, *context = (torch.cat(parts) for parts in zip(*given, strict=True))
    return Exhibit(model, x, tuple(context), torch.cat(codes), torch.cat(drawn), torch.cat(rates).mean(0), as_given)


def _condition_of_first(labels: npt.NDArray[np.generic] | None, names: Sequence[str]) -> str:
    """Say which condition the first example has, as the end of a title."""
    if labels is None or labels.ndim != 1 or int(labels[0]) >= len(names):
        return ", condition of the first example"
    return f", class {names[int(labels[0])]}"


def _of_images(exhibit: Exhibit, seed: int) -> Iterator[Illustration]:
    model = exhibit.model
    picture = framed(
        reconstructions(model, *exhibit.rows(32), shown=exhibit.shown), "originals above, reconstructions below"
    )
    yield Illustration("reconstructions", picture, "Images, each above its reconstruction from the posterior's mean.")
    picture = framed(
        draws(model, *exhibit.rows(8), seed=seed, shown=exhibit.shown),
        "several draws of one image's code",
        x_ticks=["original", *map(str, range(1, 8))],
    )
    caption = "Left: the image. Right: decoded draws from its posterior; what varies is what the code does not fix."
    yield Illustration("draws", picture, caption)
    image = samples(model, *exhibit.rows(144)[1:], seed=seed, shown=exhibit.shown)
    caption = (
        "Decoded draws from the prior (means of p(x|z)). They should look like the data, and differ from each other."
    )
    yield Illustration("samples", framed(image, "what draws from the prior decode to"), caption)


def _of_latents(exhibit: Exhibit, span: tuple[float, float] | None) -> Iterator[Illustration]:
    prior = exhibit.model.prior(*exhibit.condition)
    if isinstance(prior, OneHotCategoricals):
        yield _categories(exhibit, prior.logits.shape[-1])
        return
    yield from _interpolations(exhibit)
    yield _traversals(exhibit)
    if exhibit.codes.shape[1] > 1:
        yield from _manifolds(exhibit, span)


def _categories(exhibit: Exhibit, count: int) -> Illustration:
    groups = by_rate(exhibit.rates, ROWS)
    image = categories(
        exhibit.model, exhibit.drawn[0], *exhibit.condition, groups=groups, count=count, shown=exhibit.shown
    )
    picture = framed(
        image,
        f"every category of single groups{exhibit.under}",
        x_label="category",
        x_ticks=[str(k) for k in range(count)],
        y_ticks=[f"group {group}" for group in groups],
    )
    caption = "One group a row, the most used at the top, the others as drawn for the first image. Equal images in a row: unused."
    return Illustration("categories", picture, caption)


def _interpolations(exhibit: Exhibit) -> Iterator[Illustration]:
    pairs = _pairs(exhibit)
    first, last = ([t[[pair[end] for pair in pairs]] for t in (exhibit.x, *exhibit.context)] for end in (0, 1))
    for arc, way in ((False, "linear"), (True, "spherical")) if pairs else ():
        image = interpolations(exhibit.model, first[0], last[0], *first[1:], arc=arc, shown=exhibit.shown)
        caption = f"Outermost: two images. Between: decoded codes on the {way} path from one code to the other."
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


def _traversals(exhibit: Exhibit) -> Illustration:
    latents, center, scale = exhibit.latents[:ROWS], exhibit.codes.mean(0), exhibit.drawn.std(0, correction=0)
    picture = framed(
        traversals(
            exhibit.model, center, *exhibit.condition, latents=latents, scale=scale, steps=STEPS, shown=exhibit.shown
        ),
        f"single latents, from -3 to 3 standard deviations{exhibit.under}",
        x_ticks=ticks(torch.linspace(-3, 3, STEPS)),
        y_ticks=[f"z{latent}" for latent in latents],
    )
    caption = "One latent a row, the most used at the top, the others at their mean. Rows without change carry nothing."
    return Illustration("traversals", picture, caption)


def _manifolds(exhibit: Exhibit, span: tuple[float, float] | None) -> Iterator[Illustration]:
    plane = exhibit.codes.shape[1] == 2
    dims, count = ((0, 1), 20) if plane else ((exhibit.latents[0], exhibit.latents[1]), 10)
    rest = "" if plane else " The two most used latents; all others are 0."
    axes = code_axes(exhibit.drawn, count, dims) if span is None else (linear_axis(*span, count),) * 2
    where = "over the range of the codes" if span is None else f"from {span[0]:g} to {span[1]:g}"
    grids = {
        "linear": (axes, f"evenly spaced {where}"),
        "normal": (
            (normal_axis(count),) * 2,
            "mapped through the inverse normal CDF, so that cells are equally probable",
        ),
    }
    for name, ((horizontal, vertical), how) in grids.items():
        picture = framed(
            manifold(exhibit.model, horizontal, vertical, *exhibit.condition, dims=dims, shown=exhibit.shown),
            f"decoded grid over two latents ({name}){exhibit.under}",
            x_label=f"z{dims[0]}",
            y_label=f"z{dims[1]}",
            x_ticks=ticks(horizontal),
            y_ticks=ticks(vertical.flip(0)),
        )
        yield Illustration(
            f"manifold-{name}", picture, f"What a {count} x {count} grid of codes decodes to, {how}.{rest}"
        )


def ticks(values: Tensor) -> list[str]:
    """Write coordinates with one decimal where that is exact, else with two.

    Example:
        >>> ticks(torch.tensor([-1.5, 0.0])), ticks(torch.tensor([-0.95, -0.001]))
        (['-1.5', '0.0'], ['-0.95', '0.00'])
    """
    decimals = 1 if torch.allclose(values, values.round(decimals=1), atol=1e-3) else 2
    return [f"{round(value, decimals) + 0.0:.{decimals}f}" for value in values.tolist()]


def _of_table(exhibit: Exhibit, look: Look, seed: int) -> Iterator[Illustration]:
    drawn = generated(exhibit.model, *exhibit.context, count=len(exhibit.x), mean=False, seed=seed)
    real, modelled = (look.units(x.cpu()).flatten(1) for x in (exhibit.x, drawn.to(exhibit.x)))
    most = f"The first {MOST_COLUMNS} of {real.shape[1]} columns" if real.shape[1] > MOST_COLUMNS else "Each column"
    caption = f"{most} of the data beside as many samples of the model, as densities."
    yield Illustration("marginals", marginals(real, modelled, look.names, words=look.words), caption)
    if real.shape[1] > 1:
        caption = (
            "The two columns most correlated in the data, against each other: the model should show the same shape."
        )
        picture = scatter(real, modelled, look.names, _most_correlated(real), look.words)
        yield Illustration("pairs", picture, caption)


def _most_correlated(x: Tensor) -> tuple[int, int]:
    """Return the two columns of a table, shape (N, D), whose correlation is strongest, in their order."""
    strength = x.double().T.corrcoef().abs().nan_to_num(0).triu(1)
    first, second = divmod(int(strength.argmax()), x.shape[1])
    return (first, second) if first < second else (0, 1)


def _of_codes(
    codes: Tensor, labels: npt.NDArray[np.generic] | None, label_names: Sequence[str], seed: int
) -> Iterator[Illustration]:
    if codes.shape[1] == 2:
        planes = {"codes": (codes, ("z0", "z1"), "The codes (posterior means) of examples.")}
    else:
        axes = ("first principal component", "second principal component")
        planes = {
            "codes-pca": (pca(codes), axes, "Codes (posterior means) on their principal components."),
            "codes-tsne": (
                tsne(codes, seed),
                ("", ""),
                "Codes (posterior means) by t-SNE: neighbours are near; far distances mean nothing.",
            ),
        }
    for name, (points, axes, caption) in planes.items():
        if labels is None or labels.ndim == 1:
            yield Illustration(name, embedding(points, labels, label_names=label_names, names=axes), caption)
            continue
        for factor in range(min(2, labels.shape[1])):
            title = label_names[factor] if factor < len(label_names) else f"factor {factor}"
            values = labels[:, factor].astype(int if set(np.unique(labels[:, factor])) <= {0, 1} else float)
            picture = embedding(points, values, title=f"codes, coloured by {title}", names=axes, color=title)
            yield Illustration(f"{name}-{factor}", picture, f"{caption} Colour: {title}.")


def _varies(history: History, term: str) -> bool:
    return len({value for columns in history.values() for value in columns.get(term, ())}) > 1


def _without(history: History, pair: tuple[str, str]) -> History:
    """Leave out the terms of the first split that the second has too."""
    spare, kept = pair
    return {
        split: {t: v for t, v in columns.items() if split != spare or t in AXES or t not in history.get(kept, {})}
        for split, columns in history.items()
    }


def training(history: History, rates: History | None = None) -> Iterator[Illustration]:
    """Draw the course of training: every term by split, the bound over epochs, and the rate of each latent.

    Arguments:
        history: split -> column -> numbers in order, from a run's metrics.
        rates: the same for the columns `latent_0`, `latent_1`, ... beside `step` and `epoch`.
    """
    axis = time_axis(history)
    course = _without(history, ("epoch", "train") if axis == "step" else ("train", "epoch"))
    changing = [t for t in terms_of(history) if t not in UNITLESS or _varies(history, t)]
    told = "that of training is the mean over the epoch" if axis == "epoch" else "that of training is a running mean"
    caption = f"Every term that changes over training, by split; {told}."
    yield Illustration("curves", curves(course, changing, axis), caption)
    if "epoch" in history:
        means = {split: columns for split, columns in history.items() if split != "train"}
        caption = "The bound on log p(x) over epochs, by split; that of training is the mean over the epoch."
        yield Illustration("bounds", curves(means, ["bound"], "epoch"), caption)
    if rates:
        split = "validation" if "validation" in rates else next(iter(rates))
        columns, axis = rates[split], time_axis({split: rates[split]})
        values = np.array([columns[name] for name in columns if name.startswith("latent_")]).T
        picture = rates_over_time(values, columns[axis], axis)
        yield Illustration(
            "rates", picture, f"The rate of each latent over training ({split}); latents at 0 are not used."
        )

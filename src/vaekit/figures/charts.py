"""Charts: codes in the plane, terms and rates over training, and columns of tables against the model's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vaekit.errors import ShapeError
from vaekit.figures.canvas import DPI
from vaekit.figures.limits import limit

Floats: TypeAlias = npt.NDArray[np.floating]
History: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]

AXES = ("step", "epoch")
MOST_CLASSES, MOST_LINES, MOST_COLUMNS, FEW_ROWS = 20, 10, 12, 200
MOST_WORDS, MOST_LETTERS, LETTERS_BESIDE = 20, 12, 36
TITLES = {
    "loss": "loss (what training minimises)",
    "bound": "bound on log p(x)",
    "distortion": "distortion, -E log p(x|z)",
    "rate": "rate, KL(q(z|x) || p(z))",
    "learning_rate": "learning rate",
}
POSTERIOR = ("posterior_mean", "posterior_mean_std", "posterior_log_variance")
UNITLESS = ("beta", "learning_rate", "temperature", "gradient_norm", *POSTERIOR)
LOOKS = {"train": ("train", "tab:blue"), "epoch": ("train", "tab:blue"), "validation": ("validation", "tab:orange")}


def blank(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a white figure, sizes in inches, with plain axes laid out in rows and columns."""
    figure = Figure(
        figsize=(width, height), dpi=DPI, facecolor="white", layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    )
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8)
    return figure, axes


def describe(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Write what axes show and what is along them, dollar signs as they are."""
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xlabel(x, fontsize=9, parse_math=False)
    axes.set_ylabel(y, fontsize=9, parse_math=False)


def panels(count: int, width: float = 3.6, height: float = 2.8, most: int = 3) -> tuple[Figure, list[Axes]]:
    """Make a figure of `count` equal axes, at most `most` a row."""
    columns = min(count, most)
    rows = -(-count // columns)
    figure, axes = blank(width * columns, height * rows, rows, columns)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def pca(codes: Tensor) -> Tensor:
    """Project codes, shape (N, D), onto their first two principal components, shape (N, 2).

    Raises:
        ShapeError: if there are fewer than two latents or rows.
    """
    _require_plane(codes)
    centered = codes.double() - codes.double().mean(0)
    basis = centered.svd().V[:, :2]  # (D, 2)
    signs = basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    return (centered @ (basis * signs)).to(codes.dtype)


def tsne(codes: Tensor, seed: int = 0, perplexity: float = 30.0) -> Tensor:
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
    """
    figure, (axes,) = blank(5.2, 4.4)
    xy = points.detach().cpu().numpy()
    look = _points(len(xy))
    describe(axes, title, *names)
    axes.set_aspect("equal", "datalim")
    if not any(names):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    if labels is None:
        axes.scatter(xy[:, 0], xy[:, 1], **look)
        return figure
    values = np.asarray(labels)
    classes = np.unique(values)
    if len(classes) > MOST_CLASSES or np.issubdtype(values.dtype, np.floating):
        figure.colorbar(axes.scatter(xy[:, 0], xy[:, 1], c=values, cmap="viridis", **look), ax=axes, label=color)
        return figure
    for order, label in enumerate(classes):
        name = label_names[label] if 0 <= label < len(label_names) else str(label)
        axes.scatter(*xy[values == label].T, color=_color(order, len(classes)), label=name, **look)
    axes.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, markerscale=3 / look["s"] ** 0.25
    )
    return figure


def _points(count: int) -> dict[str, Any]:
    """Return the look of so many points: the more, the smaller."""
    return {"s": float(np.clip(12000 / max(count, 1), 2, 24)), "alpha": 0.75, "linewidths": 0}


def _color(order: int, count: int) -> tuple[float, ...]:
    palette = colormaps["tab10" if count <= 10 else "tab20"]
    color: tuple[float, ...] = palette(order)
    return color


def curves(history: History, terms: Sequence[str] = (), axis: str = "") -> Figure:
    """Draw terms over training, one axes a term and one line a split; the split `epoch` holds training's means over epochs.

    Values that would flatten all others are beyond the axis, which says so (`vaekit.figures.limits`).

    Arguments:
        history: split -> column -> numbers in order; the columns `epoch` and `step` say where, all others are terms.
        terms: which terms to draw; all of them if empty.
        axis: what to draw them over, `epoch` or `step`; epochs if empty, where every split has at most one row of each.

    Raises:
        ShapeError: if a column is not as long as its split's axis, or there is nothing to draw.
    """
    chosen = terms or terms_of(history)
    if not chosen:
        raise ShapeError(
            f"`history` has no term to draw: its splits are {sorted(history)}. Record at least one evaluation."
        )
    axis = axis or time_axis(history)
    figure, axes = blank(5.2, 3.2) if len(chosen) == 1 else panels(len(chosen))
    for each, term in zip(axes, chosen, strict=True):
        for split, columns in history.items():
            if term in columns:
                _line(each, columns[axis], columns[term], label=split)
        describe(each, TITLES.get(term, term.replace("_", " ")), axis, "" if term in UNITLESS else "nats")
        limit(each, axis)
        each.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    if len(axes[0].lines) > 1:
        axes[0].legend(frameon=False, fontsize=8)
    return figure


def terms_of(history: History) -> list[str]:
    """List the terms of a history, each once."""
    return list(dict.fromkeys(t for columns in history.values() for t in columns if t not in AXES))


def time_axis(history: History) -> str:
    """Choose what training is drawn over: epochs where every split has at most one row of each, else steps."""
    rows = [columns.get("epoch", ()) for columns in history.values()]
    return "epoch" if all(len(set(r)) == len(r) > 1 for r in rows) else "step"


def _line(axes: Axes, times: Sequence[float], values: Sequence[float], label: str) -> None:
    if len(times) != len(values):
        raise ShapeError(f"`history` of {label!r} has {len(times)} rows, but a term with {len(values)} numbers.")
    name, color = LOOKS.get(label, (label, "tab:green"))
    marker = "o" if len(times) < 40 else ""
    axes.plot(times, values, marker=marker, markersize=2.5, linewidth=1.4, label=name, color=color)


def rates_over_time(rates: Tensor | Floats, times: Sequence[float], axis: str = "epoch") -> Figure:
    """Draw the rate of each latent over training: lines for few latents, a heat map for many, ordered by the last rate.

    Arguments:
        rates: nats, shape (T, G).
        times: the epochs or steps of the rows.
        axis: the name of what `times` counts.
    """
    values = np.asarray(rates, np.float64)
    order = np.argsort(-values[-1], kind="stable")
    title = "rate of each latent"
    if len(order) <= MOST_LINES:
        figure, (axes,) = blank(5.2, 3.2)
        for latent in order:
            axes.plot(times, values[:, latent], lw=1.4, color=_color(int(latent), len(order)), label=f"z{latent}")
        axes.set_ylim(bottom=min(0.0, float(values.min())))
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        describe(axes, title, axis, "nats")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        return figure
    figure, (axes,) = blank(5.2, min(7.0, 1.6 + 0.12 * len(order)))
    mesh = axes.pcolormesh(_edges(times), np.arange(len(order) + 1), values[:, order].T, cmap="viridis", vmin=0)
    step = -(-len(order) // 32)
    axes.set_yticks(np.arange(0, len(order), step) + 0.5, [f"z{latent}" for latent in order[::step]], fontsize=7)
    axes.invert_yaxis()
    axes.grid(False)
    describe(axes, title, axis, "latents, by their last rate")
    figure.colorbar(mesh, ax=axes, label="nats")
    return figure


def _edges(times: Sequence[float]) -> Floats:
    """Put the edges of cells half-way between rising times."""
    t = np.asarray(times, np.float64)
    middles = (t[1:] + t[:-1]) / 2
    first, last = (2 * t[0] - middles[0], 2 * t[-1] - middles[-1]) if len(t) > 1 else (t[0] - 0.5, t[0] + 0.5)
    return np.concatenate([[first], middles, [last]])


def marginals(
    real: Tensor,
    modelled: Tensor,
    names: Sequence[str] = (),
    most: int = MOST_COLUMNS,
    words: Sequence[Sequence[str]] = (),
) -> Figure:
    """Draw the histogram of each column of a table beside that of the model's samples.

    Arguments:
        real: data, shape (N, D).
        modelled: samples of the model, shape (M, D).
        names: of the columns.
        most: how many columns are drawn, the first ones.
        words: what the numbers 0, 1, ... of each column stand for; none for a column of numbers.
    """
    count = min(real.shape[1], most)
    figure, axes = panels(count, width=3.0, height=2.2, most=4)
    for column, each in enumerate(axes):
        data, model = (t[:, column].detach().cpu().double().numpy() for t in (real, modelled))
        known = _words(words, column)
        each.hist(
            [data, model],
            (np.arange(len(known) + 1) - 0.5 if known else _bins(data, model)).tolist(),
            density=True,
            label=["data", "model"],
            color=["0.55", "tab:blue"],
        )
        describe(each, _name(names, column))
        each.set_yticks([])
        each.xaxis.set_major_locator(MaxNLocator(5, integer=_whole(data)))
        _write(each.xaxis, known, LETTERS_BESIDE)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _bins(real: Floats, modelled: Floats, most: int = 30) -> Floats:
    """Choose the edges of bins: around each value of a column of few whole numbers, elsewhere of equal widths over the data,
    twice the cube root of the number of rows (the Rice rule) but at most 30.
    """
    together = np.concatenate([real, modelled])
    least, greatest = together.min(), together.max()
    if greatest - least < most and _whole(real):
        return np.arange(least, greatest + 1.5) - 0.5
    low, high = np.quantile(together, [0.005, 0.995]) if len(real) >= FEW_ROWS else (least, greatest)
    return np.linspace(low, high + (high == low), min(most, math.ceil(2 * len(real) ** (1 / 3))) + 1)


def _whole(values: Floats) -> bool:
    return bool(np.all(values == np.floor(values)))


def scatter(
    real: Tensor,
    modelled: Tensor,
    names: Sequence[str] = (),
    columns: tuple[int, int] = (0, 1),
    words: Sequence[Sequence[str]] = (),
) -> Figure:
    """Draw two columns of a table against each other, data and model side by side over the ranges of the data.

    The title says how many of the model's samples lie within them, where not all do.

    Arguments:
        real: data, shape (N, D).
        modelled: samples of the model, shape (M, D).
        names: of the columns.
        columns: which two.
        words: what the numbers 0, 1, ... of each column stand for; none for a column of numbers.
    """
    figure, axes = panels(2, width=3.2, height=3.0)
    low, high = real[:, columns].min(0).values.tolist(), real[:, columns].max(0).values.tolist()
    margins = [0.05 * (b - a) or 0.5 for a, b in zip(low, high, strict=True)]
    within = real.new_tensor(low) - real.new_tensor(margins), real.new_tensor(high) + real.new_tensor(margins)
    for each, rows, title, color in zip(axes, (real, modelled), ("data", "model"), ("0.45", "tab:blue"), strict=True):
        plane = rows[:, columns].detach()
        share = ((plane >= within[0]) & (plane <= within[1])).all(1).double().mean().item()
        title += f" ({share:.0%} in these ranges)" if share < 1 else ""
        each.scatter(*plane.cpu().T.numpy(), color=color, **_points(len(plane)))
        _write(each.xaxis, _words(words, columns[0]), LETTERS_BESIDE)
        _write(each.yaxis, _words(words, columns[1]))
        each.set_xlim(low[0] - margins[0], high[0] + margins[0])
        each.set_ylim(low[1] - margins[1], high[1] + margins[1])
        describe(each, title, _name(names, columns[0]), _name(names, columns[1]))
    return figure


def _name(names: Sequence[str], column: int) -> str:
    return names[column] if column < len(names) else f"column {column}"


def _words(words: Sequence[Sequence[str]], column: int) -> Sequence[str]:
    return words[column] if column < len(words) else ()


def _write(axis: Axis, words: Sequence[str], beside: float = math.inf) -> None:
    """Write words at 0, 1, ... along an axis: shortened where they are long, left out where they are many.

    Arguments:
        axis: the axis, which stays as it is without any words.
        words: what the numbers stand for.
        beside: for how many letters there is room beside each other; more are slanted.
    """
    step = -(-len(words) // MOST_WORDS) or 1
    texts = [word if len(word) <= MOST_LETTERS else f"{word[: MOST_LETTERS - 1]}…" for word in words[::step]]
    slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    if texts:
        look = slant if sum(len(text) + 2 for text in texts) > beside else {}
        axis.set_ticks(range(0, len(words), step), texts, parse_math=False, **look)

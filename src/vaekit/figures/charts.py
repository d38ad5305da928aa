"""Charts: codes in the plane, terms and rates over training, and columns of tables against the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vaekit.errors import ShapeError
from vaekit.figures.canvas import DPI

Floats: TypeAlias = npt.NDArray[np.floating]
History: TypeAlias = Mapping[str, Sequence[object]]

AXES = ("step", "epoch", "split")
MOST_CLASSES, MOST_LINES, MOST_COLUMNS = 20, 10, 12
TITLES = {
    "loss": "loss (what training minimises)",
    "bound": "bound on log p(x)",
    "distortion": "distortion, -E log p(x|z)",
    "rate": "rate, KL(q(z|x) || p(z))",
    "learning_rate": "learning rate",
}
UNITLESS = ("beta", "learning_rate", "temperature", "gradient_norm", "posterior_mean", "posterior_mean_std")


def blank(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a white figure, sizes in inches, with plain axes laid out in rows and columns."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8)
        each.title.set_fontsize(10)
    return figure, axes


def panels(count: int, width: float = 3.6, height: float = 2.6, most: int = 3) -> tuple[Figure, list[Axes]]:
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
) -> Figure:
    """Draw points of the plane, coloured by label: a legend for classes, a colour bar for numbers.

    Arguments:
        points: shape (N, 2), such as two latents, or the result of `pca` or `tsne`.
        labels: classes or numbers, shape (N,).
        label_names: the names of classes 0, 1, ...
        title: what is shown.
        names: of the two axes.
    """
    figure, (axes,) = blank(6.4, 5.4)
    xy = points.detach().cpu().numpy()
    look = {"s": float(np.clip(12000 / max(len(xy), 1), 2, 24)), "alpha": 0.75, "linewidths": 0}
    axes.set(title=title, xlabel=names[0], ylabel=names[1])
    if labels is None:
        axes.scatter(*xy.T, **look)
        return figure
    values = np.asarray(labels)
    classes = np.unique(values)
    if len(classes) > MOST_CLASSES or not np.all(classes == np.floor(classes)):
        figure.colorbar(axes.scatter(*xy.T, c=values, cmap="viridis", **look), ax=axes, label="label")
        return figure
    for order, label in enumerate(classes.astype(int)):
        name = label_names[label] if label < len(label_names) else str(label)
        axes.scatter(*xy[values == label].T, color=_color(order, len(classes)), label=name, **look)
    axes.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, markerscale=3 / look["s"] ** 0.25
    )
    return figure


def _color(order: int, count: int) -> tuple[float, ...]:
    palette = colormaps["tab10" if count <= 10 else "tab20"]
    color: tuple[float, ...] = palette(order)
    return color


def curves(history: History, terms: Sequence[str] = ()) -> Figure:
    """Draw terms over training, one axes a term and one line a split.

    Arguments:
        history: the columns of a run's metrics: `step` or `epoch`, `split` if there are several, and terms, in which
            what was not measured is None, empty, or NaN.
        terms: which columns to draw; all that have a number if empty.

    Raises:
        ShapeError: if the columns differ in length, or there is no axis.
    """
    axis = "epoch" if len(set(history.get("epoch", ()))) > 2 else "step"
    if axis not in history or len({len(column) for column in history.values()}) > 1:
        sizes = {name: len(column) for name, column in history.items()}
        raise ShapeError(f"`history` needs a column `step` or `epoch` and columns of one length, and has {sizes}.")
    table = {name: numbers(column) for name, column in history.items() if name != "split"}
    splits = np.array([str(s) for s in history["split"]] if "split" in history else [""] * len(table[axis]))
    chosen = [t for t in terms or table if t not in AXES and np.isfinite(table[t]).any()]
    figure, axes = panels(len(chosen))
    for each, term in zip(axes, chosen, strict=True):
        for split in dict.fromkeys(splits):
            rows = (splits == split) & np.isfinite(table[term])
            if rows.any():
                each.plot(
                    table[axis][rows],
                    table[term][rows],
                    marker="o" if rows.sum() < 40 else "",
                    ms=2.5,
                    lw=1.4,
                    label=split,
                )
        each.set(title=TITLES.get(term, term.replace("_", " ")), xlabel=axis, ylabel="" if term in UNITLESS else "nats")
    if len(set(splits)) > 1:
        axes[0].legend(frameon=False, fontsize=8)
    return figure


def numbers(column: Sequence[object]) -> Floats:
    """Read a column as numbers: NaN where it holds none.

    Example:
        >>> numbers([1, "2.5", "", None])
        array([1. , 2.5, nan, nan])
    """
    return np.array([np.nan if value in (None, "") else float(str(value)) for value in column])


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
        figure, (axes,) = blank(6.4, 3.6)
        for latent in order:
            axes.plot(times, values[:, latent], lw=1.4, color=_color(int(latent), len(order)), label=f"z{latent}")
        axes.set(title=title, xlabel=axis, ylabel="nats")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        return figure
    figure, (axes,) = blank(6.4, min(7.0, 1.6 + 0.12 * len(order)))
    edges = np.concatenate([times, [times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1)]])
    mesh = axes.pcolormesh(edges, np.arange(len(order) + 1), values[:, order].T, cmap="viridis", vmin=0)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(title=title, xlabel=axis, ylabel="latents, by their last rate")
    figure.colorbar(mesh, ax=axes, label="nats")
    return figure


def marginals(real: Tensor, modelled: Tensor, names: Sequence[str] = (), most: int = MOST_COLUMNS) -> Figure:
    """Draw the histogram of each column of a table beside that of the model's samples.

    Arguments:
        real: data, shape (N, D).
        modelled: samples of the model, shape (M, D).
        names: of the columns.
        most: how many columns are drawn, the first ones.
    """
    count = min(real.shape[1], most)
    figure, axes = panels(count, width=3.0, height=2.2, most=4)
    for column, each in enumerate(axes):
        pair = [t[:, column].detach().cpu().double().numpy() for t in (real, modelled)]
        each.hist(pair, _bins(*pair), density=True, label=["data", "model"], color=["0.55", "tab:blue"])
        each.set(title=names[column] if column < len(names) else f"column {column}", yticks=[])
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _bins(real: Floats, modelled: Floats, most: int = 30) -> Floats:
    """Choose the edges of bins: around each value of a column of few whole numbers, equal widths over the data elsewhere."""
    distinct = np.unique(real)
    if len(distinct) <= most and np.all(distinct == np.floor(distinct)):
        return np.arange(min(distinct[0], modelled.min()), max(distinct[-1], modelled.max()) + 1.5) - 0.5
    low, high = np.quantile(np.concatenate([real, modelled]), [0.005, 0.995])
    return np.linspace(low, high + (high == low), most + 1)


def scatter(real: Tensor, modelled: Tensor, names: Sequence[str] = (), columns: tuple[int, int] = (0, 1)) -> Figure:
    """Draw two columns of a table against each other, data and model side by side on the same axes.

    Arguments:
        real: data, shape (N, D).
        modelled: samples of the model, shape (M, D).
        names: of the columns.
        columns: which two.
    """
    figure, axes = panels(2, width=3.8, height=3.6)
    low, high = real[:, columns].min(0).values.tolist(), real[:, columns].max(0).values.tolist()
    margins = [0.05 * (b - a) or 0.5 for a, b in zip(low, high, strict=True)]
    for each, rows, title, color in zip(axes, (real, modelled), ("data", "model"), ("0.45", "tab:blue"), strict=True):
        each.scatter(*rows[:, columns].detach().cpu().T.numpy(), s=6, alpha=0.5, linewidths=0, color=color)
        each.set(
            title=title,
            xlim=(low[0] - margins[0], high[0] + margins[0]),
            ylim=(low[1] - margins[1], high[1] + margins[1]),
        )
        each.set(xlabel=_name(names, columns[0]), ylabel=_name(names, columns[1]))
    return figure


def _name(names: Sequence[str], column: int) -> str:
    return names[column] if column < len(names) else f"column {column}"

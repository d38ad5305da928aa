"""Charts: plain axes to draw on, and the columns of tables against the model's."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

from vaekit.figures.canvas import DPI

Floats: TypeAlias = npt.NDArray[np.floating]

MOST_COLUMNS, FEW_ROWS = 12, 200
MOST_WORDS, MOST_LETTERS, LETTERS_BESIDE = 20, 12, 36


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


def dots(count: int) -> dict[str, Any]:
    """Return the look of so many points: the more, the smaller."""
    return {"s": float(np.clip(12000 / max(count, 1), 2, 24)), "alpha": 0.75, "linewidths": 0}


def color(order: int, count: int) -> tuple[float, float, float, float]:
    """Return one of `count` colours that are easily told apart."""
    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return palette(order)


def legend_beside(axes: Axes, scale: float = 1.0) -> None:
    """Write what the colours stand for at the right of axes, markers enlarged by `scale`, dollar signs as they are."""
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, markerscale=scale)
    for text in legend.get_texts():
        text.set_parse_math(False)


def panels(count: int, width: float = 3.6, height: float = 2.8, most: int = 3) -> tuple[Figure, list[Axes]]:
    """Make a figure of `count` equal axes, at most `most` a row."""
    columns = min(count, most)
    rows = -(-count // columns)
    figure, axes = blank(width * columns, height * rows, rows, columns)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def marginals(
    real: Tensor,
    modelled: Tensor,
    *,
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
    *,
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
        each.scatter(*plane.cpu().T.numpy(), color=color, **dots(len(plane)))
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

"""The course of training: terms by split, bounds, and the rate of each latent, over epochs or steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vaekit.errors import ShapeError
from vaekit.figures.charts import Floats, blank, color, describe, legend_beside, panels
from vaekit.figures.exhibit import Illustration
from vaekit.figures.limits import farthest, limit, told
from vaekit.text import RELAXED

History: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]

AXES = ("step", "epoch")
MOST_LINES = 10
TITLES = {
    "loss": "loss (what training minimises)",
    "bound": "bound on log p(x)",
    "distortion": "distortion, -E log p(x|z)",
    "rate": "rate, KL(q(z|x) || p(z))",
    "prior_cost": "prior cost of the code, -log p(z)",
    "learning_rate": "learning rate",
}
RELAXED_TITLES = {"bound": "bound (relaxed, none on log p(x))", "distortion": "distortion (relaxed, no likelihood)"}
NO_BOUND = " (relaxed, no bound)"
NOT_A_LIKELIHOOD = "The likelihood is relaxed: these are cross-entropies of grey values, not likelihoods."
POSTERIOR = ("posterior_mean", "posterior_mean_std", "posterior_log_variance")
UNITLESS = ("beta", "learning_rate", "temperature", "gradient_norm", *POSTERIOR)
LOOKS = {"train": ("train", "tab:blue"), "epoch": ("train", "tab:blue"), "validation": ("validation", "tab:orange")}


def training(history: History, rates: History | None = None) -> Iterator[Illustration]:
    """Draw the course of training: every term by split, the bound over epochs, and the rate of each latent.

    Where there is no bound, or no rate, there is no figure of it.

    Arguments:
        history: split -> column -> numbers in order, from a run's metrics.
        rates: the same for the columns `latent_0`, `latent_1`, ..., or `group_0`, ..., or `total`, beside `step` and `epoch`.
    """
    relaxed = _is_relaxed(history, "distortion")
    axis, remark = time_axis(history), f" {NOT_A_LIKELIHOOD}" if relaxed else ""
    course = _without(history, ("epoch", "train") if axis == "step" else ("train", "epoch"))
    changing = [t for t in terms_of(history) if t not in UNITLESS or _varies(history, t)]
    mean = "the mean over the epoch" if axis == "epoch" else "a running mean"
    caption = f"Every term that changes over training, by split; that of training is {mean}.{remark}"
    yield Illustration("curves", curves(course, terms=changing, axis=axis), caption)
    if "epoch" in history and "bound" in terms_of(history):
        means = {split: columns for split, columns in history.items() if split != "train"}
        what = "The relaxed bound" if _is_relaxed(history, "bound") else "The bound on log p(x)"
        caption = f"{what} over epochs, by split; that of training is the mean over the epoch.{remark}"
        if f"{RELAXED}bound" in history["epoch"] and not relaxed:
            caption += " With relaxed categories that of training is no bound; evaluation draws exact ones."
        yield Illustration("bounds", curves(means, terms=["bound"], axis="epoch"), caption)
    yield from _rates(rates or {})


def _rates(rates: History) -> Iterator[Illustration]:
    """Draw the rates of the validation split, or of the first split that has any."""
    order = sorted(rates, key=lambda name: name != "validation")
    split = next((name for name in order if set(rates[name]) - set(AXES)), None)
    if split is None:
        return
    columns, axis = rates[split], time_axis({split: rates[split]})
    names = [name for name in columns if name not in AXES]
    of = names[0].partition("_")[0]
    picture = rates_over_time(np.array([columns[name] for name in names]).T, columns[axis], axis=axis, of=of)
    caption = f"The rate of each {of} over training ({split}); {of}s at 0 are not used."
    if of == "total":
        caption = f"The rate of all latents together over training ({split}), which is not known for each."
    yield Illustration("rates", picture, caption)


def _varies(history: History, term: str) -> bool:
    return len({value for columns in history.values() for value in columns.get(term, ())}) > 1


def _without(history: History, pair: tuple[str, str]) -> History:
    """Leave out the terms of the first split that the second has too."""
    spare, kept = pair
    return {
        split: {t: v for t, v in columns.items() if split != spare or t in AXES or t not in history.get(kept, {})}
        for split, columns in history.items()
    }


def curves(history: History, *, terms: Sequence[str] = (), axis: str = "") -> Figure:
    """Draw terms over training, one axes a term and one line a split; the split `epoch` holds training's means over epochs.

    Values that would flatten all others are beyond the axis, which says so (`vaekit.figures.limits`). What all splits have as
    `relaxed_bound`, or `relaxed_distortion`, is called so in the title; what only some have is drawn beside that of the others,
    and called so in the legend.

    Arguments:
        history: split -> column -> numbers in order; the columns `epoch` and `step` say where, all others are terms.
        terms: which terms to draw; all of them if empty.
        axis: what to draw them over, `epoch` or `step`; epochs if empty, where every split has at most one row of each.

    Raises:
        ShapeError: if a column is not as long as its split's axis, or there is nothing to draw.

    Example:
        >>> import vaekit as vk
        >>> history = {"validation": {"epoch": [1, 2], "bound": [-3.0, -2.5], "rate": [0.4, 0.6]}}
        >>> [axes.get_title() for axes in vk.figures.curves(history).axes]
        ['bound on log p(x)', 'rate, KL(q(z|x) || p(z))']
    """
    chosen = terms or terms_of(history)
    if not chosen:
        raise ShapeError(
            f"`history` has no term to draw: its splits are {sorted(history)}. Record at least one evaluation."
        )
    axis = axis or time_axis(history)
    figure, axes = blank(5.2, 3.2) if len(chosen) == 1 else panels(len(chosen))
    for each, term in zip(axes, chosen, strict=True):
        relaxed = _is_relaxed(history, term)
        for split, columns in history.items():
            for column, remark in ((term, ""), (f"{RELAXED}{term}", "" if relaxed else NO_BOUND)):
                if column in columns:
                    _line(each, columns[axis], columns[column], split, remark)
        describe(each, _title(term, relaxed), axis, "" if term in UNITLESS else "nats")
        limit(each, axis)
        each.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for each in axes:
        remarked = any(NO_BOUND in str(line.get_label()) for line in each.lines)
        if remarked or (each is axes[0] and len(each.lines) > 1):
            each.legend(frameon=False, fontsize=8)
    return figure


def _is_relaxed(history: History, term: str) -> bool:
    """Tell whether no split has a term but relaxed."""
    names = {name for row in history.values() for name in row}
    return f"{RELAXED}{term}" in names and term not in names


def _title(term: str, relaxed: bool) -> str:
    """Say what a term is, and what it is not where it is relaxed."""
    return (relaxed and RELAXED_TITLES.get(term)) or TITLES.get(term, term.replace("_", " "))


def terms_of(history: History) -> list[str]:
    """List the terms of a history, each once, relaxed or not."""
    return list(dict.fromkeys(t.removeprefix(RELAXED) for row in history.values() for t in row if t not in AXES))


def time_axis(history: History) -> str:
    """Choose what training is drawn over: epochs where every split has at most one row of each, else steps."""
    rows = [columns.get("epoch", ()) for columns in history.values()]
    return "epoch" if all(len(set(r)) == len(r) > 1 for r in rows) else "step"


def _line(axes: Axes, times: Sequence[float], values: Sequence[float], split: str, remark: str) -> None:
    if len(times) != len(values):
        raise ShapeError(f"`history` of {split!r} has {len(times)} rows, but a term with {len(values)} numbers.")
    name, shade = LOOKS.get(split, (split, "tab:green"))
    marker = "o" if len(times) < 40 else ""
    axes.plot(times, values, marker=marker, markersize=2.5, linewidth=1.4, label=f"{name}{remark}", color=shade)


def rates_over_time(
    rates: Tensor | Floats, times: Sequence[float], *, axis: str = "epoch", of: str = "latent"
) -> Figure:
    """Draw the rate of each latent over training: lines for few latents, a heat map for many, ordered by the last rate.

    Rates that would flatten all others are beyond the axis, or the scale of colours, which says so.

    Arguments:
        rates: nats, shape (T, G).
        times: the epochs or steps of the rows.
        axis: the name of what `times` counts.
        of: what each rate is of: "latent", "group", or "total" for one rate of all.
    """
    values = np.asarray(rates, np.float64)
    order = np.argsort(-values[-1], kind="stable")
    title = "rate of all latents together" if of == "total" else f"rate of each {of}"
    names = ["total"] if of == "total" else [f"z{i}" if of == "latent" else f"{of} {i}" for i in range(len(order))]
    if len(order) > MOST_LINES:
        return _heat_map(values, times, order, names, (title, axis, f"{of}s, by their last rate"))
    figure, (axes,) = blank(5.2, 3.2)
    for i in order:
        axes.plot(times, values[:, i], lw=1.4, color=color(int(i), len(order)), label=names[i])
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    describe(axes, title, axis, "nats")
    limit(axes, axis)
    if values.min() >= 0:
        axes.set_ylim(bottom=0.0)
    legend_beside(axes)
    return figure


def _heat_map(
    values: Floats, times: Sequence[float], order: npt.NDArray[np.intp], names: Sequence[str], words: tuple[str, ...]
) -> Figure:
    """Draw rates, shape (T, G), as colours, one latent a row; `words` are the title and what is along the axes."""
    title, along, down = words
    figure, (axes,) = blank(5.2, min(7.0, 1.6 + 0.12 * len(order)))
    most = farthest(np.abs(values).ravel())
    beyond = values > most
    mesh = axes.pcolormesh(_edges(times), np.arange(len(order) + 1), values[:, order].T, cmap="viridis", vmin=0)
    if beyond.any():
        mesh.set_clim(0, most)
        rows, _ = np.nonzero(beyond)
        title += f"\nbeyond the scale: {told(np.stack([np.asarray(times)[rows], values[beyond]], 1), along)}"
    step = -(-len(order) // 32)
    axes.set_yticks(np.arange(0, len(order), step) + 0.5, [names[i] for i in order[::step]], fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.invert_yaxis()
    axes.grid(False)
    describe(axes, title, along, down)
    figure.colorbar(mesh, ax=axes, label="nats", extend="max" if beyond.any() else "neither")
    return figure


def _edges(times: Sequence[float]) -> Floats:
    """Put the edges of cells half-way between rising times."""
    t = np.asarray(times, np.float64)
    middles = (t[1:] + t[:-1]) / 2
    first, last = (2 * t[0] - middles[0], 2 * t[-1] - middles[-1]) if len(t) > 1 else (t[0] - 0.5, t[0] + 0.5)
    return np.concatenate([[first], middles, [last]])

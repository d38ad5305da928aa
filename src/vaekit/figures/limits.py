r"""Limits of axes: a course stays readable where a few of its values are far beyond all others, as where a fit explodes.

With the values of all lines in the order of :math:`|y|`, those that come after a jump are beyond the axis: the first jump in
the upper half from one value to more than 5 times it (and 25). So one epoch of 371,000 nats does not flatten the 30 of the
others, while a course that falls from 540 over 150 and 110 to 98 is shown whole, whatever its length.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

Floats: TypeAlias = npt.NDArray[np.float64]

JUMP, SMALL = 5.0, 5.0
MANY_DIGITS = 1e7


def limit(axes: Axes, unit: str) -> None:
    """Limit a vertical axis to what is before a jump, and write above it what is beyond; leave it as it is without one.

    Arguments:
        axes: the axes, with their lines and title.
        unit: what is along them, `epoch` or `step`.
    """
    points = np.concatenate([np.empty((0, 2)), *(np.asarray(line.get_xydata(), np.float64) for line in axes.lines)])
    points = points[np.isfinite(points[:, 1])]  # (N, 2)
    beyond = np.abs(points[:, 1]) > farthest(np.abs(points[:, 1]))
    if not beyond.any():
        return
    low, high = points[~beyond, 1].min(), points[~beyond, 1].max()
    margin = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    axes.set_title(axes.get_title(), fontsize=10, pad=16)
    words = f"beyond the axis: {told(points[beyond], unit)}"
    axes.text(0.5, 1.02, words, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, color="0.4")


def farthest(sizes: Floats) -> float:
    """Return the last of some sizes before a jump; infinity without one.

    Example:
        >>> farthest(np.array([371000.0, 31.0, 30.0])), farthest(np.array([540.0, 110.0, 98.0]))
        (31.0, inf)
    """
    ordered = np.sort(sizes)
    before, after = ordered[:-1], ordered[1:]
    jumps = before[(after > JUMP * np.maximum(before, SMALL)) & (np.arange(1, len(ordered)) > len(ordered) / 2)]
    return float(jumps[0]) if len(jumps) else np.inf


def told(points: Floats, unit: str) -> str:
    """Tell the farthest of some points, and when they were.

    Example:
        >>> told(np.array([[1.0, 371000.0]]), "epoch"), told(np.array([[50.0, -2e9], [90.0, -7e3]]), "step")
        ('371,000 (epoch 1)', '2 values, down to -2.0e+09 (steps 50 to 90)')
    """
    times, values = points.T
    farthest = values[np.abs(values).argmax()]
    number = f"{farthest:,.0f}" if abs(farthest) < MANY_DIGITS else f"{farthest:.1e}"
    if len(points) == 1:
        return f"{number} ({unit} {times[0]:g})"
    first, last = times.min(), times.max()
    when = f"{unit} {first:g}" if first == last else f"{unit}s {first:g} to {last:g}"
    return f"{len(points)} values, {'up' if farthest > 0 else 'down'} to {number} ({when})"

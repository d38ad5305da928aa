"""Why values lie outside a support, and the way out: one clause each, or None where they lie inside."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.distributions.categorical import Levels


def outside_unit_interval(x: Tensor) -> str | None:
    """Say why values are not all in [0, 1]."""
    low, high = x.min().item(), x.max().item()
    if low < 0 or high > 1:
        return f"its values run from {low:g} to {high:g}, outside [0, 1]. Scale the data, or choose another likelihood."
    return None


def not_binary(x: Tensor) -> str | None:
    """Say why values are not all 0 or 1."""
    if ((x != 0) & (x != 1)).any():
        return outside_unit_interval(x) or (
            "it has values between 0 and 1. Binarise it (the transform Binarize), choose ContinuousBernoulli, or "
            "accept a cross-entropy that is not a likelihood with relaxed=True."
        )
    return None


def not_positive(x: Tensor) -> str | None:
    """Say why values are not all above 0."""
    if (low := x.min().item()) <= 0:
        return f"its least value is {low:g}, and values must be above 0. Shift the data, or treat it as real."
    return None


def not_counts(x: Tensor) -> str | None:
    """Say why values are not all whole numbers from 0."""
    if (low := x.min().item()) < 0:
        return f"its least value is {low:g}, and counts start at 0. Give raw counts, or treat the data as real."
    if (fractions := x[x != x.round()]).numel():
        return (
            f"it has {fractions[0].item():g}, which is not a whole number. Give counts as they were before any "
            f"normalisation or logarithm, or treat the data as real."
        )
    return None


def not_categories(x: Tensor, levels: int) -> str | None:
    """Say why values are not all among 0, ..., levels - 1."""
    if (problem := not_counts(x)) is not None:
        return problem
    if (high := x.max().item()) >= levels:
        return f"its greatest value is {high:g}, and with `levels` {levels} it can be {levels - 1}. Raise `levels`."
    return None


def off_grid(x: Tensor, levels: int) -> str | None:
    """Say why values are not all on the grid k / (levels - 1) of [0, 1]."""
    if (problem := outside_unit_interval(x)) is not None:
        return problem
    if (between := x[~Levels(levels, levels - 1).check(x)]).numel():
        return (
            f"it has {between[0].item():g}, which lies between the {levels} levels k/{levels - 1} of [0, 1]. Give images "
            f"as they were stored, set `levels` to their number of levels, or choose a density such as ContinuousBernoulli."
        )
    return None


def gaps(x: Tensor) -> str | None:
    """Say in one clause how many values are NaN or infinite, and the way out; None if none is.

    Example:
        >>> gaps(torch.zeros(2)) is None
        True
    """
    count = int((~torch.isfinite(x)).sum())
    return f"{count} of its values are NaN or infinite. Fill the gaps, or leave those examples out." if count else None

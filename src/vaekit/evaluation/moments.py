r"""Means and variances of a stream of rows, in double precision and one pass (Chan, Golub and LeVeque, 1983)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Moments:
    r"""The count, mean and sum of squared deviations of rows seen so far; batches are merged by their sizes.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([1.0, 2.0]))
        >>> moments.add(torch.tensor([6.0]))
        >>> moments.mean.item(), moments.variance.item()
        (3.0, 4.666666666666667)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in rows, shape (B, ...) with B at least 1."""
        rows = rows.detach().cpu().double()
        mean = rows.mean(0)
        shift, total = mean - self.mean, self.count + len(rows)
        self.squares = self.squares + (rows - mean).square().sum(0) + shift.square() * (self.count * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """The variance over all rows, as of a whole population, shape (...)."""
        return self.squares / self.count

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean of scalar rows; None for a single row."""
        if self.count < 2:
            return None
        return math.sqrt(self.squares.item() / (self.count - 1) / self.count)

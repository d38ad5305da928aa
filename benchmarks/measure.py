"""Ratios of times on a machine that others may use too: alternating runs next to each other, medians, and their spread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

import torch

C = TypeVar("C")
B = TypeVar("B")
EPOCHS = 2


class Stopwatch:
    """Seconds since it was made, with the device's work done.

    Arguments:
        device: the kind of device that is waited for.

    Example:
        >>> Stopwatch("cpu").seconds() < 1
        True
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._wait()
        self.start = time.perf_counter()

    def seconds(self) -> float:
        """Wait for the device and return the time."""
        self._wait()
        return time.perf_counter() - self.start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def last_epoch(batches: Callable[[], Iterable[B]], step: Callable[[B], object], device: str) -> float:
    """Take a step for every batch of `EPOCHS` epochs and return the seconds of the last, when all has found its place.

    Arguments:
        batches: starts an epoch; that is not timed.
        step: what is timed, with what yields the batches.
        device: the kind of device that is waited for.

    Example:
        >>> last_epoch(lambda: range(3), print, "cpu") < 1
        0
        1
        2
        0
        1
        2
        True
    """
    for _ in range(EPOCHS):
        started = batches()
        watch = Stopwatch(device)
        for batch in started:
            step(batch)
        seconds = watch.seconds()
    return seconds


@dataclass(frozen=True)
class Ratio:
    """How many times as long one thing takes as another.

    Attributes:
        value: the median over pairs of runs.
        low: the first quartile.
        high: the third quartile.
        ours: the median time of the first, in seconds.
        theirs: the median time of the other.
    """

    value: float
    low: float
    high: float
    ours: float
    theirs: float


def compare(ours: Callable[[C], float], theirs: Callable[[C], float], case: C, rounds: int) -> Ratio:
    """Time two functions in turn and return the ratio of the second's time to the first's.

    Arguments:
        ours: returns seconds.
        theirs: likewise.
        case: what both are given.
        rounds: pairs that count; one more comes first and does not.

    Example:
        >>> compare(lambda case: case, lambda case: 2 * case, 1.5, rounds=3).value
        2.0
    """
    pairs = [_pair(ours, theirs, case, turn % 2 == 0) for turn in range(rounds + 1)][1:]
    ratios = [b / a for a, b in pairs]
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    first, second = zip(*pairs, strict=True)
    return Ratio(median(ratios), low, high, median(first), median(second))


def _pair(ours: Callable[[C], float], theirs: Callable[[C], float], case: C, first: bool) -> tuple[float, float]:
    """Run both, in either order, each without what the run before it left to be collected."""
    if first:
        return _run(ours, case), _run(theirs, case)
    second = _run(theirs, case)
    return _run(ours, case), second


def _run(function: Callable[[C], float], case: C) -> float:
    gc.collect()
    return function(case)

"""Running averages of an objective's terms, kept on the device and read once per report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vaekit.evaluation.representation import posterior_mean
from vaekit.objectives import Terms
from vaekit.text import RELAXED

Row: TypeAlias = dict[str, float]
Kept: TypeAlias = dict[str, Any]
OF_THE_LIKELIHOOD = ("bound", "distortion")
FIRST = ("loss", "bound", f"{RELAXED}bound", "distortion", "rate", "prior_cost")
PARTS = {"latent": "latent_rates", "group": "group_rates", "total": "total_rates"}
LARGE = 2**12  # more numbers than these are summed batch by batch, while the cache holds them


@dataclass(frozen=True)
class Reading:
    """Averages since the last reading.

    Attributes:
        counts: how many examples the average of each term is over: those of the batches that have it.
        values: the mean per example of each term, in nats, by name.
        rates: the mean rate of each latent or group by name, `latent_0` or `group_0`, or their `total`; none for a point.
        steps: the values of every single step, in order.
    """

    counts: Row
    values: Row
    rates: Row
    steps: list[Row] = field(default_factory=list)

    @property
    def examples(self) -> float:
        """How many examples there were."""
        return self.counts["loss"]

    def as_relaxed(self) -> Reading:
        """Return the same, with the terms of a likelihood called relaxed."""
        return Reading(_relaxed(self.counts), _relaxed(self.values), self.rates, [_relaxed(row) for row in self.steps])


@dataclass
class Meter:
    """Collects terms without reading them; `read` averages over examples, not over batches.

    Attributes:
        statistics: keep the values of every single step, and the posterior's statistics.
        shared: average over all processes of a distributed job.
        group: how many batches make a step; the last step before a reading may have fewer.
        relaxed: whether the likelihood is not normalised, and what is read is called so.
    """

    statistics: bool = False
    shared: bool = False
    group: int = 1
    relaxed: bool = False
    _pending: list[Kept] = field(default_factory=list)
    _sums: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, terms: Terms, counted: bool = True) -> None:
        """Keep the terms of one batch; the rows of a batch that is not counted stand in for none."""
        kept = kept_of(terms)
        if self.statistics:
            kept |= posterior_statistics(terms)
        self.keep(kept if counted else {n: _without_rows(v) for n, v in kept.items()})

    def keep(self, kept: Kept) -> None:
        """Keep what `kept_of` takes of the terms of one batch."""
        self._pending.append(kept)

    def fold(self, most: int = 16) -> None:
        """Add up what was collected, if it is so many batches, so that it takes no more memory."""
        if len(self._pending) >= most:
            self._sums, self._pending = _added(self._sums, _totals(self._pending)), []

    def state(self) -> list[Kept]:
        """Return what was collected and not read yet, exactly, and by all processes."""
        return _gathered(self._pending) if self.shared else list(self._pending)

    def restore(self, state: list[Kept], device: torch.device, counted: bool = True) -> None:
        """Continue from a state, which one process counts for all."""
        moved = ({n: v.to(device) if isinstance(v, Tensor) else v for n, v in kept.items()} for kept in state)
        self._pending = [kept if counted else {n: _without_rows(v) for n, v in kept.items()} for kept in moved]

    def read(self) -> Reading:
        """Average what was collected, and start anew."""
        pending = self.state() if self.statistics else self._pending
        sums = _added(self._sums, _totals(pending)) if pending else self._sums
        self._pending, self._sums = [], {}
        if not sums:
            return Reading({"loss": 0}, {}, {})
        if self.shared and not self.statistics:
            sums = _summed(sums)
        starts = range(0, len(pending), self.group) if self.statistics else ()
        steps = [_step_row(pending[i : i + self.group]) for i in starts]
        reading = replace(_reading(sums), steps=steps)
        return reading.as_relaxed() if self.relaxed else reading


def kept_of(terms: Terms) -> Kept:
    """Take those terms of a batch that are averaged, by what they are: a bound and a rate are so called only where they are one."""
    kept: Kept = {"loss": terms.loss, "distortion": terms.distortion}
    if terms.is_divergence:
        bound = f"{RELAXED}bound" if terms.is_relaxed else "bound"
        kept |= {bound: terms.bound, PARTS[terms.rates_of]: terms.rates}
    else:
        kept["prior_cost"] = terms.rate
    kept.update(terms.extras)
    return {name: value.detach() if isinstance(value, Tensor) else value for name, value in kept.items()}


def posterior_statistics(terms: Terms) -> Kept:
    """Compute, of each example, the mean over latents of the posterior's mean, of its square, and of the log-variance.

    The square is kept under the name of the deviation over batch and latents, which it becomes in the end. A posterior that
    does not know its mean is represented by the drawn latents, and one that does not know its variance has none.
    """
    mean = posterior_mean(terms.trace).detach().double().flatten(1)
    kept = {"posterior_mean": mean.mean(1), "posterior_mean_std": mean.square().mean(1)}
    with suppress(NotImplementedError):
        kept["posterior_log_variance"] = terms.trace.posterior.variance.detach().log().flatten(1).mean(1)
    return kept


def _relaxed(row: Row) -> Row:
    """Call the terms of a likelihood relaxed.

    Example:
        >>> _relaxed({"loss": 3.0, "bound": -3.0, "rate": 1.0})
        {'loss': 3.0, 'relaxed_bound': -3.0, 'rate': 1.0}
    """
    return {f"{RELAXED}{name}" if name in OF_THE_LIKELIHOOD else name: value for name, value in row.items()}


def _without_rows(value: Tensor | float) -> Tensor | float:
    return value[:0] if isinstance(value, Tensor) and value.ndim else value


def _totals(pending: list[Kept]) -> dict[str, Tensor]:
    """Sum each kept value over the examples of the batches that have it, and put their number behind the sum."""
    device = pending[0]["distortion"].device
    rows = torch.tensor([len(kept["distortion"]) for kept in pending], dtype=torch.float64, device=device)
    totals = {}
    for name in dict.fromkeys(name for kept in pending for name in kept):
        having = [i for i, kept in enumerate(pending) if name in kept]
        counted = rows if len(having) == len(pending) else rows[having]
        total = _total([pending[i][name] for i in having], counted)
        totals[name] = torch.cat([total.reshape(-1), counted.sum().reshape(1)])
    return totals


def _total(values: list[Any], rows: Tensor) -> Tensor:
    """Sum a value over examples: per-example values as they are, per-batch scalars times their batch's size."""
    if isinstance(values[0], Tensor) and values[0].ndim:
        parts = [v.sum(0, True, dtype=torch.float64) for v in values] if values[0].numel() > LARGE else values
        return torch.cat(parts).sum(0, dtype=torch.float64)
    each = torch.stack(values).double() if isinstance(values[0], Tensor) else rows.new_tensor(values)
    return (each * rows).sum()


def _added(sums: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**sums, **{name: total + sums[name] if name in sums else total for name, total in more.items()}}


def _summed(totals: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add up the totals of all processes."""
    flat = torch.cat([total.flatten() for total in totals.values()])
    torch.distributed.all_reduce(flat)
    parts = flat.split([total.numel() for total in totals.values()])
    return {name: part.view_as(total) for (name, total), part in zip(totals.items(), parts, strict=True)}


def _gathered(pending: list[Kept]) -> list[Kept]:
    """Put together what all processes keep of each batch."""
    mine = [{n: v.cpu() if isinstance(v, Tensor) else v for n, v in kept.items()} for kept in pending]
    all_of_them: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(all_of_them, mine)
    return [{name: _joined(parts, name) for name in parts[0]} for parts in zip(*all_of_them, strict=True)]


def _joined(parts: Sequence[Kept], name: str) -> Tensor | float:
    """Join a value of the parts of a batch: per-example values one after the other, means by their number of rows."""
    values = [part[name] for part in parts]
    if not isinstance(values[0], Tensor):
        return float(values[0])
    if values[0].ndim:
        return torch.cat(values)
    rows = torch.tensor([len(part["distortion"]) for part in parts], dtype=torch.float64)
    return ((torch.stack(values) * rows).sum() / rows.sum()).to(values[0].dtype)


def _reading(sums: Mapping[str, Tensor]) -> Reading:
    """Divide sums over examples by the number of examples."""
    read = {name: total.tolist() for name, total in sums.items()}
    counts = {name: total[-1] for name, total in read.items()}
    means = {name: [part / counts[name] for part in total[:-1]] for name, total in read.items()}
    rates = {name: rate for unit, key in PARTS.items() for name, rate in _named(unit, means.pop(key, ()))}
    values = {name: mean for name, (mean,) in means.items()}
    if rates:
        values["rate"], counts["rate"] = sum(rates.values()), counts["distortion"]
    return Reading(counts, _ordered(values), rates)


def _named(unit: str, rates: Sequence[float]) -> list[tuple[str, float]]:
    """Name the rate of each latent or group.

    Example:
        >>> _named("latent", [0.5, 2.0]), _named("total", [2.5])
        ([('latent_0', 0.5), ('latent_1', 2.0)], [('total', 2.5)])
    """
    return [(unit if unit == "total" else f"{unit}_{i}", rate) for i, rate in enumerate(rates)]


def _ordered(values: Mapping[str, float]) -> Row:
    """Put loss and bound first, turn the posterior's mean square into a deviation, and leave out what is not there.

    The logarithm of the variance of a point, minus infinity, is no number that a table or a curve could show.
    """
    row = {**{name: values[name] for name in FIRST if name in values}, **values}
    if "posterior_mean_std" in row:
        row["posterior_mean_std"] = math.sqrt(max(0.0, row["posterior_mean_std"] - row["posterior_mean"] ** 2))
    if row.get("posterior_log_variance") == -math.inf:
        del row["posterior_log_variance"]
    return row


def _step_row(batches: list[Kept]) -> Row:
    """Average the batches of a step over their examples; that is quicker for one."""
    if len(batches) > 1:
        return _reading(_totals(batches)).values
    (kept,) = batches
    values = {name: float(torch.as_tensor(value).mean()) for name, value in kept.items() if name not in PARTS.values()}
    rates = next((kept[key] for key in PARTS.values() if key in kept), None)
    return _ordered(values if rates is None else {**values, "rate": rates.sum(-1).mean().item()})

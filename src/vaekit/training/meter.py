"""Running averages of an objective's terms, kept on the device and read once per report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vaekit.objectives import Terms

Row: TypeAlias = dict[str, float]
Kept: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """Averages since the last reading.

    Attributes:
        examples: how many examples the averages are over.
        values: the mean per example of each term, in nats, by name.
        rates: the mean rate of each latent or group.
        steps: the values of every single step, in order.
    """

    examples: float
    values: Row
    rates: list[float]
    steps: list[Row]


@dataclass
class Meter:
    """Collects terms without reading them; `read` averages over examples, not over batches, and over all processes."""

    statistics: bool = False
    _pending: list[Kept] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, terms: Terms, counted: bool = True) -> None:
        """Keep the terms of one batch; the rows of a batch that is not counted stand in for none."""
        kept: Kept = {"loss": terms.loss, "bound": terms.bound, "distortion": terms.distortion, "rates": terms.rates}
        kept = {name: value.detach() for name, value in kept.items()}
        kept |= {name: value.detach() if isinstance(value, Tensor) else value for name, value in terms.extras.items()}
        if self.statistics:
            kept |= posterior_statistics(terms)
        self._pending.append(kept if counted else {n: _without_rows(v) for n, v in kept.items()})

    def state(self) -> list[Kept]:
        """Return what was collected and not read yet, exactly."""
        return list(self._pending)

    def restore(self, state: list[Kept]) -> None:
        """Continue from a state."""
        self._pending = list(state)

    def read(self) -> Reading:
        """Average what was collected, over all processes, and start anew."""
        pending, self._pending = self._pending, []
        steps = [_step_row(kept) for kept in pending] if self.statistics else []
        sums = _summed(_totals(pending)) if pending else {}
        if not sums:
            return Reading(0, {}, [], steps)
        count = sums.pop("examples")
        means = {name: total / count for name, total in sums.items()}
        rates = means.pop("rates").tolist()
        values = {name: mean.item() for name, mean in means.items()}
        return Reading(count.item(), _ordered(values, sum(rates)), rates, steps)


def posterior_statistics(terms: Terms) -> dict[str, Tensor]:
    """Compute the mean and deviation of the posterior's means over batch and latents, and its mean log-variance."""
    posterior = terms.trace.posterior
    mean, variance = posterior.mean.detach(), posterior.variance.detach()
    return {
        "posterior_mean": mean.mean(),
        "posterior_mean_std": mean.std(),
        "posterior_log_variance": variance.log().mean(),
    }


def _without_rows(value: Tensor | float) -> Tensor | float:
    return value[:0] if isinstance(value, Tensor) and value.ndim else value


def _totals(pending: list[Kept]) -> dict[str, Tensor]:
    """Sum each kept value over examples: per-example values as they are, per-batch scalars times their batch's size."""
    device = pending[0]["bound"].device
    rows = torch.tensor([len(kept["bound"]) for kept in pending], dtype=torch.float64, device=device)
    totals = {"examples": rows.sum()}
    for name, first in pending[0].items():
        values = [kept[name] for kept in pending]
        if isinstance(first, Tensor) and first.ndim:
            totals[name] = torch.cat(values).sum(0, dtype=torch.float64)
        elif isinstance(first, Tensor):
            totals[name] = (torch.stack(values).double() * rows).sum()
        else:
            totals[name] = (torch.tensor(values, dtype=torch.float64, device=device) * rows).sum()
    return totals


def _summed(totals: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add up the totals of all processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for total in totals.values():
            torch.distributed.all_reduce(total)
    return {name: total.cpu() for name, total in totals.items()}


def _ordered(values: Mapping[str, float], rate: float) -> Row:
    """Put the rate behind the distortion."""
    first = {name: values[name] for name in ("loss", "bound", "distortion")}
    return {**first, "rate": rate, **{name: value for name, value in values.items() if name not in first}}


def _step_row(kept: Mapping[str, Any]) -> Row:
    return _ordered(
        {name: float(torch.as_tensor(value).mean()) for name, value in kept.items() if name != "rates"},
        kept["rates"].sum(-1).mean().item(),
    )

"""The options of an optimiser and a schedule, where a run goes on: the numbers that are given then hold from there on.

What would make the state of a checkpoint that of something else is refused: another optimiser, another of its switches,
another schedule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaekit import spec
from vaekit.errors import ConfigError, RunError

IMPLEMENTATION = ("fused", "foreach", "capturable")
OWN = ("optimizer", "last_epoch")  # what a schedule is given besides its options


def options_of(optimizer: Optimizer, schedule: Callable[..., LRScheduler] | None) -> dict[str, Any]:
    """Describe an optimiser, and the factory of a schedule, as plain data for a checkpoint."""
    options = {name: spec.describe(v) for name, v in optimizer.defaults.items() if name not in IMPLEMENTATION}
    return {"optimizer": {"class": type(optimizer).__qualname__, **options}, "schedule": _of_schedule(schedule)}


def refuse_other_options(kept: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse another optimiser, switch of it, or schedule than a checkpoint's.

    Arguments:
        kept: what `options_of` said at the checkpoint.
        now: what it says now.
        path: the checkpoint.

    Raises:
        RunError: naming both.
    """
    _refuse("optimizer", _switches(kept["optimizer"]), _switches(now["optimizer"]), path)
    _refuse("schedule", kept["schedule"], now["schedule"], path)


def take_up_options(optimizer: Optimizer, schedule: LRScheduler | None, kept: Mapping[str, Any]) -> None:
    """Let the numbers that an optimiser was made with hold, where they are others than those of its state.

    A learning rate that was moved by a schedule, or is that of a group of its own, is changed in the same ratio.

    Arguments:
        optimizer: with the state of a checkpoint.
        schedule: likewise.
        kept: what `options_of` said at the checkpoint.
    """
    before = kept["optimizer"]
    for name in before.keys() & optimizer.defaults.keys():
        value = optimizer.defaults[name]
        if spec.describe(value) == before[name]:
            continue
        for group in optimizer.param_groups:
            for place in (name, f"initial_{name}"):
                if place in group:
                    group[place] = _changed(group[place], before[name], value, scales=name == "lr")
        if name == "lr" and schedule is not None:
            schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]


def _changed(current: Any, before: Any, value: Any, scales: bool) -> Any:
    """Return an option of a group after its default was changed."""
    if spec.describe(current) == before:
        return value
    return current * value / before if scales and before else current


def _of_schedule(factory: Callable[..., LRScheduler] | None) -> dict[str, Any] | None:
    """Describe a schedule's class and all its options, as far as they are plain."""
    if factory is None:
        return None
    target, chosen = spec.arguments_of(factory)
    known = inspect.signature(target).parameters.values()
    options = {p.name: p.default for p in known if p.name not in OWN and p.default is not p.empty} | chosen
    try:
        return {"class": target.__qualname__, **{name: spec.describe(value) for name, value in options.items()}}
    except ConfigError:
        return {"class": target.__qualname__}


def _switches(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class of an optimiser, and those of its options that are no numbers."""
    return {name: value for name, value in optimizer.items() if isinstance(value, bool | str)}


def _refuse(name: str, before: Mapping[str, Any] | None, given: Mapping[str, Any] | None, path: Path) -> None:
    if before != given:
        raise RunError(
            f"`{name}` is {_told(given, before)}, and `{path}` was written by {_told(before, given)}. Resume with that, or fit "
            f"another run from this one's model."
        )


def _told(described: Mapping[str, Any] | None, beside: Mapping[str, Any] | None) -> str:
    """Write a description as one would write the call, with the options that differ from those of the same class beside it."""
    if described is None:
        return "none"
    same = beside is not None and beside["class"] == described["class"]
    differing = {n: v for n, v in described.items() if same and beside is not None and beside.get(n) != v}
    return f"{described['class']}({', '.join(f'{n}={v!r}' for n, v in differing.items())})"

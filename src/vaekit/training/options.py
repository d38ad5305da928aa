"""The options of an optimiser and a schedule, where a run goes on: the numbers that are given then hold from there on.

What would make the state of a checkpoint that of something else is refused: another optimiser, another of its switches,
another schedule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from vaekit import spec
from vaekit.errors import ConfigError, RunError
from vaekit.training.settings import Settings

IMPLEMENTATION = ("fused", "foreach", "capturable")
OWN = ("optimizer", "last_epoch")  # what a schedule is given besides its options


def options_of(optimizer: Optimizer, settings: Settings) -> dict[str, Any]:
    """Describe an optimiser that was just made, and the factory of a schedule, as plain data for a checkpoint."""
    options = {name: value for name, value in optimizer.defaults.items() if name not in IMPLEMENTATION}
    schedule = None if settings.schedule is None else _of_schedule(settings.schedule, settings.schedule_per_step)
    return {"optimizer": {"class": type(optimizer).__qualname__, **_plain(options)}, "schedule": schedule}


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


def take_up_options(
    optimizer: Optimizer, schedule: LRScheduler | None, factory: Callable[..., Optimizer], kept: Mapping[str, Any]
) -> None:
    """Let the numbers that a factory was given hold, where they are others than those of an optimiser's state.

    A learning rate that was moved by a schedule, or is that of a group of its own, is changed in the same ratio.

    Arguments:
        optimizer: with the state of a checkpoint.
        schedule: likewise.
        factory: what made the optimiser.
        kept: what `options_of` said at the checkpoint.

    Raises:
        RunError: for a number that needs a state that there is not, or a rate that a schedule sets by itself.
    """
    before, given = kept["optimizer"], _plain(_given(factory))
    for name in [name for name in given if name in before and given[name] != before[name]]:
        _refuse_change(name, before[name], schedule)
        for group in optimizer.param_groups:
            for place in (name, f"initial_{name}"):
                if place in group:
                    group[place] = _changed(group[place], before[name], given[name], scales=name == "lr")
        if name == "lr" and before[name]:
            _rebase(schedule, given[name] / before[name])


def _refuse_change(name: str, before: Any, schedule: LRScheduler | None) -> None:
    if name == "momentum" and not before:
        raise RunError("`optimizer.momentum` was 0, and the run has no momentum to go on with. Resume without.")
    parts = (schedule, *getattr(schedule, "_schedulers", ()))
    if name == "lr" and any(isinstance(part, CyclicLR | OneCycleLR) for part in parts):
        raise RunError(
            f"`optimizer.lr` has another value, but {type(schedule).__name__} sets the rate by itself. Resume with the old value."
        )


def _changed(current: Any, before: Any, value: Any, scales: bool) -> Any:
    """Return an option of a group after its default was changed."""
    if spec.describe(current) == before:
        return value
    return current * value / before if scales and before else current


def _rebase(schedule: LRScheduler | None, ratio: float) -> None:
    """Change the rates that a schedule, and the schedules in it, go out from."""
    if schedule is not None:
        schedule.base_lrs = [rate * ratio for rate in getattr(schedule, "base_lrs", ())]
        for part in getattr(schedule, "_schedulers", ()):
            _rebase(part, ratio)


def _given(factory: Callable[..., object]) -> dict[str, object]:
    """Return the arguments that a factory fixes, as far as they have names."""
    with suppress(ConfigError):
        return spec.arguments_of(factory)[1]
    return {}


def _plain(options: Mapping[str, object]) -> dict[str, Any]:
    """Describe those options that can be."""
    described = {}
    for name, value in options.items():
        with suppress(ConfigError):
            described[name] = spec.describe(value)
    return described


def _of_schedule(factory: Callable[..., LRScheduler], per_step: bool) -> dict[str, Any]:
    """Describe a schedule's class and all its options, as far as they are plain and have names."""
    told: dict[str, Any] = {"class": type(factory).__qualname__, "per step": per_step}
    with suppress(ConfigError, TypeError, ValueError):
        target, chosen = spec.arguments_of(factory)
        told["class"] = getattr(target, "__qualname__", told["class"])
        known = {p.name: p.default for p in inspect.signature(target).parameters.values() if p.default is not p.empty}
        told |= _plain({name: value for name, value in {**known, **chosen}.items() if name not in OWN})
    return told


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

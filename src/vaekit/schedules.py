"""Schedules: quantities that change with the number of training steps taken.

A schedule is a pure function of the step, so it is part of the model's state and resumes exactly. Evaluation uses the
value at the end of the schedule, so that all checkpoints of a run are compared by one and the same objective.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from vaekit.arguments import require_number
from vaekit.errors import ConfigError


class _Stepping(Protocol):
    step: Tensor
    training: bool


@dataclass(frozen=True)
class Schedule(ABC):
    """A quantity that goes from `start` to `stop` within `steps` training steps.

    Arguments:
        start: the value at step 0.
        stop: the value from step `steps` on, and in evaluation.
        steps: the length of the schedule in training steps.

    Raises:
        ConfigError: if a number is not finite, or `steps` is below 1.
    """

    start: float = 0.0
    stop: float = 1.0
    steps: int = 1000

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("stop", self.stop)):
            require_number(self, name, value)
        require_number(self, "steps", self.steps, least=1)

    @abstractmethod
    def progress(self, fraction: Tensor) -> Tensor:
        """Map the elapsed fraction of the schedule, which may exceed 1, to the progress from 0 (start) to 1 (stop)."""

    def between(self, progress: Tensor) -> Tensor:
        """Map the progress from 0 to 1 to the value from start to stop: straight, unless a schedule goes another way."""
        return self.start + (self.stop - self.start) * progress

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the value at a step, as a scalar tensor."""
        return self.between(self.progress(torch.as_tensor(step).to(torch.get_default_dtype()) / self.steps))


@dataclass(frozen=True)
class Linear(Schedule):
    """Straight from start to stop, then constant (KL warm-up of Bowman et al., 2016; Sonderby et al., 2016).

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.Linear(steps=10)(5)
        tensor(0.5000)
    """

    def progress(self, fraction: Tensor) -> Tensor:
        return fraction.clamp(0, 1)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from start to stop, then constant.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.Cosine(start=1.0, stop=0.0, steps=10)(5)
        tensor(0.5000)
    """

    def progress(self, fraction: Tensor) -> Tensor:
        return 0.5 - 0.5 * torch.cos(math.pi * fraction.clamp(0, 1))


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """A logistic curve, rescaled to pass exactly through start and stop, then constant (Bowman et al., 2016).

    Arguments:
        sharpness: the logistic's argument runs from -sharpness to sharpness.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.Sigmoid(steps=10)(5)
        tensor(0.5000)
    """

    sharpness: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self, "sharpness", self.sharpness, above=0)

    def progress(self, fraction: Tensor) -> Tensor:
        low = 1 / (1 + math.exp(self.sharpness))
        curve = torch.sigmoid(self.sharpness * (2 * fraction.clamp(0, 1) - 1))
        return (curve - low) / (1 - 2 * low)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A geometric approach, value = start (stop / start)^fraction, then constant (the temperature of Jang et al., 2017).

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.Exponential(start=1.0, stop=0.25, steps=10)(5)
        tensor(0.5000)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start <= 0 or self.stop <= 0:
            raise ConfigError(f"Exponential needs positive values; `start` is {self.start} and `stop` is {self.stop}.")

    def progress(self, fraction: Tensor) -> Tensor:
        return fraction.clamp(0, 1)

    def between(self, progress: Tensor) -> Tensor:
        return self.start * (self.stop / self.start) ** progress


@dataclass(frozen=True)
class Cyclical(Schedule):
    """Repeated linear rises, each followed by a plateau at stop (Fu et al., 2019); `steps` is the length of one cycle.

    Arguments:
        rising: the fraction of a cycle spent rising.
        cycles: after how many cycles the value stays at stop.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.Cyclical(steps=10)(12)
        tensor(0.4000)
    """

    rising: float = 0.5
    cycles: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self, "rising", self.rising, above=0, most=1)
        require_number(self, "cycles", self.cycles, least=1)

    def progress(self, fraction: Tensor) -> Tensor:
        within = (fraction % 1.0) / self.rising
        return torch.where(fraction < self.cycles, within.clamp(max=1), torch.ones_like(fraction))


Scheduled: TypeAlias = float | Schedule
OR_SCHEDULED = ", or a schedule, such as objectives.Linear(1.0, 0.5, steps=1000)"


def require_scheduled(
    owner: object, name: str, quantity: Scheduled, least: float = -math.inf, unit: str = "", *, above: float = -math.inf
) -> None:
    """Refuse a quantity that is not finite or out of its range, at either end if it is scheduled.

    Raises:
        ConfigError: naming owner, argument, value and rule.
    """
    if not isinstance(quantity, Schedule):
        require_number(owner, name, quantity, least, unit, above=above, otherwise=OR_SCHEDULED)
        return
    for end, value in (("start", quantity.start), ("stop", quantity.stop)):
        require_number(owner, f"{name}.{end}", value, least, unit, above=above)


def value_at(quantity: Scheduled, model: _Stepping) -> float | Tensor:
    """Return the current value of a quantity: by the model's step in training, the schedule's last value in evaluation."""
    if not isinstance(quantity, Schedule):
        return quantity
    return quantity(model.step) if model.training else quantity.stop

"""One training step: forward, backward, and the optimiser's update, through Fabric's strategy and precision."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from vaekit.errors import ConfigError
from vaekit.model import VAE
from vaekit.objectives import Objective, Terms
from vaekit.spec import target_of
from vaekit.training.adam import AdamSteps, suits
from vaekit.training.average import WeightAverage
from vaekit.training.settings import Settings
from vaekit.training.sharded import gathered, is_split

if TYPE_CHECKING:
    from lightning_fabric.strategies.strategy import Strategy

Made = TypeVar("Made")


class Pass(nn.Module):
    """A model and an objective as one module, whose forward is all that a strategy or a compiler needs to wrap."""

    def __init__(self, model: VAE, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, *given: Tensor) -> Terms:
        """Compute the objective's terms for a batch (x, *context)."""
        return self.objective(self.model, *given)


def make_optimizer(
    factory: Callable[..., Optimizer], parameters: Sequence[nn.Parameter], recorded: bool = False
) -> Optimizer:
    """Make an optimiser, with its fused implementation where it has one, the user chose no other, and no weight is split.

    Arguments:
        factory: makes it from the parameters.
        parameters: what it moves.
        recorded: whether its steps are recorded as a graph, for which it must be `capturable`.

    Raises:
        ConfigError: if the factory refuses its arguments, or its optimiser computes the loss itself.
    """
    chosen: dict[str, Any] = dict(factory.keywords) if isinstance(factory, partial) else {}
    fused = accepts(factory, "fused") and not any(map(is_split, parameters))
    fused = fused and not any(chosen.get(name) for name in ("fused", "foreach", "differentiable"))
    forced = {**({"fused": True} if fused else {}), **({"capturable": True} if recorded else {})}
    optimizer = made("optimizer", factory, parameters, **forced)
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ConfigError(
            f"`optimizer` is {type(optimizer).__name__}, which computes the loss several times a step by a closure that the loop "
            f"does not give. Choose one that steps by one gradient, such as Adam or SGD."
        )
    return optimizer


def made(setting: str, factory: Callable[..., Made], *given: object, **forced: object) -> Made:
    """Call the factory that a setting holds.

    Raises:
        ConfigError: if it refuses its arguments, naming those that the refusal speaks of as flags are named, or all.
    """
    try:
        return factory(*given, **forced)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        chosen, name = _chosen(factory), getattr(target_of(factory), "__name__", "its factory")
        meant = [f"`{setting}.{key}` is {value!r}" for key, value in chosen.items() if _speaks_of(error, key, value)]
        all_of_it = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
        told = " and ".join(meant) or f"`{setting}` is {name}({all_of_it})"
        raise ConfigError(f"{told}, which {name} refuses: {error}") from error


def _speaks_of(error: Exception, name: str, value: object) -> bool:
    """Tell whether a refusal names an argument, or ends with its value or with one of its values."""
    values = value if isinstance(value, tuple) else (value,)
    return name in re.findall(r"\w+", str(error)) or any(str(error).endswith(f": {one}") for one in values)


def _chosen(factory: Callable[..., object]) -> dict[str, object]:
    """Return the arguments that a partial application gives, but for those that are defaults anyway."""
    keywords = dict(factory.keywords) if isinstance(factory, partial) else {}
    known = inspect.signature(target_of(factory)).parameters
    return {name: value for name, value in keywords.items() if name not in known or value != known[name].default}


def accepts(factory: Callable[..., Optimizer], option: str) -> bool:
    """Tell whether what a factory makes has an option, which the factory does not switch off.

    A factory may give every default, as those of the command line do: an option that is off by default is not switched off.
    """
    known = inspect.signature(target_of(factory)).parameters
    given = factory.keywords if isinstance(factory, partial) else {}
    return option in known and (given.get(option) is not False or known[option].default is False)


class Step:
    """Takes training steps, each on one or several accumulated batches."""

    def __init__(
        self, module: nn.Module, model: VAE, optimizer: Optimizer, strategy: Strategy, settings: Settings
    ) -> None:
        self.module, self.model, self.optimizer = module, model, optimizer
        self.strategy, self.settings = strategy, settings
        self.average = WeightAverage(model, settings.ema) if settings.ema else None
        self.parameters, self.clocks = list(model.parameters()), model.clocks()
        self.checks_each_step = strategy.root_device.type == "cpu"
        self.scaler: GradScaler | None = getattr(strategy.precision, "scaler", None)
        self.move = self._mover()

    def forward(self, given: Sequence[Tensor]) -> Terms:
        """Compute the terms of a batch (x, *context) in the chosen precision."""
        with self.strategy.precision.forward_context():
            terms: Terms = self.module(*given)
        return terms

    def backward(self, terms: Terms, weight: float) -> None:
        """Add the gradient of a batch's loss, weighted by its part in the step."""
        self.strategy.backward(terms.loss if weight == 1 else terms.loss * weight, self.module)

    def update(self) -> None:
        """Clip the gradient, move the weights and their average, and count the step."""
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip * self._scale())
        self.move()
        self.drop_gradient()
        torch._foreach_add_(self.clocks, 1)  # VAE.advance, without its search for the clocks, 10 microseconds a step
        if self.average is not None:
            self.average.update()

    def drop_gradient(self) -> None:
        """Forget the gradient."""
        for parameter in self.parameters:
            parameter.grad = None

    def _mover(self) -> Callable[[], object]:
        """Choose how the optimiser's steps are taken."""
        if self.strategy.root_device.type == "cpu" and self.scaler is None and suits(self.optimizer):
            return AdamSteps(self.optimizer)
        return partial(self.strategy.optimizer_step, self.optimizer)

    def gradient_norm(self) -> Tensor:
        """Compute the Euclidean norm of the gradient that is about to be used."""
        norm: Tensor = gathered(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        return norm / self._scale()

    def _scale(self) -> float:
        """Return how many times too large the gradient is, for which half precision scales the loss."""
        return self.scaler.get_scale() if self.scaler is not None else 1.0


def first_non_finite(model: nn.Module) -> str | None:
    """Name the first parameter with a value, else with a gradient, that is NaN or infinite."""
    named = list(model.named_parameters())
    gradients = [(f"the gradient of {name}", p.grad) for name, p in named if p.grad is not None]
    return next((name for name, t in [*named, *gradients] if not gathered(t).isfinite().all()), None)

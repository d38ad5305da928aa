"""The steps of Adam on a processor, by torch's fused kernel.

`Optimizer.step` looks for hooks, opens a profiler's record, and collects and sorts the state of every weight, each time: some
80 microseconds, which is a twentieth of a step of a small model at batch 16. The tensors of the state stay the same, so here
they are collected once. The arithmetic and the state are the optimiser's own, bit for bit; hooks on its steps are not called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

OTHERWISE = ("amsgrad", "capturable", "differentiable", "decoupled_weight_decay")


class Group(NamedTuple):
    """Weights that share options.

    Attributes:
        options: the optimiser's own, read at every step, because schedules change them.
        weights: what is moved.
        means: the running mean of each weight's gradient.
        squares: the running mean of its square.
        steps: how many steps each has taken.
        counts: the same as one vector, whose elements `steps` are.
    """

    options: dict[str, Any]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    counts: Tensor


class AdamSteps:
    """Takes an optimiser's steps; the first, and those without a gradient for every weight, are the optimiser's own.

    Arguments:
        optimizer: one that `suits`.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> steps = AdamSteps(Adam([weight], lr=0.5, fused=True))
        >>> for _ in range(2):
        ...     weight.grad = torch.ones(1)
        ...     steps()
        >>> weight.detach()
        tensor([-1.0000])
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.groups: list[Group] = []

    @torch.no_grad()
    def __call__(self) -> None:
        """Take a step."""
        if not self.groups or any(weight.grad is None for group in self.groups for weight in group.weights):
            self.optimizer.step()
            self.groups = collected(self.optimizer)
            return
        for options, weights, means, squares, steps, counts in self.groups:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            beta1, beta2 = options["betas"]
            chosen = {name: options[name] for name in ("lr", "weight_decay", "eps", "maximize", "amsgrad")}
            counts.add_(1)
            torch._fused_adam_(weights, gradients, means, squares, [], steps, beta1=beta1, beta2=beta2, **chosen)


def suits(optimizer: Optimizer) -> bool:
    """Tell whether an optimiser is a fused Adam, its options numbers, without those that change its arithmetic."""
    return type(optimizer) is Adam and all(map(_is_plain, optimizer.param_groups))


def _is_plain(group: dict[str, Any]) -> bool:
    """Tell whether a group's steps are one call of the kernel."""
    numbers = not any(isinstance(option, Tensor) for option in (group["lr"], *group["betas"]))
    one_type = len({weight.dtype for weight in group["params"]}) == 1
    return bool(group.get("fused")) and not any(map(group.get, OTHERWISE)) and numbers and one_type


def collected(optimizer: Optimizer) -> list[Group]:
    """Collect the state of all weights, and let the numbers of steps share their memory; nothing where one has none yet."""
    groups = []
    for options in optimizer.param_groups:
        state = [optimizer.state.get(weight, {}) for weight in options["params"]]
        if not all(state):
            return []
        counts = torch.stack([each["step"] for each in state])
        for each, count in zip(state, counts.unbind(), strict=True):
            each["step"] = count
        means, squares = ([each[name] for each in state] for name in ("exp_avg", "exp_avg_sq"))
        groups.append(Group(options, list(options["params"]), means, squares, [each["step"] for each in state], counts))
    return groups

"""Adam's steps by the kernel alone are the optimiser's own."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from vaekit.training.adam import AdamSteps, suits

OPTIONS = [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.9), "eps": 1e-3}, {"maximize": True}]


def weights(seed: int) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(5, 3)


def trained(module: nn.Linear, optimizer: Optimizer, functional: bool, without_bias: bool = False) -> nn.Linear:
    """Take ten steps under a schedule, whose fourth may lack a gradient."""
    schedule = ExponentialLR(optimizer, 0.8)
    step = AdamSteps(optimizer) if functional else optimizer.step
    for number in range(10):
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(number)
        module(torch.randn(4, 5, generator=generator)).square().sum().backward()
        if without_bias and number == 3:
            module.bias.grad = None
        step()
        schedule.step()
    return module


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("without_bias", [False, True])
def test_steps_are_the_optimisers_own_bit_for_bit(options: dict[str, object], without_bias: bool) -> None:
    first, second = weights(0), weights(0)
    one, other = (Adam(m.parameters(), fused=True, **options) for m in (first, second))
    trained(first, one, False, without_bias)
    trained(second, other, True, without_bias)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    expected, state = one.state_dict()["state"], other.state_dict()["state"]
    assert all(torch.equal(expected[i][name], state[i][name]) for i in expected for name in expected[i])


def test_groups_keep_their_own_options() -> None:
    first, second = weights(0), weights(0)
    groups = [[{"params": [m.weight], "lr": 0.1}, {"params": [m.bias], "lr": 0.0}] for m in (first, second)]
    one, other = (Adam(group, fused=True) for group in groups)
    before = deepcopy(second.bias)
    trained(first, one, False)
    trained(second, other, True)
    assert torch.equal(second.bias, before)
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (lambda p: Adam(p, fused=True), True),
        (Adam, False),
        (lambda p: Adam(p, fused=True, amsgrad=True), False),
        (lambda p: AdamW(p, fused=True), False),
        (lambda p: SGD(p, lr=0.1), False),
        (lambda p: Adam(p, lr=torch.tensor(0.1), fused=True), False),
        (lambda p: Adam([*p, torch.zeros(2, dtype=torch.float64, requires_grad=True)], fused=True), False),
    ],
)
def test_only_a_plain_fused_adam_suits(optimizer: type[Optimizer], expected: bool) -> None:
    assert suits(optimizer(weights(0).parameters())) is expected

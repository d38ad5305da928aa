"""The limit of arithmetic: how long the step's own matrix products take when nothing else is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.cases import TRAINING, Case
from benchmarks.losses import Plain
from benchmarks.measure import compare, last_epoch
from benchmarks.peers import ours
from benchmarks.rows import floats
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells

Pair = tuple[Tensor, Tensor]
GOALS = {256: 0.65}
REMARKS = """\
The products are those of the forward and backward pass, recorded from one step with their shapes and memory layouts and
repeated with nothing between them by `torch.mm`. The share is their time over that of vaekit's step, which also moves the
weights. At batch 2,048 some of the step's own products are by oneDNN, on x86, and take less time than those by `torch.mm`."""


class Products(TorchDispatchMode):
    """Records the factors of every matrix product.

    Attributes:
        pairs: the factors, as they lie in memory.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pairs: list[Pair] = []

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            a, b = args[-2:]
            self.pairs.append((a, b))
        return function(*args, **(kwargs or {}))


def table(setting: Setting) -> Table:
    """Measure the share of the machine's rate of matrix products that training reaches."""
    header = ("case", "share of the rate", "quartiles", "goal", "matrix products, GFLOP/s", "MFLOP a step")
    result = Table("The limit of arithmetic, float32", header, REMARKS)
    for case in (replace(case, device=setting.device) for case in TRAINING if case.name.startswith("MLP")):
        pairs = recorded(case)
        work = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in pairs)
        ratio = compare(ours.epoch, partial(multiply, pairs), case, setting.rounds)
        rate = f"{work * case.steps / ratio.theirs / 1e9:.0f}"
        result.add(case.name, *ratio_cells(ratio, GOALS.get(case.batch)), rate, f"{work / 1e6:.0f}")
    return result


def recorded(case: Case) -> list[Pair]:
    """Record the matrix products of one step."""
    model, x = Plain(case), floats(case.network.image, case.rows, case.network.event, case.device)[: case.batch]
    products = Products()
    with products:
        model(x).backward()
    return products.pairs


def multiply(pairs: list[Pair], case: Case) -> float:
    """Repeat the products for every step, and time the last epoch."""
    with torch.no_grad():
        return last_epoch(lambda: pairs * case.steps, lambda pair: torch.mm(*pair), case.device)

"""Mixed precision: its speed against pythae, and what it changes of the result."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.cases import MNIST, Case
from benchmarks.measure import compare
from benchmarks.peers import load, ours
from benchmarks.rows import images
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells
from vaekit.evaluation import evaluate

PRECISIONS = ("32-true", "bf16-mixed")
TRAINED, JUDGED = 12_800, 2_048


def table(setting: Setting) -> Table:
    """Measure mixed precision at batch 256."""
    result = Table("Mixed precision, MLP 784-400-50, batch 256", ("quantity", "value", "quartiles", "goal"))
    mixed = Case("bf16-mixed", MNIST, 256, 40, precision="bf16-mixed", device=setting.device)
    full = replace(mixed, precision="32-true")
    pythae = load("by_pythae.epoch")
    speed = compare(ours.epoch, lambda case: ours.epoch(replace(case, precision="32-true")), mixed, setting.rounds)
    result.add("bf16-mixed, examples/s over float32's", *ratio_cells(speed, None))
    if pythae is not None:
        against = compare(ours.epoch, pythae, mixed, setting.rounds)
        result.add("bf16-mixed, examples/s over pythae's", *ratio_cells(against, 1.8))
    first, second = (_bound(replace(full, steps=TRAINED // 256, precision=p), setting.epochs) for p in PRECISIONS)
    gap = abs(second - first)
    result.add(
        f"difference of the bound after {setting.epochs} epochs, nats",
        f"{gap:.3f}",
        "",
        f"0.20, {'met' if gap <= 0.2 else 'not met'}",
    )
    result.remarks = f"The bound is {first:.2f} nats after training in float32, and {second:.2f} in bf16-mixed."
    return result


def _bound(case: Case, epochs: int) -> float:
    """Train from one seed and return the evidence lower bound on other images, in nats."""
    torch.manual_seed(0)
    trainer = ours.trainer(case, epochs=epochs)
    trainer.run()
    x = images(case.network.image, JUDGED, "test").to(case.device).float() / 255
    found = evaluate(trainer.model, [(x,)], samples=16)
    assert found.elbo is not None
    return found.elbo

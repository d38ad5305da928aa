"""The importance-weighted bound: time and memory against the number of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.cases import MNIST, Case
from benchmarks.measure import compare
from benchmarks.peers import ours
from benchmarks.peers.handwritten import eager
from benchmarks.rows import images
from benchmarks.setting import Setting
from benchmarks.table import Table

BATCH = 20
SAMPLES = {1: 100, 5: 60, 50: 12}
REMARKS = """\
Memory is what the forward pass keeps for the backward pass, without the weights. All samples of a batch pass through the
network as one batch. The loop written by hand has the same bound, with the terms that cancel left out."""


def table(setting: Setting) -> Table:
    """Measure the importance-weighted bound with 1, 5 and 50 samples."""
    header = ("samples k", "ms a step", "microseconds a sample", "kept, KiB", "KiB a sample", "over a loop by hand")
    result = Table(f"Importance-weighted bound, MLP 784-400-50, batch {BATCH}", header, REMARKS)
    for k, steps in SAMPLES.items():
        case = Case(f"IWAE, k = {k}", MNIST, BATCH, steps, samples=k, device=setting.device)
        ratio = compare(ours.epoch, eager, case, setting.rounds)
        seconds, kept = ratio.ours / steps, saved(case) / 1024
        times = f"{1e3 * seconds:.2f}", f"{1e6 * seconds / (k * BATCH):.1f}"
        result.add(str(k), *times, f"{kept:,.0f}", f"{kept / (k * BATCH):.1f}", f"{ratio.value:.2f}")
    return result


def saved(case: Case) -> int:
    """Count the bytes that a forward pass keeps for the backward pass, each storage once, without the weights."""
    trainer = ours.trainer(case)
    weights = {p.untyped_storage().data_ptr() for p in trainer.model.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = images(case.network.image, case.rows)[: case.batch].to(case.device).float() / 255
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = trainer.passing(x)
    assert terms.loss.requires_grad
    return sum(size for place, size in storages.items() if place not in weights)

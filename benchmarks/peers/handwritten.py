"""A plain PyTorch loop with resident data and fused Adam: the limit of eager mode; on CUDA also as a graph captured by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.losses import Plain
from benchmarks.measure import last_epoch
from benchmarks.rows import floats, images


def eager(case: Case) -> float:
    """Train an operation at a time, and time the last epoch."""
    model, rows = Plain(case), floats(case.network.image, case.rows, case.network.event, case.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(index: Tensor) -> None:
        loss = model(rows[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return last_epoch(lambda: _chosen(case), step, case.device)


def captured(case: Case) -> float:
    """Train by replaying a captured step on 8-bit rows, and time the last epoch. Needs CUDA."""
    model = Plain(case)
    rows = images(case.network.image, case.rows).view(case.rows, *case.network.event).to(case.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    index = torch.arange(case.batch, device=case.device)
    graph = _capture(model, optimizer, rows, index)

    def step(chosen: Tensor) -> None:
        index.copy_(chosen)
        graph.replay()

    return last_epoch(lambda: _chosen(case), step, case.device)


def _chosen(case: Case) -> tuple[Tensor, ...]:
    """Return the rows of every batch of an epoch, in a random order."""
    return torch.randperm(case.rows, device=case.device).split(case.batch)


def _capture(model: Plain, optimizer: torch.optim.Optimizer, rows: Tensor, index: Tensor) -> torch.cuda.CUDAGraph:
    """Warm a step up on a side stream and capture it, from the choice of rows to the optimiser."""

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(rows.index_select(0, index).float() / 255).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph

"""Means over a batch that several processes share.

Each process of a distributed job holds some rows of a global batch. What is more than a mean over examples (free bits, the
best scale of a batch) needs means over all rows. The training loop says so by `shared_batch`; elsewhere a batch is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_counted: bool | None = None


@contextmanager
def shared_batch(counted: bool) -> Iterator[None]:
    """Have `batch_mean` take in the rows of all processes.

    Arguments:
        counted: whether this process's rows belong to the batch; one that has none of a short batch passes a row that stands
            in for them.
    """
    global _counted
    _counted = counted
    try:
        yield
    finally:
        _counted = None


def batch_mean(values: Tensor) -> Tensor:
    """Average over the first dimension, and over all processes that share the batch; gradients flow to this process's rows.

    Example:
        >>> batch_mean(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        tensor([2., 4.])
    """
    local = values.mean(0)
    if _counted is None:
        return local
    precise = torch.promote_types(values.dtype, torch.float32)
    rows = values.detach().to(precise) if _counted else values.new_zeros((0, *values.shape[1:]), dtype=precise)
    total = torch.cat([rows.sum(0).flatten(), rows.new_tensor([len(rows)])])
    torch.distributed.all_reduce(total)
    mean = (total[:-1] / total[-1]).view_as(local)
    return mean + (local - local.detach())

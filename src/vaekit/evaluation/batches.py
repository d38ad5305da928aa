"""How evaluation goes through data: batch by batch, without gradients, without touching the caller's random state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from vaekit.arguments import require_tensor, require_values
from vaekit.conditional import unvalidated
from vaekit.errors import ConfigError, DataError
from vaekit.memory import kept_memory
from vaekit.model import VAE, evaluating

Batches: TypeAlias = Iterable[Tensor | Sequence[Tensor]]


@contextmanager
def inference(model: VAE, seed: int | None = None) -> Iterator[None]:
    """Put a model in evaluation mode, without gradients or hot-loop checks, and with random draws that depend on the seed alone.

    The modes, the checks and the caller's random state are as before afterwards. Without a seed the caller's random
    state is used, and moves on.
    """
    device = model.step.device
    with torch.no_grad(), evaluating(model), unvalidated(model), _seeded(seed, device), kept_memory(device):
        yield


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw by a seed, on the device and on the processor alike, and give both their states back afterwards."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def unpacked(
    model: VAE, batches: Batches, limit: int | None = None, name: str = "batches"
) -> Iterator[tuple[Tensor, ...]]:
    """Yield `(x, *context)` on the model's device, each of shape (B, ...), until `limit` rows were seen.

    Arguments:
        model: the model that the data is for; a likelihood with a `check` refuses what it cannot score.
        batches: tuples `(x, *context)`, or tensors x.
        limit: how many rows are taken at most.
        name: what the user calls the data.

    Raises:
        DataError: if there is no row, or a value cannot be scored.
        ConfigError: for a tensor in the place of batches, or arrays in that of tensors.
    """
    if isinstance(batches, Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise ConfigError(
            f"`{name}` is a {type(batches).__name__}, which is not cut into batches. Give x.split(256) of a tensor x, or "
            f"data.batches('test', 256) of what `vaekit.data.open` returned."
        )
    check = getattr(model.likelihood, "check", None)
    rows = 0
    for batch in batches:
        room = None if limit is None else limit - rows
        parts = (batch,) if isinstance(batch, Tensor) else batch
        require_values(name, parts[0])
        for part in parts[1:]:
            require_tensor("context", part)
        given = tuple(part[:room].to(model.step.device) for part in parts)
        if not len(given[0]):
            continue
        if check is not None:
            check(given[0])
        rows += len(given[0])
        yield given
        if rows == limit:
            return
    if not rows:
        raise DataError(f"`{name}` holds no example. Give at least one (a generator is used up by its first pass).")

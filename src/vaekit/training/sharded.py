"""Fully sharded data parallelism: each process keeps a part of every weight, of its average, and of the optimiser's state.

Weights are put together before the forward pass and taken apart after the backward pass, which leaves each process its part
of the gradient (Rajbhandari et al., 2020; Zhao et al., 2023). What is saved is whole, so that any number of processes can
take it up.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vaekit.errors import ConfigError
from vaekit.objectives import Terms

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def shard(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Split a module's weights, those of the first process, over all processes.

    The module's forward must return `Terms`, in whose loss the backward pass begins.

    Raises:
        ConfigError: if a weight has no dimension to split.
    """
    from torch.distributed.fsdp import fully_shard
    from torch.utils import _pytree

    for name, parameter in module.named_parameters():
        if not parameter.ndim:
            raise ConfigError(
                f"`{name.removeprefix('model.')}` is a single number, which sharding cannot split. Give it a dimension, as "
                f"SharedScale(shape=(1,)), or use strategy='ddp'."
            )
    for tensor in (*module.parameters(), *module.buffers()):
        torch.distributed.broadcast(tensor.detach(), 0)
    if Terms not in _pytree.SUPPORTED_NODES:
        _pytree.register_pytree_node(
            Terms, lambda terms: ([terms.loss], terms), lambda loss, terms: _renewed(terms, loss)
        )
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=False)
    return module


def _renewed(terms: Terms, loss: Iterable[Any]) -> Terms:
    return replace(terms, loss=next(iter(loss)))


@contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """Put a module's weights together for a while, in which every process may use it by itself."""
    sharded = cast(Any, module) if hasattr(module, "unshard") else None
    if sharded is not None:
        sharded.unshard()
    try:
        yield
    finally:
        if sharded is not None:
            sharded.reshard()


def is_split(value: Any) -> bool:
    """Tell whether a tensor (or anything) is one of which each process has a part."""
    return hasattr(value, "full_tensor")


def own_parts(tensors: Iterable[Any]) -> list[Tensor]:
    """Return this process's part of each tensor that is split, and the others as they are."""
    return [tensor.to_local() if is_split(tensor) else tensor for tensor in tensors]


def gathered(tree: Any) -> Any:
    """Put the tensors in a tree of dictionaries and lists together; all processes take part."""
    if isinstance(tree, Mapping):
        return {key: gathered(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [gathered(value) for value in tree]
    return tree.full_tensor() if is_split(tree) else tree


def scattered(value: Tensor, like: Any) -> Tensor:
    """Split a tensor as another is, if that is split and of the same shape; all processes take part."""
    if not is_split(like) or is_split(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)

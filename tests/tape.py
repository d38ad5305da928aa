"""What a CUDA graph does, on a processor: operations are recorded without being executed, and replayed without Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from vaekit.training.host_reads import waits
from vaekit.training.meter import Kept


class Tape(TorchDispatchMode):
    """Records the operations within it: their results are memory that is not filled yet.

    Arguments:
        refused: operations that cannot be recorded.
    """

    def __init__(self, refused: Sequence[Any] = ()) -> None:
        super().__init__()
        self.refused = refused
        self.shapes = FakeTensorMode(allow_non_fake_inputs=True)
        self.operations: list[tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if waits(func, args, ["cpu"], "cpu") or func in self.refused:
            raise RuntimeError(f"{func} is not permitted when stream is capturing")
        if func.is_view or torch.Tag.inplace_view in func.tags:
            return func(*args, **kwargs)
        given = tree_map(alias, (args, kwargs))
        if func._schema.is_mutable:
            self.operations.append((func, *given, ()))
            return kwargs.get("out", args[0]) if func._schema.returns else None
        with self.shapes:
            shapes = func(*args, **kwargs)
        results = tree_map(unfilled, shapes)
        self.operations.append((func, *given, tree_map(alias, results)))
        return results

    @torch.no_grad()
    def play(self) -> None:
        """Do all of it again, to the same memory."""
        for operation, args, kwargs, results in self.operations:
            made = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(results), tree_leaves(made), strict=False):
                if isinstance(old, Tensor):
                    old.copy_(new)


def alias(value: Any) -> Any:
    """Hold on to a tensor's memory and its present shape."""
    return torch.ops.aten.alias(value) if isinstance(value, Tensor) else value


def unfilled(like: Any) -> Any:
    """Make memory like a tensor's, whose values show if they are used."""
    if not isinstance(like, Tensor):
        return like
    memory = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)
    return memory.fill_(torch.nan) if memory.is_floating_point() else memory.fill_(1)


class Taping:
    """Records steps on tapes.

    Arguments:
        refused: operations that cannot be recorded.

    Attributes:
        recorded: how many tapes there are.
        replayed: how often one was played.
        forgotten: how often all were given up.
    """

    def __init__(self, refused: Sequence[Any] = ()) -> None:
        self.refused = refused
        self.recorded = self.replayed = self.forgotten = 0

    def working(self) -> AbstractContextManager[None]:
        return nullcontext()

    def forget(self) -> None:
        self.forgotten += 1

    def record(self, function: Callable[[], Kept]) -> Callable[[], Kept]:
        with Tape(self.refused) as tape:
            outputs = function()
        self.recorded += 1

        def replay() -> Kept:
            self.replayed += 1
            tape.play()
            return outputs

        return replay

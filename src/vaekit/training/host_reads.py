"""What a step must not do to be recorded as a graph: let the host wait for the device.

A recorded step is a list of operations on the device. It cannot hold a value that the host reads (`Tensor.item`, a truth
value), a result whose shape depends on values (`Tensor.nonzero`, indexing by a mask), or a copy between host and device
(`torch.tensor(number, device=...)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OPERATIONS = torch.ops.aten
BY_VALUE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
INDEXING = (OPERATIONS.index, OPERATIONS.index_put, OPERATIONS.index_put_)
INSIDE = (OPERATIONS._linalg_check_errors, OPERATIONS.multinomial)
COPIES = (OPERATIONS._to_copy, OPERATIONS.copy_, OPERATIONS.lift_fresh)


class HostReads(TorchDispatchMode):
    """Notes the operations by which host and device would wait for each other; backward passes are seen as well.

    Arguments:
        device: where the step is taken.

    Attributes:
        found: names of the operations, in order.

    Example:
        >>> with HostReads(torch.device("cpu")) as reads:
        ...     x = torch.ones(2).exp()
        ...     positive = bool(x[0] > 0)
        >>> reads.found
        ['aten._local_scalar_dense.default']
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = device.type
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if waits(func, args, [t.device.type for t in tree_leaves((args, kwargs, result)) if is_tensor(t)], self.kind):
            self.found.append(str(func))
        return result


def waits(operation: Any, args: Sequence[Any], kinds: Sequence[str], device: str) -> bool:
    """Tell whether an operation on tensors of these kinds of device makes the host wait for a device, or the reverse."""
    packet = operation.overloadpacket
    if device not in kinds:
        return False
    if packet in COPIES:
        return len(set(kinds)) > 1 or packet is OPERATIONS.lift_fresh
    if packet in INDEXING:
        return any(is_tensor(index) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return packet in INSIDE or any(tag in BY_VALUE for tag in operation.tags)


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor."""
    return isinstance(value, Tensor)

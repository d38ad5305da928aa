"""Shapes of events, and the folding of sample dimensions into the batch so that any network can be applied to latents."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeAlias, cast

from torch import Tensor, nn

from vaekit.errors import ShapeError

Shape: TypeAlias = tuple[int, ...]


def as_shape(size: int | Sequence[int]) -> Shape:
    """Read a width or a shape as a shape.

    Example:
        >>> as_shape(784), as_shape([1, 28, 28])
        ((784,), (1, 28, 28))
    """
    return (size,) if isinstance(size, int) else tuple(int(n) for n in size)


def numel(size: int | Sequence[int]) -> int:
    """Count the elements of a width or shape.

    Example:
        >>> numel((1, 28, 28))
        784
    """
    return prod(as_shape(size))


def broadcasts(shape: Shape, onto: Shape) -> bool:
    """Tell whether a tensor of a shape broadcasts to another shape.

    Example:
        >>> broadcasts((3, 1, 1), (3, 28, 28)), broadcasts((3,), (1,)), broadcasts((1, 3), (3,))
        (True, False, False)
    """
    pairs = zip(reversed(shape), reversed(onto), strict=False)
    return len(shape) <= len(onto) and all(size in (1, whole) for size, whole in pairs)


def apply_to_latents(network: nn.Module, z: Tensor, *context: Tensor) -> Tensor:
    """Apply a network that knows one batch dimension to latents with any number of sample dimensions.

    Arguments:
        network: maps (N, D), and contexts (N, ...), to (N, ...).
        z: latents, shape (*S, B, D).
        context: what else the network is given, each of shape (B, ...), repeated for every sample.

    Returns:
        The network's output, shape (*S, B, ...).

    Raises:
        ShapeError: if a context does not have B rows.
    """
    lead = z.shape[:-1]
    for c in context:
        if lead and c.shape[:1] != lead[-1:]:
            rows = f"{len(c)} row{'s' * (len(c) != 1)}"
            raise ShapeError(f"`context` has {rows}, and there are {lead[-1]} examples. Give each its own row.")
    if len(lead) == 1:
        return cast(Tensor, network(z, *context))
    repeated = (c.expand(*lead[:-1], *c.shape).flatten(0, len(lead) - 1) for c in context)
    output = network(z.reshape(-1, z.shape[-1]), *repeated)
    return cast(Tensor, output.reshape(*lead, *output.shape[1:]))

"""What a network is given, data or latents and then contexts: brought to its precision, or refused with the way out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekit.arguments import require_tensor, require_values
from vaekit.conditional import HALF
from vaekit.errors import ConfigError, ShapeError


def checked(network: nn.Module, inputs: Sequence[Tensor], weight: Tensor) -> list[Tensor]:
    """Return inputs, each of shape (B, ...), as the network computes with them.

    A network whose weights are in half precision is given its inputs in it; autocast chooses by itself.

    Arguments:
        network: what they are given to, with the width `context` of its contexts.
        inputs: data or latents, and contexts.
        weight: the first weight that meets them.

    Raises:
        ConfigError: for what is no tensor of floats, or is in another precision.
        ShapeError: for contexts that are no vectors, or do not have one row for each example.

    Example:
        >>> layer = nn.Linear(2, 1).bfloat16()
        >>> checked(layer, [torch.zeros(3, 2)], layer.weight)[0].dtype
        torch.bfloat16
    """
    x, *contexts = inputs
    require_values("x", x)
    for context in contexts:
        _require_context(network, context, len(x))
    return [_in_precision(network, part, weight.dtype) for part in inputs]


def way_out(network: nn.Module, inputs: Sequence[Tensor], otherwise: str) -> str:
    """Say what to do where inputs have another width than the network was built for.

    Arguments:
        network: with the width `context` of its contexts.
        inputs: what it was given.
        otherwise: the way out where it is not that a context is missing, or one too many.
    """
    if network.context and len(inputs) == 1:
        return "The context is missing: model.sample((4,), context), model.encode(x, context), objective(model, x, context)."
    if not network.context and len(inputs) > 1:
        return (
            "It was built without a context. Give the model none, or build the network with the context's total width."
        )
    return otherwise


def _require_context(network: nn.Module, context: Tensor, rows: int) -> None:
    """Refuse labels, and contexts that have not one row for each of so many examples."""
    name = type(network).__name__
    require_tensor("context", context)
    if context.ndim < 2 or not context.is_floating_point():
        found = f"{context.dtype} with {context.ndim} dimension{'s' * (context.ndim != 1)}"
        if not network.context:
            raise ShapeError(
                f"{name} was built without a context and was given one, of {found}. Of batches (x, y), give the model x alone."
            )
        of_labels = "labels of C classes as torch.nn.functional.one_hot(labels, C).float()"
        way = "context[:, None]" if context.is_floating_point() else of_labels
        raise ShapeError(f"`context` is {found}; {name} needs floats of shape (B, C). Give {way}.")
    if len(context) != rows:
        raise ShapeError(
            f"`context` has {len(context)} row{'s' * (len(context) != 1)}, and there are {rows} examples. Give each its own row."
        )


def _in_precision(network: nn.Module, part: Tensor, precision: torch.dtype) -> Tensor:
    """Return an input in the precision of the weights, where that is half."""
    if part.dtype == precision or torch.is_autocast_enabled(part.device.type):
        return part
    if precision in HALF:
        return part.to(precision)
    raise ConfigError(
        f"{type(network).__name__} has weights of {precision} and was given values of {part.dtype}. Bring the values to its "
        f"precision: x.to({precision})."
    )

"""Large linear layers by oneDNN, while a model is fitted or judged on an x86 processor.

There torch multiplies single-precision matrices by MKL, whose fastest kernels are for the processors of one maker. oneDNN,
which torch brings along for convolutions, makes full use of the others too: layers of 2**28 multiplications and more took
0.7 to 0.9 of MKL's time, forward and for their gradient to the input, and importance sampling from a perceptron 0.86 (an AMD
EPYC, 2 threads). The values are torch's but for rounding. Gradients to weights stay with MKL, which was faster for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import mkl, mkldnn
from torch.nn import functional as F

LEAST = 2**28  # multiplications in a layer that wins more than its call costs


@contextmanager
def onednn_layers(model: nn.Module) -> Iterator[None]:
    """Have oneDNN compute the large linear layers of a model, where torch has both it and MKL, and full precision is wanted.

    Layers that are more than `nn.Linear`, have a `forward` of their own, or are not on the processor as a whole stay as they are.

    Example:
        >>> layer = nn.Linear(400, 784)
        >>> with onednn_layers(layer):
        ...     layer(torch.zeros(256, 400)).shape
        torch.Size([256, 784])
    """
    layers = _plain(model) if _is_chosen() else []
    for layer in layers:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x @ weight.T + bias`, shape (*S, M), by oneDNN where that is large and in single precision, else by torch.

    Arguments:
        x: what is mapped, shape (*S, N).
        weight: shape (M, N).
        bias: shape (M,).

    Example:
        >>> linear(torch.ones(2, 3), torch.ones(4, 3)).shape
        torch.Size([2, 4])
    """
    if x.numel() * len(weight) < LEAST or not _suits(x, weight):
        return F.linear(x, weight, bias)
    mapped: Tensor = Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return mapped


class Linear(torch.autograd.Function):
    """The map of `linear`, with its derivatives: in reverse of every order, forward of the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)
        mapped: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return mapped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        rows = gradient.reshape(-1, len(weight))
        return (
            linear(gradient, weight.t()) if to_x else None,
            rows.t() @ x.reshape(-1, x.shape[-1]) if to_weight else None,
            rows.sum(0) if to_bias else None,
        )

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        at_x, at_weight = ctx.saved_tensors
        parts = [None if x is None else linear(x, at_weight), None if weight is None else linear(at_x, weight), bias]
        return torch.stack(torch.broadcast_tensors(*(part for part in parts if part is not None))).sum(0)


def _forward(layer: nn.Linear, input: Tensor) -> Tensor:
    return linear(input, layer.weight, layer.bias)


def _is_chosen() -> bool:
    """Tell whether torch would multiply by MKL, in full precision, and has oneDNN as well."""
    has_both = mkl.is_available() and mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return has_both and bool(mkldnn.enabled) and torch.get_float32_matmul_precision() == "highest"


def _plain(model: nn.Module) -> list[nn.Linear]:
    """Return the layers that are torch's own and lie on the processor, their weights whole."""
    own = [m for m in model.modules() if type(m) is nn.Linear and "forward" not in vars(m)]
    return [m for m in own if type(m.weight) is nn.Parameter and m.weight.device.type == "cpu"]


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Tell whether factors are plain tensors of single precision, outside of compilers, transforms and mixed precision."""
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and type(x) is Tensor
    return single and not (
        torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    )

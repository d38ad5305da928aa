"""Linear layers that oneDNN computes where they are large, on x86 processors.

There torch multiplies single-precision matrices by MKL, whose fastest kernels are for the processors of one maker. oneDNN,
which torch brings along for convolutions, makes full use of the others too: layers of 2**28 multiplications and more took
0.7 to 0.9 of MKL's time, forward and for their gradient to the input (an AMD EPYC, 2 threads). The values are torch's but for
rounding. Gradients to weights stay with MKL, which was faster for them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.backends import mkl, mkldnn
from torch.nn import functional as F

LEAST = 2**28  # multiplications in a layer that wins more than its call costs
IS_BUILT = mkl.is_available() and mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """torch's linear layer, its weights and values; only large ones are computed otherwise.

    Arguments:
        in_features: the last dimension of what is mapped, N.
        out_features: the last dimension of what it is mapped to, M.
        bias: whether an offset is added.

    Example:
        >>> Linear(400, 784)(torch.zeros(256, 400)).shape
        torch.Size([256, 784])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map x, shape (*S, N), to shape (*S, M)."""
        if not self._is_large(input) or not _suits(input, self.weight, self.bias):
            return F.linear(input, self.weight, self.bias)
        mapped: Tensor = Product.apply(input.reshape(-1, self.in_features), self.weight, self.bias)  # type: ignore[no-untyped-call]
        return mapped.view(*input.shape[:-1], self.out_features)

    def _is_large(self, x: Tensor) -> bool:
        """Tell whether oneDNN is worth its call; compilers, which may not know the shape, are shown torch's own layer."""
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        return not recorded and x.numel() * self.out_features >= LEAST


class Product(torch.autograd.Function):
    """`x @ weight.T + bias` for x, shape (B, N), and weight, shape (M, N), with derivatives of every order in reverse."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        to_x, to_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if to_weight else None, weight if to_x else None)
        mapped: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return mapped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return _to_input(gradient, weight), None if x is None else gradient.t() @ x, to_bias


def _to_input(gradient: Tensor, weight: Tensor | None) -> Tensor | None:
    """Compute the gradient to the input, by oneDNN again unless it is to be differentiated."""
    if weight is None:
        return None
    if torch.is_grad_enabled():
        return gradient @ weight
    product: Tensor = torch.ops.mkldnn._linear_pointwise(gradient, weight.t(), None, "none", [], "")
    return product


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether oneDNN can multiply these factors, and torch was not asked to do it otherwise."""
    plain = type(x) is Tensor and type(weight) is nn.Parameter and not x.is_nested and x.shape[-1] == weight.shape[1]
    dense = all(t.dtype == torch.float32 and t.device.type == "cpu" and t.layout == torch.strided for t in (x, weight))
    return plain and dense and IS_BUILT and _is_wanted() and not any(map(_is_dual, (x, weight, bias)))


def _is_wanted() -> bool:
    """Tell whether oneDNN is switched on, and no mixed or lower precision, and no transform of functions, is at work."""
    if torch.is_autocast_enabled("cpu") or torch._C._are_functorch_transforms_active() or not mkldnn.enabled:
        return False
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # a precision was chosen by torch's newer settings
        return False


def _is_dual(tensor: Tensor | None) -> bool:
    """Tell whether a tensor carries a derivative forward."""
    return tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None

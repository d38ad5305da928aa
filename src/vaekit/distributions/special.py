r"""Special functions in forms that stay exact, in value and gradient, where the textbook form cancels or overflows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import factorial

import torch
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)

_BERNOULLI_NUMBERS = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
_SERIES = tuple(b / (2 * n * factorial(2 * n)) for n, b in enumerate(_BERNOULLI_NUMBERS, 1))
_SERIES_SLOPE = tuple(2 * n * c for n, c in enumerate(_SERIES, 1))
_SERIES_CURVATURE = tuple((2 * n - 1) * c for n, c in enumerate(_SERIES_SLOPE, 1))
_SERIES_BELOW = 0.5
_STIRLING = tuple(b / (2 * n * (2 * n - 1)) for n, b in enumerate(_BERNOULLI_NUMBERS[:6], 1))
_STIRLING_ABOVE = 10.0


def bounded(raw: Tensor, limit: float = 10.0) -> Tensor:
    r"""Bound a logarithm smoothly to (-limit, limit) by :math:`m \tanh(r / m)`; near 0 it is the identity.

    Example:
        >>> bounded(torch.tensor([0.1, 1e6]))
        tensor([ 0.1000, 10.0000])
    """
    return limit * torch.tanh(raw / limit)


def select(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Choose between finite numbers as `torch.where` does, in a fraction of its time where conditions follow no pattern.

    Example:
        >>> select(torch.tensor([True, False]), torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
        tensor([1., 4.])
    """
    return torch.lerp(no, yes, condition.to(yes.dtype))


def softplus(x: Tensor) -> Tensor:
    """Compute log(1 + e^x), to the last digit of float64 too (torch's own default switches to x at 20)."""
    return F.softplus(x, threshold=40)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Evaluate c_0 + c_1 x + c_2 x^2 + ... by Horner's rule."""
    value = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = value * x + c
    return value


def _split(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where x is small, x there (0 elsewhere), and |x| elsewhere (1 there), so that neither branch meets its pole."""
    small = x.abs() < _SERIES_BELOW
    return small, torch.where(small, x, 0), torch.where(small, 1, x.abs())


def log_expm1_ratio(x: Tensor) -> Tensor:
    r"""Compute :math:`A(x) = \log\frac{e^x - 1}{x} = \log \int_0^1 e^{x t} dt`, with A(0) = 0.

    Below |x| = 1/2 its Taylor series :math:`x/2 + \sum_n B_{2n} x^{2n} / (2n (2n)!)` is used.

    Example:
        >>> log_expm1_ratio(torch.tensor([0.0, 1.0, 1e6]))
        tensor([0.0000e+00, 5.4132e-01, 9.9999e+05])
    """
    small, near, far = _split(x)
    square = near.square()
    series = near / 2 + square * _polynomial(square, _SERIES)
    return torch.where(small, series, x.relu() + (-torch.expm1(-far) / far).log())


def expm1_ratio_mean(x: Tensor) -> Tensor:
    r"""Compute :math:`A'(x) = \frac{1}{1 - e^{-x}} - \frac{1}{x}`, the mean of the density :math:`e^{x t - A(x)}` on [0, 1].

    Example:
        >>> expm1_ratio_mean(torch.tensor([-1e6, 0.0, 1e6]))
        tensor([1.0133e-06, 5.0000e-01, 1.0000e+00])
    """
    small, near, far = _split(x)
    beyond = -1 / torch.expm1(-far) - 1 / far - 0.5
    return 0.5 + torch.where(small, near * _polynomial(near.square(), _SERIES_SLOPE), x.sign() * beyond)


def expm1_ratio_variance(x: Tensor) -> Tensor:
    r"""Compute :math:`A''(x) = x^{-2} - (2 \sinh(x/2))^{-2}`, the variance of the density :math:`e^{x t - A(x)}` on [0, 1].

    Example:
        >>> 12 * expm1_ratio_variance(torch.tensor(0.0))
        tensor(1.)
    """
    small, near, far = _split(x)
    beyond = far**-2 - torch.exp(-far) / torch.expm1(-far).square()
    return torch.where(small, _polynomial(near.square(), _SERIES_CURVATURE), beyond)


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    r"""Compute :math:`\log \Gamma(a) + \log \Gamma(b) - \log \Gamma(a + b)` for a, b > 0, without cancellation for large ones.

    With the remainder R of Stirling's formula it is :math:`R(a) + R(b) - R(a + b) - (a - \tfrac12) \log(1 + b/a) - b \log(1 + a/b)
    - \tfrac12 \log(b / 2 \pi)`.

    Example:
        >>> log_beta(torch.tensor([1.0, 1e8]), torch.tensor([5.0, 1.0])).exp()
        tensor([2.0000e-01, 1.0000e-08])
    """
    remainders = stirling_remainder(a) + stirling_remainder(b) - stirling_remainder(a + b)
    return remainders - (a - 0.5) * torch.log1p(b / a) - b * torch.log1p(a / b) - 0.5 * b.log() + HALF_LOG_TWO_PI


def stirling_remainder(x: Tensor) -> Tensor:
    r"""Compute :math:`R(x) = \log \Gamma(x) - (x - \tfrac12) \log x + x - \tfrac12 \log 2 \pi` for x > 0, by its series above 10.

    Example:
        >>> stirling_remainder(torch.tensor([1.0, 1e3]))
        tensor([8.1061e-02, 8.3333e-05])
    """
    is_large = x > _STIRLING_ABOVE
    small, large = torch.where(is_large, 1, x), torch.where(is_large, x, _STIRLING_ABOVE)
    direct = torch.lgamma(small) - (small - 0.5) * small.log() + small - HALF_LOG_TWO_PI
    return select(is_large, _polynomial(large**-2, _STIRLING) / large, direct)

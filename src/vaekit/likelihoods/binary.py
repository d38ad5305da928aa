"""Likelihoods of binary data, and of grey values read as probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vaekit import distributions
from vaekit.likelihoods.base import Likelihood


class Bernoulli(Likelihood):
    r"""Independent binary elements, :math:`p(x \mid z) = \prod_i \pi_i(z)^{x_i} (1 - \pi_i(z))^{1 - x_i}`.

    Arguments:
        network: maps z, shape (N, D), to one logit an element.
        event_shape: the shape of one example.
        relaxed: accept grey values in [0, 1] too. The cross-entropy is then *not* a likelihood (it does not integrate
            to 1), and every number from it is labelled so. Its mean over dynamic binarisation equals its value at the grey image.

    Raises:
        DataError: from `check`, for values other than 0 and 1 (or outside [0, 1] when relaxed).

    Example:
        >>> import torch
        >>> Bernoulli(nn.Linear(2, 784), (1, 28, 28))(torch.zeros(5, 3, 2)).mean.shape
        torch.Size([5, 3, 1, 28, 28])
    """

    is_discrete = True

    def __init__(self, network: nn.Module, event_shape: int | Sequence[int], relaxed: bool = False) -> None:
        super().__init__(network, event_shape)
        self.relaxed = relaxed
        self.is_normalised = not relaxed

    def forward(self, *given: Tensor) -> distributions.Bernoulli:
        (logits,) = self.parameters_given(*given)
        strict = self.validate_args and not self.relaxed
        return distributions.Bernoulli(logits, len(self.event_shape), validate_args=strict)

    def problem(self, x: Tensor) -> str | None:
        low, high = x.min().item(), x.max().item()
        if low < 0 or high > 1:
            return f"its values run from {low:g} to {high:g}, outside [0, 1]. Scale the data, or choose another likelihood."
        if not self.relaxed and ((x != 0) & (x != 1)).any():
            return (
                "it has values between 0 and 1. Binarise it (the transform Binarize), choose ContinuousBernoulli, or "
                "accept a cross-entropy that is not a likelihood with relaxed=True."
            )
        return None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relaxed={self.relaxed}"

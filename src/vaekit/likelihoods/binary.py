"""Likelihoods of binary data, of grey values read as probabilities, and of values in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vaekit import distributions
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.support import not_binary, outside_unit_interval


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
        >>> import vaekit as vk
        >>> vk.likelihoods.Bernoulli(torch.nn.Linear(2, 784), (1, 28, 28))(torch.zeros(5, 3, 2)).mean.shape
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

    def outside_support(self, x: Tensor) -> str | None:
        return outside_unit_interval(x) if self.relaxed else not_binary(x)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relaxed={self.relaxed}"


class ContinuousBernoulli(Likelihood):
    r"""Independent elements in [0, 1] with density proportional to :math:`\lambda_i(z)^{x_i} (1 - \lambda_i(z))^{1 - x_i}`.

    It is what the cross-entropy of grey values lacks to be a likelihood: its normaliser (Loaiza-Ganem and Cunningham, 2019).
    The mean of x is not :math:`\lambda`, the sigmoid of the network's output.

    Arguments:
        network: maps z, shape (N, D), to the logit of :math:`\lambda` of each element.
        event_shape: the shape of one example.

    Raises:
        DataError: from `check`, for values outside [0, 1].

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.ContinuousBernoulli(torch.nn.Linear(2, 784), (1, 28, 28))(torch.zeros(5, 2)).mean.shape
        torch.Size([5, 1, 28, 28])
    """

    def forward(self, *given: Tensor) -> distributions.ContinuousBernoulli:
        (logits,) = self.parameters_given(*given)
        return distributions.ContinuousBernoulli(logits, len(self.event_shape), self.validate_args)

    def outside_support(self, x: Tensor) -> str | None:
        return outside_unit_interval(x)

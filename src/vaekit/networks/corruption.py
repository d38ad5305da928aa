"""Denoising: a network that sees a corrupted version of its input."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Corrupted(nn.Module):
    """Corrupt the first input, then apply a network to it and the others (Vincent et al., 2008; Im et al., 2017).

    Arguments:
        corruption: maps x to the same shape; a module such as `nn.Dropout` corrupts in training only.
        network: is given the corrupted x, and further inputs as they are.

    Example:
        >>> import torch
        >>> network = Corrupted(nn.Dropout(1.0), nn.Identity())
        >>> network(torch.ones(2)), network.eval()(torch.ones(2))
        (tensor([0., 0.]), tensor([1., 1.]))
    """

    def __init__(self, corruption: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.corruption, self.network = corruption, network

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map inputs, each of shape (N, ...), to the network's output."""
        x, *others = inputs
        return cast(Tensor, self.network(self.corruption(x), *others))

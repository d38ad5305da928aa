r"""Corruption of a network's input in training, as `torch.nn.Dropout` acts: what makes an autoencoder a denoising one.

The encoder sees :math:`\tilde x \sim c(\tilde x \mid x)` while the likelihood scores the clean x (Vincent et al., 2008; Im et
al., 2017). In evaluation mode inputs pass unchanged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vaekit.arguments import require_number


class Corruption(nn.Module, ABC):
    """A random change of data, shape (B, ...), made in training mode only."""

    @abstractmethod
    def corrupt(self, x: Tensor) -> Tensor:
        """Return a corrupted copy."""

    def forward(self, x: Tensor) -> Tensor:
        """Corrupt in training mode; pass unchanged in evaluation mode."""
        return self.corrupt(x) if self.training else x


class _Elementwise(Corruption):
    """Corruption that hits each element with the same probability."""

    def __init__(self, probability: float = 0.05) -> None:
        super().__init__()
        require_number(self, "probability", probability, least=0, most=1)
        self.probability = probability

    def extra_repr(self) -> str:
        return f"probability={self.probability}"


class Masking(_Elementwise):
    """Set elements to 0 with a probability, without rescaling the others.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.Masking(probability=1.0)(torch.ones(2))
        tensor([0., 0.])
    """

    def corrupt(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.probability)


class SaltAndPepper(_Elementwise):
    """Replace elements, with a probability, by 0 or 1, each as often.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.SaltAndPepper(probability=1.0)(torch.full((100,), 0.5)).unique()
        tensor([0., 1.])
    """

    def corrupt(self, x: Tensor) -> Tensor:
        draw = torch.rand_like(x)
        replaced = (draw < self.probability / 2).to(x.dtype)
        return torch.where(draw < self.probability, replaced, x)


class GaussianNoise(Corruption):
    """Add normal noise.

    Arguments:
        scale: its standard deviation, in the data's units.

    Raises:
        ConfigError: if it is negative or not finite.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.GaussianNoise(scale=0.1)(torch.ones(100_000)).std().round(decimals=2)
        tensor(0.1000)
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        require_number(self, "scale", scale, least=0)
        self.scale = scale

    def corrupt(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.randn_like(x)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class Corrupted(nn.Module):
    """A network that sees corrupted data in training; further inputs (context) reach it as they are.

    Arguments:
        corruption: the change of the first input.
        network: what is applied.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> network = vk.networks.Corrupted(vk.networks.Masking(1.0), torch.nn.Identity())
        >>> network(torch.ones(2)), network.eval()(torch.ones(2))
        (tensor([0., 0.]), tensor([1., 1.]))
    """

    def __init__(self, corruption: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.corruption, self.network = corruption, network

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Apply the network to the corrupted data, shape (B, ...), and context."""
        output: Tensor = self.network(self.corruption(x), *context)
        return output

r"""Compression of a network's input, so that numbers of any size reach it as numbers of a few units.

Counts of thousands, as a posterior's network is given them, start it with codes of thousands, from which training may never
return. The symmetric logarithm keeps all that they say: it is invertible, and close to the identity where x is small.
"""

from __future__ import annotations

from torch import Tensor, nn


class Symlog(nn.Module):
    r"""A network that sees :math:`\operatorname{sign}(x) \log(1 + |x|)`; further inputs (context) reach it as they are.

    Arguments:
        network: what is applied.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.Symlog(torch.nn.Identity())(torch.tensor([0.0, -1.0, 1e6]))
        tensor([ 0.0000, -0.6931, 13.8155])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Apply the network to the compressed data, shape (B, ...), and context."""
        output: Tensor = self.network(x.abs().log1p().copysign(x), *context)
        return output

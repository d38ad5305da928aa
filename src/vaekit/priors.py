"""Priors over the latent vector: modules whose `forward()`, or `forward(context)`, returns p(z)."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit import distributions
from vaekit.conditional import Conditional


class StandardNormal(Conditional):
    r"""The prior :math:`p(z) = N(0, I)` (Kingma and Welling, 2014). Context is accepted and has no influence.

    Arguments:
        latent: the number of latents D.

    Example:
        >>> StandardNormal(16)().event_shape
        torch.Size([16])
    """

    zeros: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def forward(self, *given: Tensor) -> distributions.StandardNormal:
        zeros = self.zeros.expand(len(given[0]), -1) if given else self.zeros
        return distributions.StandardNormal(zeros, validate_args=self.validate_args)

    def extra_repr(self) -> str:
        return f"latent={self.latent}"

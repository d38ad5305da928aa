"""The losses as one writes them by hand, for the peers that bring none."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cases import Case


class Plain(nn.Module):
    """An encoder, a decoder and minus a bound on log p(x), without any library.

    Arguments:
        case: what is fitted.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.encoder, self.decoder = case.network.encoder(), case.network.decoder()
        self.binary, self.samples = case.network.binary, case.samples
        self.to(case.device)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss of a batch, shape (B, *event): nats an example."""
        return self.elbo(x) if self.samples is None else self.importance_weighted(x, self.samples)

    def elbo(self, x: Tensor) -> Tensor:
        """Compute minus the evidence lower bound."""
        loc, log_variance = self.encoder(x).chunk(2, -1)
        output = self.decoder(loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc))
        rate = -0.5 * torch.sum(1 + log_variance - loc.pow(2) - log_variance.exp())
        return (self.distortion(output, x, "sum") + rate) / len(x)

    def importance_weighted(self, x: Tensor, samples: int) -> Tensor:
        """Compute minus the importance-weighted bound."""
        return -(self.log_weights(x, samples).logsumexp(0) - math.log(samples)).mean()

    def log_weights(self, x: Tensor, samples: int) -> Tensor:
        """Draw latents and return log p(x, z) - log q(z|x), up to the terms that cancel, shape (samples, B)."""
        loc, log_variance = self.encoder(x).chunk(2, -1)
        noise = torch.randn(samples, *loc.shape, device=x.device)
        z = loc + torch.exp(0.5 * log_variance) * noise
        output = self.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        log_likelihood = -self.distortion(output, x.expand_as(output), "none").flatten(2).sum(2)
        log_ratio: Tensor = 0.5 * (noise.square() + log_variance - z.square()).sum(2)
        return log_likelihood + log_ratio

    def distortion(self, output: Tensor, x: Tensor, reduction: str) -> Tensor:
        """Compute minus log p(x|z), up to a constant."""
        if self.binary:
            return F.binary_cross_entropy_with_logits(output, x, reduction=reduction)
        squares: Tensor = F.mse_loss(output, x, reduction=reduction)
        return 0.5 * squares

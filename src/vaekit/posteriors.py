r"""Posteriors: modules that map data x (and context) to :math:`q(z \mid x)`.

Each owns its network, whose last layer is explicit: a posterior's `features(latent)` says how wide it must be.
Log-scales are bounded smoothly, :math:`s = m \tanh(r / m)` with m = 10, so that no value of the network's output r overflows.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn

from vaekit import distributions
from vaekit.arguments import require_count
from vaekit.conditional import Conditional, split, widened
from vaekit.distributions.special import bounded
from vaekit.errors import ShapeError
from vaekit.schedules import Exponential, Scheduled, require_scheduled, value_at

MAX_LOG_SCALE = 10.0


class DiagonalNormal(Conditional):
    r"""The mean-field posterior :math:`q(z \mid x) = N(\mu(x), \mathrm{diag}(e^{2 s(x)}))` (Kingma and Welling, 2014).

    Arguments:
        network: maps x, shape (B, ...), to location and log-scale side by side, shape (B, 2 D).

    Raises:
        ShapeError: in use, if the network returns an odd number of features.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.posteriors.DiagonalNormal(torch.nn.Linear(784, 2 * 16))(torch.zeros(3, 784)).mean.shape
        torch.Size([3, 16])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, latent: int) -> int:
        """How many features the network must end with for this many latents."""
        return 2 * latent

    def forward(self, *given: Tensor) -> distributions.DiagonalNormal:
        loc, raw = split(self.network(*given), 2, "DiagonalNormal", "location and log-scale of each latent")
        return distributions.DiagonalNormal(loc, bounded(raw, MAX_LOG_SCALE), validate_args=self.validate_args)


class FullNormal(Conditional):
    r"""The posterior with full covariance :math:`q(z \mid x) = N(\mu(x), L(x) L(x)^\top)`, L lower triangular.

    Arguments:
        network: maps x, shape (B, ...), to shape (B, D + D (D + 1) / 2): the location, the log-diagonal of L (bounded), and
            the entries of L below the diagonal, row by row.

    Raises:
        ShapeError: in use, if no whole number of latents has that many features.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.posteriors.FullNormal(torch.nn.Linear(784, 3 + 6))(torch.zeros(3, 784)).covariance_matrix.shape
        torch.Size([3, 3, 3])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, latent: int) -> int:
        """How many features the network must end with for this many latents."""
        return latent * (latent + 3) // 2

    def forward(self, *given: Tensor) -> distributions.FullNormal:
        output = widened(self.network(*given))
        latent = (isqrt(9 + 8 * output.shape[-1]) - 3) // 2
        if output.ndim != 2 or self.features(latent) != output.shape[-1]:
            near = max(1, latent)
            raise ShapeError(
                f"`network` returned shape {tuple(output.shape)} for FullNormal, which needs (batch, D (D + 3) / 2) features "
                f"(location, log-diagonal and lower triangle for D latents). For {near} latent{'s' * (near > 1)}, end the "
                f"network with {self.features(near)}."
            )
        loc, diagonal, below = output.split([latent, latent, self.features(latent) - 2 * latent], -1)
        row, column = torch.tril_indices(latent, latent, -1, device=output.device)
        factor = torch.diag_embed(bounded(diagonal, MAX_LOG_SCALE).exp())
        factor = factor.index_put((torch.arange(len(output), device=output.device)[:, None], row, column), below)
        return distributions.FullNormal(loc, scale_tril=factor, validate_args=self.validate_args)


class Delta(Conditional):
    """A point instead of a distribution: the encoder of a plain autoencoder. It has no density, so no bound on log p(x) exists.

    Arguments:
        network: maps x, shape (B, ...), to the code, shape (B, D).

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.posteriors.Delta(torch.nn.Linear(784, 16))(torch.zeros(3, 784)).rsample().shape
        torch.Size([3, 16])
    """

    is_density = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, latent: int) -> int:
        """How many features the network must end with for this many latents."""
        return latent

    def forward(self, *given: Tensor) -> distributions.Delta:
        (loc,) = split(self.network(*given), 1, "Delta", "the code itself")
        return distributions.Delta(loc, validate_args=self.validate_args)


class Concrete(Conditional):
    r"""Groups of categories, relaxed in training and exact in evaluation (Maddison et al., 2017; Jang et al., 2017).

    In training z is a reparameterised draw of the Concrete law, and the rate that of the exact categories, so the loss is not
    a bound; in evaluation mode z is one-hot, and every number is that of the discrete model.

    Arguments:
        network: maps x, shape (B, ...), to the logits of all groups, shape (B, G K).
        categories: K.
        temperature: of the relaxation: a number, or a schedule over training steps.
        straight_through: pass one-hot vectors forward and relaxed gradients back.

    Raises:
        ConfigError: if there are fewer than 2 categories, or the temperature is not above 0 anywhere in its schedule.
        ShapeError: in use, if the features are not whole groups.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.posteriors.Concrete(torch.nn.Linear(784, 20 * 10)).eval()(torch.zeros(3, 784)).sample().sum(-1)
        tensor([20., 20., 20.])
    """

    step: Tensor

    def __init__(
        self,
        network: nn.Module,
        categories: int = 10,
        temperature: Scheduled = Exponential(start=1.0, stop=0.5, steps=10_000),  # noqa: B008
        straight_through: bool = False,
    ) -> None:
        super().__init__()
        require_count(self, "categories", categories, least=2)
        require_scheduled(self, "temperature", temperature, above=0)
        self.network, self.categories = network, categories
        self.temperature, self.straight_through = temperature, straight_through
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def features(self, latent: int) -> int:
        """How many features the network must end with for this many latents (groups times categories)."""
        return latent

    def forward(self, *given: Tensor) -> distributions.OneHotCategoricals | distributions.RelaxedCategoricals:
        (flat,) = split(self.network(*given), 1, "Concrete", "the logits of all groups")
        if flat.shape[-1] % self.categories:
            raise ShapeError(
                f"`network` returned {flat.shape[-1]} features for Concrete, which needs whole groups of {self.categories} "
                f"categories. For 20 groups, end the network with {20 * self.categories}."
            )
        logits = flat.unflatten(-1, (-1, self.categories))
        if not self.training:
            return distributions.OneHotCategoricals(logits, validate_args=self.validate_args)
        temperature = value_at(self.temperature, self)
        return distributions.RelaxedCategoricals(logits, temperature, self.straight_through, self.validate_args)

    def annealed(self) -> dict[str, float]:
        """Return what changes with the training step, for the record."""
        return {"temperature": float(value_at(self.temperature, self))}

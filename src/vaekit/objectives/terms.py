"""What an objective returns, and what an objective is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from vaekit.distributions import Delta, OneHotCategoricals, RelaxedCategoricals
from vaekit.model import VAE, Trace


@dataclass(frozen=True)
class Terms:
    """The terms of an objective on one batch, in nats.

    Attributes:
        loss: what training minimises, a scalar.
        bound: the objective's bound on log p(x), without weights or penalties, shape (B,); where the posterior is a point, or
            relaxed, the same sum bounds nothing.
        distortion: minus the expected log-likelihood of the data given the latents, shape (B,).
        rates: the divergence of posterior from prior per latent or group, shape (B, G).
        trace: the pass that the terms were computed from.
        closed_form: whether the rates are exact rather than one-sample estimates.
        extras: further named scalars that belong to the report: the current beta, a penalty.

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> terms = vk.objectives.ELBO()(model, model.sample(5))
        >>> terms.loss.shape, terms.bound.shape, terms.rates.shape
        (torch.Size([]), torch.Size([5]), torch.Size([5, 2]))
    """

    loss: Tensor
    bound: Tensor
    distortion: Tensor
    rates: Tensor
    trace: Trace
    closed_form: bool
    extras: Mapping[str, Tensor | float] = field(default_factory=dict)

    @property
    def rate(self) -> Tensor:
        """The divergence of posterior from prior, shape (B,)."""
        return self.rates.sum(-1)

    @property
    def is_divergence(self) -> bool:
        """Whether `rates` are a divergence; a point has an infinite one, of which they are minus the prior's log-density there."""
        return not isinstance(self.trace.posterior, Delta)

    @property
    def is_relaxed(self) -> bool:
        """Whether the latents were drawn from a relaxation of the posterior, so that `bound` is none."""
        return isinstance(self.trace.posterior, RelaxedCategoricals)

    @property
    def rates_of(self) -> str:
        """What each of `rates` is of: a "latent", a "group" of latents, or the "total", where it is known as a whole alone."""
        if isinstance(self.trace.posterior, OneHotCategoricals | RelaxedCategoricals):
            return "group"
        latents, parts = self.trace.z.shape[-1], self.rates.shape[-1]
        return "latent" if parts == latents else "total" if parts == 1 else "group"


class Objective(ABC):
    """A callable `(model, x, *context) -> Terms`. Subclasses are frozen dataclasses of their settings.

    `Terms.bound` is to be at most log p(x) in expectation, whatever the loss is.
    """

    @property
    def tightens_with_samples(self) -> bool:
        """Whether more samples bring `Terms.bound` closer to log p(x) in expectation."""
        return False

    @property
    def couples_batch(self) -> bool:
        """Whether the loss is more than a mean over examples."""
        return False

    @abstractmethod
    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        """Compute the terms for a batch of data, shape (B, *event), and optional context, shape (B, ...)."""

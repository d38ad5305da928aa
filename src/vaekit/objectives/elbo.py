r"""The evidence lower bound and its weightings.

.. math::
    \log p(x) \ge E_{q(z \mid x)}[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z)) = -\text{distortion} - \text{rate}

Training minimises ``distortion + beta * rate``, averaged over the batch; `Terms.bound` is the bound itself, whatever beta is.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vaekit.arguments import require_count, require_number
from vaekit.batch_mean import batch_mean
from vaekit.divergences import divergence
from vaekit.errors import ConfigError
from vaekit.model import VAE
from vaekit.objectives.terms import Objective, Terms
from vaekit.schedules import Scheduled, require_scheduled, value_at


def sample_shape(samples: int) -> tuple[int, ...]:
    """Return the sample dimensions for a number of samples: none at all for one."""
    return () if samples == 1 else (samples,)


def over_samples(values: Tensor, ndim: int) -> Tensor:
    """Average away leading sample dimensions until `ndim` dimensions remain."""
    return values.mean(0) if values.ndim > ndim else values


@dataclass(frozen=True)
class ELBO(Objective):
    r"""Minimise :math:`E_q[-\log p(x \mid z)] + \beta\, KL(q(z \mid x) \| p(z))` (Kingma and Welling, 2014; Higgins et al., 2017).

    Arguments:
        beta: the weight of the rate: a number, or a schedule over training steps.
        samples: how many latents are drawn per example; their terms are averaged.
        free_bits: nats a latent (or group) that cost nothing, :math:`\sum_j \max(\lambda, E_{batch} KL_j)` (Kingma et al.,
            2016). The mean over the batch is taken before the maximum, so the loss couples the batch.
        capacity: if given, the rate enters as :math:`\beta\, |KL - C|` per example, with C in nats, a number or a schedule
            (Burgess et al., 2018, who use beta = 1000).

    Raises:
        ConfigError: if a weight, `free_bits` or `capacity` is negative or not finite, anywhere in its schedule; if `samples` is
            below 1; or if `free_bits` and `capacity` are both given.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.ELBO(beta=4.0)
        ELBO(beta=4.0, samples=1, free_bits=0.0, capacity=None)
    """

    beta: Scheduled = 1.0
    samples: int = 1
    free_bits: float = 0.0
    capacity: Scheduled | None = None

    def __post_init__(self) -> None:
        require_scheduled(self, "beta", self.beta, least=0)
        require_count(self, "samples", self.samples)
        require_number(self, "free_bits", self.free_bits, least=0, unit="nats per latent")
        if self.capacity is not None:
            require_scheduled(self, "capacity", self.capacity, least=0, unit="nats")
        if self.free_bits and self.capacity is not None:
            raise ConfigError("`free_bits` and `capacity` of ELBO both change the rate's term; give one of them.")

    @property
    def couples_batch(self) -> bool:
        return self.free_bits > 0

    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        trace = model.trace(x, *context, samples=sample_shape(self.samples))
        kl = divergence(trace.posterior, trace.prior, trace.z)
        log_likelihood, rates = over_samples(trace.log_likelihood(x), 1), over_samples(kl.parts, 2)
        beta = value_at(self.beta, model)
        capacity = None if self.capacity is None else value_at(self.capacity, model)
        rate = rates.sum(-1)
        total = rate - log_likelihood
        loss = total.mean() if self._is_plain else beta * self._cost(rate, rates, capacity) - log_likelihood.mean()
        extras = {"beta": beta} if capacity is None else {"beta": beta, "capacity": capacity}
        return Terms(loss, -total, -log_likelihood, rates, trace, kl.closed_form, extras)

    @property
    def _is_plain(self) -> bool:
        """Whether the loss is minus the bound, and one mean gives it: the general sum makes a small model's step 2 % longer."""
        return self.beta == 1 and not self.free_bits and self.capacity is None

    def _cost(self, rate: Tensor, rates: Tensor, capacity: Tensor | float | None) -> Tensor:
        """Reduce the rate, shape (B,), and its parts, shape (B, G), to the scalar that beta weighs."""
        if capacity is not None:
            return (rate - capacity).abs().mean()
        if self.free_bits:
            return batch_mean(rates).clamp(min=self.free_bits).sum()
        return rate.mean()

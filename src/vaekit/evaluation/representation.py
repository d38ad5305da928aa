r"""What the latents hold: active units, the aggregate posterior, its holes, and the surgery of the rate.

The aggregate posterior :math:`q(z) = \frac{1}{N} \sum_n q(z \mid x_n)` is where a model's codes lie; the prior is where
samples start. A *hole* is a place of the prior where no code lies, so that what is decoded there was never trained. The mean
rate splits into the two (Hoffman and Johnson, 2016):

.. math::
    \frac{1}{N} \sum_n KL(q(z \mid x_n) \,\|\, p(z)) = I_q(n; z) + KL(q(z) \,\|\, p(z)), \qquad 0 \le I_q(n; z) \le \log N
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.arguments import require_number
from vaekit.distributions import DiagonalNormal, OneHotCategoricals
from vaekit.errors import ConfigError, DataError
from vaekit.evaluation.batches import Batches, inference, unpacked
from vaekit.evaluation.moments import Moments
from vaekit.model import VAE, Trace

ACTIVE = 0.01
PAIRS = 2**22


def has_bound(model: VAE) -> bool:
    """Whether the posterior has a density or mass function, so that the model bounds log p(x)."""
    return getattr(model.posterior, "is_density", True)


def knows_mean(posterior: Distribution) -> bool:
    """Whether a distribution knows its mean, as a flow does not.

    Example:
        >>> knows_mean(DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2)))
        True
    """
    try:
        return isinstance(posterior.mean, Tensor)
    except NotImplementedError:
        return False


def posterior_mean(trace: Trace) -> Tensor:
    """Return the posterior's mean, shape (B, D), or the mean of the drawn latents where a distribution does not know its own."""
    if knows_mean(trace.posterior):
        return trace.posterior.mean
    return trace.z.flatten(0, -3).mean(0) if trace.z.ndim > 2 else trace.z


def estimated_mean(trace: Trace) -> tuple[Tensor, Tensor]:
    r"""Return `posterior_mean` and its variance as an estimate of the posterior's mean, each of shape (B, D).

    The variance is 0 where the mean is known, and else that of K draws over their number, :math:`s^2 / K`. If K is 1, another
    draw is made.
    """
    if knows_mean(trace.posterior):
        mean = trace.posterior.mean
        return mean, torch.zeros_like(mean)
    drawn = trace.z.flatten(0, -3) if trace.z.ndim > 2 else trace.z[None]  # (K, B, D)
    if len(drawn) == 1:
        drawn = torch.cat([drawn, trace.posterior.sample(torch.Size([1]))])
    return drawn.mean(0), drawn.var(0) / len(drawn)


def groups_of(posterior: Distribution) -> int:
    """Return how many groups of categories latents are; 0 where they are numbers."""
    return posterior.logits.shape[-2] if isinstance(posterior, OneHotCategoricals) else 0


def codes(model: VAE, batches: Batches, *, sample: bool = False, seed: int = 0, limit: int | None = None) -> Tensor:
    """Encode data, row by row in order.

    Arguments:
        model: the model.
        batches: tuples `(x, *context)`, each tensor of shape (B, ...).
        sample: draw from the posterior instead of taking its mean.
        seed: of the draws, and of random transforms in `batches`.
        limit: how many rows are taken at most.

    Returns:
        The codes on the CPU, shape (N, D).

    Example:
        >>> import vaekit as vk
        >>> data = vk.data.open("digits")
        >>> model = vk.compose(data, latent=2)
        >>> vk.evaluation.codes(model, data.batches("test", batch_size=100)).shape
        torch.Size([180, 2])
    """
    with inference(model, seed):
        return torch.cat([model.encode(*given, sample=sample).cpu() for given in unpacked(model, batches, limit)])


def active_units(codes: Tensor, threshold: float = ACTIVE) -> Tensor:
    r"""Tell which latents are used, :math:`A_u = \mathrm{Var}_x(E_q[z_u]) > 0.01` (Burda, Grosse and Salakhutdinov, 2016).

    The rule is for latents that are numbers, and for means: draws vary in a latent that carries nothing too.

    Arguments:
        codes: posterior means, shape (N, D).
        threshold: the variance above which a latent counts as active.

    Returns:
        Booleans, shape (D,).

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.evaluation.active_units(torch.tensor([[-1.0, 0.01], [1.0, 0.02]]))
        tensor([ True, False])
    """
    return codes.double().var(0, correction=0) > threshold


def group_information(probabilities: Tensor, entropies: Tensor) -> Tensor:
    r"""Compute what each group of categories tells of x, :math:`E_x KL(q(z_g \mid x) \,\|\, E_x q(z_g \mid x))`.

    The mutual information is the entropy of the mean less the mean entropy. A group is active where it exceeds 0.01 nats.

    Arguments:
        probabilities: the means over examples of the categories' probabilities, shape (G * K,).
        entropies: the means over examples of the groups' entropies in nats, shape (G,).

    Returns:
        Nats, shape (G,), between 0 and log K.

    Example:
        >>> group_information(torch.tensor([0.5, 0.5]), torch.tensor([0.0]))
        tensor([0.6931])
    """
    return (group_entropies(probabilities, len(entropies)) - entropies).clamp(min=0)


def group_entropies(probabilities: Tensor, groups: int) -> Tensor:
    """Compute the entropy of each group of categories in nats, shape (..., G), from probabilities of shape (..., G * K)."""
    blocks: Tensor = probabilities.unflatten(-1, (groups, -1))
    entropies: Tensor = -torch.xlogy(blocks, blocks).sum(-1)
    return entropies


class AggregatePosterior:
    r"""The mixture :math:`q(z) = \frac{1}{N} \sum_n q(z \mid x_n)` of the posteriors of N examples.

    Arguments:
        posteriors: distributions with batch shape (B,), whose B add up to N.
    """

    def __init__(self, posteriors: Sequence[Distribution]) -> None:
        self.posteriors = tuple(posteriors)
        self.examples = sum(q.batch_shape[0] for q in posteriors)

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """Compute log q(z) in nats, shape (M,), at latents of shape (M, D)."""
        step = max(1, PAIRS // (self.examples * z.shape[-1]))
        return torch.cat([self._log_prob(part) for part in z.split(step)]) - math.log(self.examples)

    def _log_prob(self, z: Tensor) -> Tensor:
        sums = [q.log_prob(z[:, None].expand(-1, q.batch_shape[0], -1)).logsumexp(1) for q in self.posteriors]
        return torch.stack(sums).logsumexp(0)


def aggregate_posterior(model: VAE, batches: Batches, *, limit: int | None = None, seed: int = 0) -> AggregatePosterior:
    r"""Mix the posteriors of all examples in `batches`.

    Where posteriors have no density (a plain autoencoder), each code is given a normal kernel with the width of Scott's rule,
    :math:`\sigma_j N^{-1 / (D + 4)}`.

    Arguments:
        model: the model.
        batches: tuples `(x, *context)`, each tensor of shape (B, ...).
        limit: how many examples are taken at most.
        seed: of random transforms in `batches`.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> data = vk.data.open("digits")
        >>> model = vk.compose(data, latent=2)
        >>> q = vk.evaluation.aggregate_posterior(model, data.batches("test", batch_size=100))
        >>> q.examples, q.log_prob(torch.zeros(3, 2)).shape
        (180, torch.Size([3]))
    """
    with inference(model, seed):
        found = [model.posterior(*given) for given in unpacked(model, batches, limit)]
    if has_bound(model):
        return AggregatePosterior(found)
    return AggregatePosterior([_kernels(torch.cat([q.mean for q in found]))])


def _kernels(codes: Tensor) -> DiagonalNormal:
    """Put a normal kernel on every code, shape (N, D)."""
    count, latents = codes.shape
    width = codes.std(0).clamp(min=torch.finfo(codes.dtype).eps) * count ** (-1 / (latents + 4))
    return DiagonalNormal(codes, width.log().expand_as(codes))


class Holes(NamedTuple):
    """How much of the prior lies where no data is.

    Attributes:
        fraction: the share of prior draws whose log q(z) is below the threshold.
        standard_error: of that share, for the draws from the prior and for the threshold's own uncertainty.
        expected: the share of held-out codes below it, which a prior equal to the aggregate posterior would have.
        threshold: log q(z) in nats.
        z: the prior draws, from the emptiest place to the fullest, shape (M, D).
        log_density: log q(z) at them, shape (M,).
    """

    fraction: float
    standard_error: float
    expected: float
    threshold: float
    z: Tensor
    log_density: Tensor


def holes(
    model: VAE, reference: Batches, held_out: Batches, *, level: float = 0.01, limit: int = 2000, seed: int = 0
) -> Holes:
    """Measure what share of the prior lies where the aggregate posterior of reference data is emptier than at nearly all new codes.

    The threshold is the `level` quantile of log q(z) over codes of held-out examples, so the same data is never both the
    mixture and its judge. One prior draw is made per held-out example (with its context, if any).

    Arguments:
        model: the model.
        reference: batches whose posteriors are the mixture, usually training data.
        held_out: batches of other examples.
        level: the share of held-out codes allowed below the threshold.
        limit: how many examples of each are taken at most.
        seed: of all draws.

    Raises:
        ConfigError: if `level` is no share.
        DataError: if there are too few held-out examples for the quantile.

    Example:
        >>> import vaekit as vk
        >>> data = vk.data.open("digits")
        >>> model = vk.compose(data, latent=2)
        >>> found = vk.evaluation.holes(model, data.batches("train", 100), data.batches("test", 100))
        >>> found.z.shape, 0 <= found.fraction <= 1
        (torch.Size([180, 2]), True)
    """
    require_number("holes", "level", level, above=0, most=1)
    aggregate = aggregate_posterior(model, reference, limit=limit, seed=seed)
    drawn, prior = [], []
    with inference(model, seed):
        for x, *context in unpacked(model, held_out, limit):
            drawn.append(model.posterior(x, *context).sample())
            prior.append(model.prior(*context).sample(() if context else (len(x),)))
    at_codes, z = aggregate.log_prob(torch.cat(drawn)), torch.cat(prior)
    if level * len(z) < 1:
        raise DataError(
            f"`held_out` has {len(z)} examples; a quantile at level {level:g} needs {math.ceil(1 / level)}. Give more "
            f"examples, or raise `level`."
        )
    log_density, order = aggregate.log_prob(z).sort()
    spread = math.sqrt(level * (1 - level) / len(z))
    threshold, *around = at_codes.quantile(at_codes.new_tensor([level, max(0, level - spread), min(1, level + spread)]))
    fraction, low, high = (_share_below(log_density, t) for t in (threshold, *around))
    error = math.hypot(math.sqrt(fraction * (1 - fraction) / len(z)), (high - low) / 2)
    return Holes(fraction, error, _share_below(at_codes, threshold), threshold.item(), z[order], log_density)


def _share_below(values: Tensor, threshold: Tensor) -> float:
    return (values < threshold).double().mean().item()


@dataclass(frozen=True)
class Surgery:
    """The mean rate of N examples in two parts, in nats, each estimated from one latent per example.

    Attributes:
        mutual_information: what a code tells of which example it came from, at most log N.
        marginal: the divergence of the aggregate posterior from the prior.
        standard_error: of both by name.
        examples: N.
    """

    mutual_information: float
    marginal: float
    standard_error: dict[str, float | None]
    examples: int

    @property
    def rate(self) -> float:
        """The mean rate, the sum of the parts."""
        return self.mutual_information + self.marginal


def surgery(model: VAE, batches: Batches, *, limit: int = 2000, seed: int = 0) -> Surgery:
    """Split the rate into index-code mutual information and marginal divergence (Hoffman and Johnson, 2016).

    Arguments:
        model: the model, whose posterior has a density.
        batches: tuples `(x, *context)`, each tensor of shape (B, ...).
        limit: how many examples are taken at most.
        seed: of the draws.

    Raises:
        ConfigError: if the posterior has no density, or the prior depends on a context, so that there is not one prior.

    Example:
        >>> import vaekit as vk
        >>> data = vk.data.open("digits")
        >>> model = vk.compose(data, latent=2)
        >>> parts = vk.evaluation.surgery(model, data.batches("test", batch_size=100))
        >>> parts.examples, sorted(parts.standard_error)
        (180, ['marginal', 'mutual_information'])
    """
    if not has_bound(model):
        raise ConfigError("The rate of a posterior without density is infinite, so it has no parts.")
    information, marginal = Moments(), Moments()
    with inference(model, seed):
        pairs = [(model.posterior(x, *c), model.prior(*c)) for x, *c in unpacked(model, batches, limit)]
        if any(p.batch_shape for _, p in pairs):
            raise ConfigError(
                "The prior depends on the context, so that all codes together have no one prior. Give examples of one context, and "
                "a model with that prior."
            )
        aggregate = AggregatePosterior([q for q, _ in pairs])
        for q, p in pairs:
            z = q.sample()
            log_q = aggregate.log_prob(z)
            information.add(q.log_prob(z) - log_q)
            marginal.add(log_q - p.log_prob(z))
    errors = {"mutual_information": information.standard_error, "marginal": marginal.standard_error}
    return Surgery(information.mean.item(), marginal.mean.item(), errors, information.count)

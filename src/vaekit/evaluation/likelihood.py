r"""How likely data is under a model: bounds, importance sampling, and code lengths.

.. math::
    \log p(x) \approx \log \frac{1}{K} \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k \mid x)}, \qquad z_k \sim q(z \mid x)

The exponential of the estimate is unbiased for p(x); the estimate itself is too low in expectation, by about
:math:`\mathrm{Var}(w / p(x)) / 2K` nats (Burda, Grosse and Salakhutdinov, 2016). The terms are those of the objective
`IWAE`, so that training and evaluation measure one quantity. A code length in bits follows from nats:
:math:`(-\log p(x) + \text{offset}) / (D \log 2)`, the offset being what turns a density of dequantised or rescaled values
into the probability of the stored ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.arguments import require_count
from vaekit.defaults import SAMPLES
from vaekit.errors import ConfigError, NonFiniteError
from vaekit.evaluation.batches import Batches, inference, unpacked
from vaekit.evaluation.moments import Moments
from vaekit.evaluation.representation import (
    ACTIVE,
    estimated_mean,
    group_entropies,
    group_information,
    groups_of,
    has_bound,
)
from vaekit.evaluation.scorer import is_normalised
from vaekit.evaluation.summary import Evaluation
from vaekit.model import VAE
from vaekit.objectives.elbo import ELBO
from vaekit.objectives.importance import IWAE

ON_PROCESSOR = 2**21  # elements of x in one pass: work enough beside its launch, and arrays of 8 MiB
ON_ACCELERATOR = 2**26  # the same where a device is to be filled
SCALARS = ("elbo", "rate", "distortion", "log_likelihood", "bits_per_dim")
NO_BOUND = "the posterior has no density, so no bound on log p(x) exists"
NO_MASS = "the likelihood is a density of real values, whose nats are not a code length of the stored data"
NOT_NORMALISED = "the likelihood is not normalised, so its nats are not a code length"


class Estimates(NamedTuple):
    """What importance sampling finds for each of B examples, in nats.

    Attributes:
        log_likelihood: the estimate of log p(x), shape (B,).
        distortion: minus the mean log-likelihood given the latents, shape (B,).
        rates: the divergence of posterior from prior per latent or group, shape (B, G).
        codes: the posterior means, or their estimates, shape (B, D).
        noise: the variance of those estimates, 0 where the means are known, shape (B, D).
        closed_form: whether the rates are exact.
        groups: how many groups of categories the latents are; 0 where they are numbers.
    """

    log_likelihood: Tensor
    distortion: Tensor
    rates: Tensor
    codes: Tensor
    noise: Tensor
    closed_form: bool
    groups: int


def log_likelihood(model: VAE, x: Tensor, *context: Tensor, samples: int = 1000, chunk: int = 64) -> Tensor:
    """Estimate log p(x) by importance sampling from the posterior, without gradients and in evaluation mode.

    Arguments:
        model: the model.
        x: data, shape (B, *event).
        context: conditions, each of shape (B, ...).
        samples: K, how many latents are drawn per example: exactly that many, whatever `chunk` is.
        chunk: how many of them are drawn at once; the law of the result does not depend on it.

    Returns:
        Nats, shape (B,).

    Raises:
        ConfigError: if `samples` or `chunk` is below 1, the posterior has no density, or the data is no tensor of floats.
        DataError: if there is no example, or the likelihood cannot score a value.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> posterior = vk.posteriors.DiagonalNormal(vk.networks.MLP(9, 4))
        >>> likelihood = vk.likelihoods.Bernoulli(vk.networks.MLP(2, 9), (1, 3, 3))
        >>> model = vk.VAE(vk.priors.StandardNormal(2), posterior, likelihood)
        >>> vk.evaluation.log_likelihood(model, torch.ones(5, 1, 3, 3), samples=100).shape
        torch.Size([5])
    """
    if not has_bound(model):
        raise ConfigError(
            f"{NO_BOUND[0].upper()}{NO_BOUND[1:]}. Choose a posterior with a density, such as DiagonalNormal."
        )
    with inference(model):
        (given,) = unpacked(model, [(x, *context)], name="x")
        return estimate(model, *given, samples=samples, chunk=chunk).log_likelihood


def estimate(model: VAE, x: Tensor, *context: Tensor, samples: int, chunk: int) -> Estimates:
    """Run importance sampling for a batch, shape (B, *event), with the caller's gradient and evaluation modes.

    Few examples with many samples are passed at once, so that the encoder's share of the work is small.
    """
    for name, count in (("samples", samples), ("chunk", chunk)):
        require_count("", name, count)
    chunk = min(chunk, samples)
    budget = ON_PROCESSOR if x.device.type == "cpu" else ON_ACCELERATOR
    rows = max(1, budget // (chunk * x[0].numel()))
    blocks = [
        _streamed(model, block, samples, chunk) for block in zip(*(t.split(rows) for t in (x, *context)), strict=True)
    ]
    bounds, distortions, rates, codes, noises = (
        torch.cat(parts) for parts in zip(*(b[:5] for b in blocks), strict=True)
    )
    return Estimates(bounds, distortions, rates, codes, noises, all(b.closed_form for b in blocks), blocks[0].groups)


def _streamed(model: VAE, given: tuple[Tensor, ...], samples: int, chunk: int) -> Estimates:
    """Draw `samples` latents, `chunk` at a time and the rest last, and keep only what is summed."""
    parts = []
    for start in range(0, samples, chunk):
        k = min(chunk, samples - start)
        terms = (IWAE(samples=k) if has_bound(model) else ELBO(samples=k))(model, *given)
        mean, noise = estimated_mean(terms.trace)
        parts.append((terms.bound + math.log(k), k * terms.distortion, k * terms.rates, k * mean, k * k * noise))
    bounds, *sums, noises = map(torch.stack, zip(*parts, strict=True))
    distortion, rates, codes = (total.sum(0) / samples for total in sums)
    bound, noise = bounds.logsumexp(0) - math.log(samples), noises.sum(0) / samples**2
    return Estimates(bound, distortion, rates, codes, noise, terms.closed_form, groups_of(terms.trace.posterior))


def evaluate(
    model: VAE,
    batches: Batches,
    *,
    samples: int = SAMPLES,
    chunk: int = 64,
    bits_offset: float | None = None,
    units_offset: float = 0.0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Judge a model on data: bound, rate, distortion, log-likelihood, code length and active units, as means over examples.

    The result is a function of model, data, settings and seed; the caller's random state stays as it was.

    Arguments:
        model: the model; its modes come back as they were.
        batches: tuples `(x, *context)`, each tensor of shape (B, ...).
        samples: latents drawn per example, for all terms; one where no bound exists.
        chunk: how many of them are drawn at once.
        bits_offset: nats to add to minus the log-density for the code length of the stored values; None where there is none.
        units_offset: nats to add to minus the log-density for that of the values as they are stored.
        seed: of the draws, and of random transforms in `batches`.
        progress: called with the number of examples done after every batch.

    Raises:
        ConfigError: if `samples` or `chunk` is below 1.
        DataError: if there is no example, or the likelihood cannot score a value.
        NonFiniteError: if a term is a NaN or an infinity.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> vk.evaluation.evaluate(model, [torch.ones(5, 1, 8, 8)], samples=10).examples
        5
    """
    no_bound = None if has_bound(model) else NO_BOUND
    no_code = no_bound or _why_no_code(model, bits_offset)
    samples = 1 if no_bound else samples
    moments: dict[str, Moments] = defaultdict(Moments)
    with inference(model, seed):
        for given in unpacked(model, batches):
            quantities = _quantities(found := estimate(model, *given, samples=samples, chunk=chunk), no_bound is None)
            if no_code is None:
                quantities["bits_per_dim"] = bits_per_dim(found.log_likelihood, given[0][0].numel(), bits_offset or 0.0)
            _accumulate(moments, quantities)
            if progress is not None:
                progress(moments["codes"].count)
    return _summary(
        moments,
        samples=samples,
        dimensions=given[0][0].numel(),
        closed_form=found.closed_form,
        relaxed=not is_normalised(model.likelihood),
        bound_reason=no_bound,
        bits_per_dim_reason=no_code,
        units_offset=units_offset,
    )


def _summary(
    moments: Mapping[str, Moments],
    *,
    samples: int,
    dimensions: int,
    closed_form: bool,
    relaxed: bool,
    bound_reason: str | None,
    bits_per_dim_reason: str | None,
    units_offset: float,
) -> Evaluation:
    """Turn moments over examples into an `Evaluation`."""
    codes, chance = moments["codes"], 1 - 1 / moments["codes"].count
    variances = (codes.variance - chance * moments["noise"].mean).clamp(min=0)  # (D,)
    told = group_information(codes.mean, moments["entropies"].mean) if "entropies" in moments else None  # (G,)
    return Evaluation(
        elbo=_mean(moments, "elbo"),
        rate=_mean(moments, "rate"),
        distortion=moments["distortion"].mean.item(),
        log_likelihood=_mean(moments, "log_likelihood"),
        bits_per_dim=_mean(moments, "bits_per_dim"),
        standard_error={name: moments[name].standard_error if name in moments else None for name in SCALARS},
        samples=samples,
        examples=codes.count,
        dimensions=dimensions,
        latents=len(variances),
        rates=tuple(moments["rates"].mean.tolist()) if "rates" in moments else None,
        code_variances=tuple(variances.tolist()),
        active_units=int(((variances if told is None else told) > ACTIVE).sum()),
        closed_form=closed_form,
        relaxed=relaxed,
        bound_reason=bound_reason,
        bits_per_dim_reason=bits_per_dim_reason,
        units_offset=units_offset,
        group_information=None if told is None else tuple(told.tolist()),
    )


def _mean(moments: Mapping[str, Moments], name: str) -> float | None:
    return moments[name].mean.item() if name in moments else None


def bits_per_dim(log_likelihood: Tensor, dimensions: int, offset: float = 0.0) -> Tensor:
    r"""Turn log-densities in nats into the bits that each element of the stored data costs, :math:`(o - \log p) / (D \log 2)`.

    Example:
        >>> import math
        >>> import torch
        >>> import vaekit as vk
        >>> vk.evaluation.bits_per_dim(torch.tensor([0.0]), 784, offset=784 * math.log(256))
        tensor([8.])
    """
    return (offset - log_likelihood) / (dimensions * math.log(2))


def _why_no_code(model: VAE, bits_offset: float | None) -> str | None:
    """Say why nats are not a code length of the stored data; None if they are."""
    if not is_normalised(model.likelihood):
        return NOT_NORMALISED
    if bits_offset is None and not getattr(model.likelihood, "is_discrete", False):
        return NO_MASS
    return None


def _quantities(found: Estimates, bounded: bool) -> dict[str, Tensor]:
    """Name what is averaged over examples, each of shape (B,) or (B, ...)."""
    quantities = {"distortion": found.distortion, "codes": found.codes, "noise": found.noise}
    if found.groups:
        quantities["entropies"] = group_entropies(found.codes, found.groups)
    if bounded:
        rate = found.rates.sum(-1)
        quantities |= {"elbo": -found.distortion - rate, "rate": rate, "rates": found.rates}
        quantities |= {"log_likelihood": found.log_likelihood}
    return quantities


def _accumulate(moments: dict[str, Moments], quantities: Mapping[str, Tensor]) -> None:
    """Add a batch of examples to the moments of every quantity.

    Raises:
        NonFiniteError: if one of them is a NaN or an infinity.
    """
    for name, rows in quantities.items():
        finite = rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else rows.isfinite()
        if not finite.all():
            first = int(finite.int().argmin())
            raise NonFiniteError(
                f"`{name}` of example {moments[name].count + first} is {rows[first].tolist()}: the example, or the model's "
                f"parameters, are out of range. Look at that example, or evaluate an earlier checkpoint."
            )
        moments[name].add(rows)

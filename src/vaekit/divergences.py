r"""The divergence of a posterior from a prior, :math:`KL(q(z \mid x) \,\|\, p(z))`, in nats.

One function serves every objective. Where a closed form is registered, here or with torch, it is used; elsewhere the
divergence is estimated at the samples z that the caller drew from q, :math:`\log q(z) - \log p(z)`, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from vaekit.distributions import Delta, DiagonalNormal, OneHotCategoricals, RelaxedCategoricals, StandardNormal
from vaekit.errors import ConfigError, ShapeError

Form = Callable[[Any, Any, Tensor], Tensor]
_forms: dict[tuple[type[Distribution], type[Distribution]], Form] = {}


class Divergence(NamedTuple):
    """A divergence and where it came from.

    Attributes:
        parts: the share of every latent or group, shape (*S, B, G); their sum is the divergence. The sample dimensions
            S are present only where the value depends on the samples.
        closed_form: whether the value is exact given its inputs rather than a one-sample estimate.
    """

    parts: Tensor
    closed_form: bool


def register(q: type[Distribution], p: type[Distribution]) -> Callable[[Form], Form]:
    """Register the closed form `form(q, p, z) -> parts` for a pair of distribution types (and their subtypes)."""

    def decorate(form: Form) -> Form:
        _forms[q, p] = form
        return form

    return decorate


def divergence(q: Distribution, p: Distribution, z: Tensor) -> Divergence:
    r"""Compute :math:`KL(q \| p)`, or its one-sample estimate at z where no closed form is known.

    Arguments:
        q: the posterior, batch shape (B,), event shape (D,).
        p: the prior, batch shape () or (B,), event shape (D,).
        z: samples from q, shape (*S, B, D).

    Returns:
        The divergence in nats, per latent or group.

    Raises:
        ShapeError: if q and p are distributions of events of different shapes, or of single numbers.
        ConfigError: if one is a mass function and the other a density, or relaxed draws would have to be scored.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> q = vk.distributions.DiagonalNormal(torch.ones(1, 2), torch.zeros(1, 2))
        >>> vk.divergence(q, vk.distributions.StandardNormal(torch.zeros(2)), q.rsample())
        Divergence(parts=tensor([[0.5000, 0.5000]]), closed_form=True)
    """
    for name, law in (("posterior", q), ("prior", p)):
        if not law.event_shape:
            raise ShapeError(
                f"The {name} returned {type(law).__name__}, a distribution of single numbers. Return "
                f"torch.distributions.Independent of it over 1 dimension, the latents."
            )
    if q.event_shape != p.event_shape:
        raise ShapeError(
            f"The posterior's latents have shape {tuple(q.event_shape)} and the prior's {tuple(p.event_shape)}. Give the "
            f"prior, and the network of the posterior, the same number of latents."
        )
    q, p = _lean(q), _lean(p)
    form = _forms.get((type(q), type(p))) or _inherited(q, p)
    try:
        return Divergence(kl_divergence(q, p).unsqueeze(-1) if form is None else form(q, p, z), True)
    except NotImplementedError:
        _refuse_unlike(q, p)
        return Divergence((q.log_prob(z) - p.log_prob(z)).unsqueeze(-1), False)


def _lean(law: Distribution) -> Distribution:
    """Read torch's vector of independent normals as a DiagonalNormal, so that it shares the closed forms."""
    if not isinstance(law, Independent) or law.reinterpreted_batch_ndims != 1 or not isinstance(law.base_dist, Normal):
        return law
    return DiagonalNormal(law.base_dist.loc, law.base_dist.scale.log(), validate_args=False)


def _inherited(q: Distribution, p: Distribution) -> Form | None:
    """Find the form registered for the nearest supertypes."""
    pairs = ((a, b) for a in type(q).__mro__ for b in type(p).__mro__)
    return next((_forms[pair] for pair in pairs if pair in _forms), None)


@register(DiagonalNormal, StandardNormal)
def _diagonal_standard(q: DiagonalNormal, p: StandardNormal, z: Tensor) -> Tensor:
    # (variance + loc^2 - 1) / 2 - log scale
    return torch.add(-0.5 - q.log_scale, torch.addcmul(q.variance, q.loc, q.loc), alpha=0.5)


@register(DiagonalNormal, DiagonalNormal)
def _diagonal_diagonal(q: DiagonalNormal, p: DiagonalNormal, z: Tensor) -> Tensor:
    shift, stretch = (q.loc - p.loc) * (-p.log_scale).exp(), q.log_scale - p.log_scale
    return 0.5 * (shift.square() + (2 * stretch).exp() - 1) - stretch


@register(MultivariateNormal, StandardNormal)
def _full_standard(q: MultivariateNormal, p: StandardNormal, z: Tensor) -> Tensor:
    """Part i is the mean divergence of latent i given the latents before it."""
    return 0.5 * (q.variance + q.loc.square() - 1) - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()


@register(MultivariateNormal, DiagonalNormal)
def _full_diagonal(q: MultivariateNormal, p: DiagonalNormal, z: Tensor) -> Tensor:
    stretched = (q.variance + (q.loc - p.loc).square()) * (-2 * p.log_scale).exp()
    return 0.5 * (stretched - 1) + p.log_scale - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()


@register(Independent, Independent)
def _independent(q: Independent[Any], p: Independent[Any], z: Tensor) -> Tensor:
    if q.reinterpreted_batch_ndims == p.reinterpreted_batch_ndims == 1:
        return kl_divergence(q.base_dist, p.base_dist)
    return kl_divergence(q, p).unsqueeze(-1)


@register(Delta, Distribution)
def _delta(q: Delta, p: Distribution, z: Tensor) -> Tensor:
    """The part of an infinite divergence that depends on the parameters: minus the log-density of the prior at the point."""
    _refuse_unlike(q, p)
    return -p.log_prob(q.loc).unsqueeze(-1)


@register(OneHotCategoricals, OneHotCategoricals)
def _categorical(q: OneHotCategoricals, p: OneHotCategoricals, z: Tensor) -> Tensor:
    """The divergence of each group of categories."""
    log_q = q.log_probs
    return (log_q.exp() * (log_q - p.log_probs)).sum(-1)


@register(RelaxedCategoricals, Distribution)
def _relaxed(q: RelaxedCategoricals, p: Distribution, z: Tensor) -> Tensor:
    """The divergence of the exact distribution, as Jang et al. (2017) train with; exact samples make it a bound."""
    form = _forms.get((OneHotCategoricals, type(p)))
    if form is not None:
        return form(q.exact, p, z)
    _refuse_unlike(q.exact, p)
    raise ConfigError(
        f"The posterior's draws are relaxed in training, and the prior, {type(p).__name__}, scores exact ones. Register their "
        f"divergence in closed form: vaekit.divergences.register(OneHotCategoricals, {type(p).__name__})."
    )


def _refuse_unlike(q: Distribution, p: Distribution) -> None:
    """Refuse a density beside a mass function; a distribution that does not state its support is taken for a density."""
    if _is_discrete(q) != _is_discrete(p):
        raise ConfigError(
            f"The posterior returned {type(q).__name__} and the prior {type(p).__name__}: one is a mass function and the other a "
            f"density, so they have no divergence. Pair posteriors.Concrete with priors.UniformCategorical, or with a mass "
            f"function whose `support` says that it is one."
        )


def _is_discrete(law: Distribution) -> bool:
    """Tell whether a distribution says that it is a mass function."""
    try:
        return law.support is not None and law.support.is_discrete
    except NotImplementedError:
        return False

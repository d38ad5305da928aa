"""Divergences: closed forms against torch's, against Monte Carlo and at extremes; estimates where no closed form is known."""

from __future__ import annotations

import pytest
import torch
from catalogue import PRIORS, cases
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal, StudentT, kl_divergence

from vaekit import divergence, divergences, posteriors, priors
from vaekit.distributions import Delta, DiagonalNormal, StandardNormal
from vaekit.errors import ShapeError

pytestmark = pytest.mark.usefixtures("float64")

BATCH, LATENT = 3, 4


def diagonal() -> DiagonalNormal:
    return DiagonalNormal(torch.randn(BATCH, LATENT), 0.5 * torch.randn(BATCH, LATENT))


def full() -> MultivariateNormal:
    factor = torch.randn(BATCH, LATENT, LATENT).tril(-1) + torch.diag_embed(torch.rand(BATCH, LATENT) + 0.3)
    return MultivariateNormal(torch.randn(BATCH, LATENT), scale_tril=factor)


def standard() -> StandardNormal:
    return StandardNormal(torch.zeros(LATENT))


def independent() -> Independent[Normal]:
    return Independent(Normal(torch.randn(BATCH, LATENT), torch.rand(BATCH, LATENT) + 0.3), 1)


def laplace() -> Independent[Laplace]:
    return Independent(Laplace(torch.randn(BATCH, LATENT), torch.rand(BATCH, LATENT) + 0.3), 1)


def torch_twin(law: Distribution) -> MultivariateNormal:
    """Write a normal distribution as torch's most general one."""
    if isinstance(law, MultivariateNormal):
        return law
    return MultivariateNormal(law.mean, torch.diag_embed(law.variance))


NORMAL_PAIRS = {
    "diagonal-standard": (diagonal, standard),
    "diagonal-diagonal": (diagonal, diagonal),
    "full-standard": (full, standard),
    "full-diagonal": (full, diagonal),
    "full-full": (full, full),
    "independent-standard": (independent, standard),
    "diagonal-independent": (diagonal, independent),
    "full-independent": (full, independent),
    "independent-independent": (independent, independent),
}
PAIRS = {**NORMAL_PAIRS, "laplace-laplace": (laplace, laplace)}


@pytest.mark.parametrize(("q", "p"), cases(PAIRS))
def test_a_closed_form_equals_its_monte_carlo_estimate(q, p):
    q, p = q(), p()
    z = q.sample((50_000,))
    kl, estimates = divergence(q, p, z), q.log_prob(z) - p.log_prob(z)
    assert kl.closed_form
    assert ((kl.parts.sum(-1) - estimates.mean(0)).abs() < 4 * estimates.std(0) / len(z) ** 0.5).all()


@pytest.mark.parametrize(("q", "p"), cases(NORMAL_PAIRS))
def test_a_closed_form_equals_that_of_full_covariances(q, p):
    q, p = q(), p()
    expected = kl_divergence(torch_twin(q), torch_twin(p))
    torch.testing.assert_close(divergence(q, p, q.sample()).parts.sum(-1), expected)


@pytest.mark.parametrize(("q", "p"), cases({k: v for k, v in PAIRS.items() if k != "full-full"}))
def test_every_latent_has_a_share(q, p):
    q, p = q(), p()
    assert divergence(q, p, q.sample()).parts.shape == (BATCH, LATENT)


@pytest.mark.parametrize("q", [diagonal, full])
def test_shares_of_a_divergence_from_the_standard_normal_are_not_negative(q):
    q = q()
    assert (divergence(q, standard(), q.sample()).parts >= 0).all()


def test_the_share_of_a_full_covariance_is_the_mean_divergence_given_the_latents_before():
    q = full()
    given_first = divergence(q, standard(), q.sample()).parts[:, 1]
    loc, factor = q.loc[:, 1] + q.scale_tril[:, 1, 0] * torch.randn(100_000, BATCH), q.scale_tril[:, 1, 1]
    draws = kl_divergence(Normal(loc, factor), Normal(0.0, 1.0))
    assert ((draws.mean(0) - given_first).abs() < 4 * draws.std(0) / len(draws) ** 0.5).all()


@pytest.mark.parametrize("samples", [(), (5,)])
def test_without_a_closed_form_it_is_the_estimate_at_the_samples(samples):
    q, p = DiagonalNormal(torch.randn(BATCH, 2), torch.randn(BATCH, 2)), PRIORS["zuko.flows.NSF"]()()
    z = q.rsample(samples)
    kl = divergence(q, p, z)
    assert not kl.closed_form
    torch.testing.assert_close(kl.parts, (q.log_prob(z) - p.log_prob(z)).unsqueeze(-1))


def test_independent_laws_without_a_closed_form_are_estimated_too():
    q = Independent(Laplace(torch.randn(BATCH, 2), torch.ones(BATCH, 2)), 1)
    p = Independent(StudentT(5 * torch.ones(2)), 1)
    z = q.rsample((3,))
    found = divergence(q, p, z)
    assert not found.closed_form
    torch.testing.assert_close(found.parts, (q.log_prob(z) - p.log_prob(z)).unsqueeze(-1))


def test_a_point_costs_minus_the_log_density_of_the_prior():
    q = Delta(torch.randn(BATCH, LATENT))
    torch.testing.assert_close(divergence(q, standard(), q.rsample()).parts.sum(-1), -standard().log_prob(q.loc))


class Narrow(DiagonalNormal):
    """A subtype of a registered type."""


def test_a_registered_form_serves_subtypes_until_they_have_their_own(monkeypatch):
    monkeypatch.setattr(divergences, "_forms", dict(divergences._forms))
    q = Narrow(torch.randn(BATCH, LATENT), torch.randn(BATCH, LATENT))
    expected = divergence(DiagonalNormal(q.loc, q.log_scale), standard(), q.rsample())
    torch.testing.assert_close(divergence(q, standard(), q.rsample()).parts, expected.parts)

    @divergences.register(Narrow, StandardNormal)
    def _seven(q: Narrow, p: StandardNormal, z: Tensor) -> Tensor:
        return torch.full_like(q.loc, 7.0)

    assert (divergence(q, standard(), q.rsample()).parts == 7).all()
    assert divergence(DiagonalNormal(q.loc, q.log_scale), standard(), q.rsample()).parts.equal(expected.parts)


def test_latents_of_different_widths_are_refused():
    q = posteriors.DiagonalNormal(torch.nn.Identity())(torch.zeros(3, 4))
    with pytest.raises(ShapeError, match=r"latents have shape \(2,\) and the prior's \(5,\)"):
        divergence(q, priors.StandardNormal(5)(), q.rsample())


numbers = st.floats(-1e30, 1e30)


@pytest.mark.parametrize("kind", [posteriors.DiagonalNormal, posteriors.FullNormal])
@given(values=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2), raw=st.lists(numbers, min_size=3, max_size=3))
def test_extreme_outputs_of_the_network_stay_finite(kind, values, raw):
    posterior = kind(torch.nn.Identity())
    output = torch.tensor([[*values, *raw[: posterior.features(2) - 2]]], requires_grad=True)
    q = posterior(output)
    kl = divergence(q, StandardNormal(torch.zeros(2)), q.rsample()).parts.sum()
    kl.backward()
    assert kl.isfinite()
    assert output.grad.isfinite().all()

"""Categorical latents: the exact and the relaxed law against torch's, their divergence, annealing and straight-through draws."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, OneHotCategorical, RelaxedOneHotCategorical

from vaekit import VAE, divergence, evaluation, likelihoods, networks, posteriors, priors
from vaekit.distributions import OneHotCategoricals, RelaxedCategoricals
from vaekit.errors import ConfigError
from vaekit.evaluation.representation import group_entropies, group_information
from vaekit.objectives import ELBO, IWAE, Linear

pytestmark = pytest.mark.usefixtures("float64")

GROUPS, CATEGORIES, BATCH = 3, 4, 5


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(BATCH, GROUPS, CATEGORIES)


def test_the_exact_law_is_that_of_torch(logits):
    law, twin = OneHotCategoricals(logits), Independent(OneHotCategorical(logits=logits), 1)
    z = law.sample((7,))
    assert z.shape == (7, BATCH, GROUPS * CATEGORIES)
    torch.testing.assert_close(law.log_prob(z), twin.log_prob(z.unflatten(-1, (GROUPS, CATEGORIES))))
    torch.testing.assert_close(law.entropy(), twin.entropy())
    torch.testing.assert_close(law.mean, twin.mean.flatten(-2))
    torch.testing.assert_close(law.variance, twin.variance.flatten(-2))
    assert torch.equal(law.mode, twin.mode.flatten(-2))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_the_relaxed_density_is_that_of_torch(logits, temperature):
    law = RelaxedCategoricals(logits, temperature)
    twin = Independent(RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits), 1)
    z = twin.sample((7,))
    torch.testing.assert_close(law.log_prob(z.flatten(-2)), twin.log_prob(z))


@pytest.mark.parametrize("moment", [torch.abs, torch.square])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_relaxed_draws_are_on_the_simplex_and_follow_the_law_of_torch(logits, temperature, moment):
    law = RelaxedCategoricals(logits, temperature)
    drawn = law.rsample((20_000,)).unflatten(-1, (GROUPS, CATEGORIES))
    expected = RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits).sample((20_000,))
    torch.testing.assert_close(drawn.sum(-1), torch.ones_like(drawn[..., 0]))
    first, second = moment(drawn), moment(expected)
    error = ((first.var(0) + second.var(0)) / len(first)).sqrt()
    assert ((first.mean(0) - second.mean(0)).abs() < 4 * error).all()


def test_the_largest_coordinate_of_a_relaxed_draw_has_the_exact_probabilities(logits):
    drawn = RelaxedCategoricals(logits, 0.7, straight_through=True).rsample((40_000,))
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    exact = OneHotCategoricals(logits)
    assert ((drawn.mean(0) - exact.mean).abs() < 4 * (exact.variance / len(drawn)).sqrt()).all()


def test_straight_through_draws_have_the_gradient_of_relaxed_ones(logits):
    def gradient(straight_through: bool) -> torch.Tensor:
        torch.manual_seed(1)
        leaf = logits.clone().requires_grad_()
        (RelaxedCategoricals(leaf, 0.7, straight_through).rsample() * torch.arange(12.0)).sum().backward()
        return leaf.grad

    torch.testing.assert_close(gradient(True), gradient(False))


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_logits_stay_finite(extreme):
    logits = torch.tensor([[[extreme, 0.0, 1.0]]], requires_grad=True)
    q = RelaxedCategoricals(logits, 0.1)
    z = q.rsample((50,))
    (z.sum() + divergence(q, OneHotCategoricals(torch.zeros(1, 3)), z).parts.sum()).backward()
    assert z.isfinite().all()
    assert logits.grad.isfinite().all()


def test_the_divergence_of_each_group_is_exact(logits):
    q, p = OneHotCategoricals(logits), priors.UniformCategorical(GROUPS * CATEGORIES, CATEGORIES)()
    z = q.sample((50_000,))
    kl, estimates = divergence(q, p, z), q.log_prob(z) - p.log_prob(z)
    assert kl.closed_form
    assert kl.parts.shape == (BATCH, GROUPS)
    assert ((kl.parts.sum(-1) - estimates.mean(0)).abs() < 4 * estimates.std(0) / len(z) ** 0.5).all()
    relaxed = RelaxedCategoricals(logits, 0.5)
    torch.testing.assert_close(divergence(relaxed, p, relaxed.rsample()).parts, kl.parts)


@pytest.fixture
def model() -> VAE:
    posterior = posteriors.Concrete(networks.MLP(9, 12), CATEGORIES, Linear(start=1.0, stop=0.5, steps=10))
    return VAE(priors.UniformCategorical(12, CATEGORIES), posterior, likelihoods.Bernoulli(networks.MLP(12, 9), 9))


def test_the_temperature_anneals_in_training_and_evaluation_is_exact(model):
    x = torch.zeros(2, 9)
    before = model.posterior(x).temperature
    for _ in range(4):
        model.advance()
    assert (before, model.posterior(x).temperature) == (1.0, 0.8)
    assert model.posterior.annealed() == {"temperature": 0.8}
    assert isinstance(model.eval().posterior(x), OneHotCategoricals)


@torch.no_grad()
def test_bounds_of_exact_categories_are_below_the_likelihood_summed_over_all_codes(model):
    x = torch.bernoulli(torch.full((1, 9), 0.5))
    index = torch.cartesian_prod(*[torch.arange(CATEGORIES)] * GROUPS)
    codes = nn.functional.one_hot(index, CATEGORIES).flatten(1).double().unsqueeze(1)
    model.eval()
    log_p = model.log_joint(x, codes).logsumexp(0).item()
    rows = x.expand(20_000, -1)
    elbo, tighter = ELBO()(model, rows).bound, IWAE(8)(model, rows).bound
    error = 4 * (elbo.std() + tighter.std()).item() / len(rows) ** 0.5
    assert elbo.mean().item() + error < tighter.mean().item() < log_p + error
    many = IWAE(2000)(model, x.expand(50, -1)).bound
    assert abs(many.mean().item() - log_p) < 0.01


def test_a_group_is_active_where_it_tells_of_the_data(model):
    x = torch.bernoulli(torch.full((400, 9), 0.5))
    logits = torch.zeros(400, GROUPS, CATEGORIES)
    logits[:, 0, 0] = 50 * (2 * x[:, 0] - 1)  # the first pixel decides between one category and the three others
    logits[:, 1, 2] = 50  # one category, whatever the data
    given = iter(logits.flatten(1).split(100))
    model.posterior.network.forward = lambda _: next(given)
    found = evaluation.evaluate(model, x.split(100), samples=2)
    one = x[:, 0].mean().item()
    tells = -one * math.log(one) - (1 - one) * math.log(1 - one)
    assert found.group_information == pytest.approx((tells, 0, 0), abs=1e-6)
    assert (found.active_units, found.units) == (1, (GROUPS, "groups"))
    assert "1 of 3 groups are in use" in found.in_words
    (line,) = (finding for finding in found.findings() if finding.name == "active units")
    assert (line.value, line.unit) == ("1 of 3", "groups")
    assert json.loads(found.to_json()) == found.as_dict()


def test_what_a_group_tells_is_its_divergence_from_the_mean_of_all(logits):
    law = OneHotCategoricals(logits)
    mean = OneHotCategoricals(law.mean.mean(0).unflatten(0, (GROUPS, CATEGORIES)).log())
    expected = divergence(law, mean, law.sample()).parts.mean(0)
    entropies = group_entropies(law.mean, GROUPS)
    torch.testing.assert_close(entropies.sum(-1), law.entropy())
    torch.testing.assert_close(group_information(law.mean.mean(0), entropies.mean(0)), expected)


@pytest.mark.parametrize(("latent", "categories"), [(12, 5), (4, 1)])
def test_latents_that_are_not_whole_groups_are_refused(latent, categories):
    with pytest.raises(ConfigError, match="whole groups"):
        priors.UniformCategorical(latent, categories)

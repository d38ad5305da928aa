"""What the latents hold, on models whose aggregate posterior is known."""

from __future__ import annotations

import math

import pytest
import torch
from linear_gaussian import LinearGaussian, affine, unbounded
from painting import without_mean
from scipy.stats import gaussian_kde
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    TanhTransform,
    TransformedDistribution,
)

from vaekit import VAE, evaluation, likelihoods, posteriors, priors
from vaekit.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("float64")


def encoder(weight: Tensor, bias: Tensor, scale: float) -> posteriors.DiagonalNormal:
    """Compose q(z|x) = N(weight x + bias, scale^2)."""
    log_scale = unbounded(torch.full((len(bias),), math.log(scale)))
    return posteriors.DiagonalNormal(
        affine(torch.cat([weight, torch.zeros_like(weight)]), torch.cat([bias, log_scale]))
    )


def model_with(posterior: nn.Module, latent: int) -> VAE:
    return VAE(
        priors.StandardNormal(latent), posterior, likelihoods.Normal(nn.Linear(latent, latent), (latent,), scale=1.0)
    )


def moved(scale: float = 1.0, shift: float = 0.0, latent: int = 2) -> VAE:
    """Compose a model whose codes are the data itself, moved by a shift, with posteriors of the given scale."""
    return model_with(encoder(torch.eye(latent), torch.full((latent,), shift), scale), latent)


def deaf(latent: int = 2) -> VAE:
    """Compose a model whose posterior is the prior, whatever the data."""
    return model_with(encoder(torch.zeros(latent, latent), torch.zeros(latent), 1.0), latent)


def autoencoder(latent: int = 2) -> VAE:
    return model_with(posteriors.Delta(affine(torch.eye(latent), torch.zeros(latent))), latent)


def test_codes_keep_the_order_of_rows():
    x = torch.randn(11, 2)
    torch.testing.assert_close(evaluation.codes(moved(shift=3.0), x.split(4)), x + 3)
    torch.testing.assert_close(evaluation.codes(moved(), x.split(4), limit=6), x[:6])


def test_sampled_codes_spread_by_the_posterior_and_follow_the_seed():
    x = torch.zeros(5000, 2)
    first = evaluation.codes(moved(0.5), [x], sample=True)
    assert first.std().item() == pytest.approx(0.5, rel=0.03)
    assert torch.equal(first, evaluation.codes(moved(0.5), [x], sample=True))
    assert not torch.equal(first, evaluation.codes(moved(0.5), [x], sample=True, seed=1))


@pytest.mark.parametrize("pairs", [1, 100, 2**22])
def test_the_aggregate_posterior_is_the_mixture_of_posteriors(monkeypatch, pairs):
    monkeypatch.setattr("vaekit.evaluation.representation.PAIRS", pairs)
    x, z = torch.randn(9, 2), torch.randn(20, 2)
    mixture = MixtureSameFamily(Categorical(torch.ones(9)), Independent(Normal(x, 0.3), 1))
    found = evaluation.aggregate_posterior(moved(0.3), x.split(4))
    assert found.examples == 9
    torch.testing.assert_close(found.log_prob(z), mixture.log_prob(z))


def test_points_are_smoothed_by_kernels_of_scotts_width():
    x, z = torch.randn(200, 1), torch.linspace(-3, 3, 13)[:, None]
    found = evaluation.aggregate_posterior(autoencoder(1), x.split(64)).log_prob(z)
    expected = gaussian_kde(x[:, 0].numpy()).logpdf(z[:, 0].numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected))


@pytest.mark.parametrize("level", [0.01, 0.1])
def test_a_prior_that_is_the_aggregate_posterior_has_no_more_holes_than_the_data(level):
    x = torch.randn(2000, 2) * 0.8
    found = evaluation.holes(moved(0.6), [x[:1000]], [x[1000:]], level=level)
    assert found.expected == pytest.approx(level, abs=1e-3)
    assert abs(found.fraction - level) < 4 * math.sqrt(2 * level * (1 - level) / 1000)


def test_a_prior_far_from_the_codes_is_one_hole():
    x = torch.randn(400, 2) * 0.1
    found = evaluation.holes(moved(0.1, shift=9.0), [x[:200]], [x[200:]])
    assert (found.fraction, found.standard_error) == (1.0, 0.0)


def test_codes_on_half_of_the_prior_leave_the_other_half_empty():
    x = torch.randn(4000, 1).abs()
    found = evaluation.holes(moved(0.01, latent=1), [x[:2000]], [x[2000:]])
    assert found.fraction == pytest.approx(0.5, abs=4 * found.standard_error + 0.02)
    assert (found.log_density.diff() >= 0).all()
    assert found.z[0].item() < 0
    torch.testing.assert_close((found.log_density < found.threshold).double().mean().item(), found.fraction)


def test_the_holes_of_a_plain_autoencoder_are_found():
    ring = torch.nn.functional.normalize(torch.randn(2000, 2), dim=-1) * 3
    found = evaluation.holes(autoencoder(), [ring[:1000]], [ring[1000:]])
    assert found.fraction > 0.8
    assert found.z[:100].norm(dim=-1).min() < 2


@pytest.mark.parametrize(("width", "shift"), [(0.8, 0.0), (0.6, 0.5)])
def test_the_standard_error_of_holes_is_their_spread_over_repetitions(width, shift):
    model = moved(math.sqrt(1 - width**2))
    data = (width * torch.randn(2, 400, 2) + shift for _ in range(100))
    found = [evaluation.holes(model, [a], [b], level=0.05, seed=i) for i, (a, b) in enumerate(data)]
    stated = torch.tensor([f.standard_error for f in found]).mean().item()
    assert torch.tensor([f.fraction for f in found]).std().item() == pytest.approx(stated, rel=0.25)


@pytest.mark.parametrize("level", [2.0, 0.0, -0.1, math.nan])
def test_holes_at_what_is_no_share_are_refused(level):
    with pytest.raises(
        ConfigError, match=r"^`level` of holes is .*; it must be a finite number, above 0 and at most 1"
    ):
        evaluation.holes(moved(), [torch.randn(50, 2)], [torch.randn(50, 2)], level=level)


def test_holes_need_enough_examples_for_their_quantile():
    with pytest.raises(DataError, match="needs 100"):
        evaluation.holes(moved(), [torch.randn(50, 2)], [torch.randn(50, 2)])


def test_well_separated_codes_tell_which_example_they_came_from():
    x = 100 * torch.arange(16.0)[:, None].expand(-1, 2)
    found = evaluation.surgery(moved(0.5), x.split(5))
    assert found.mutual_information == pytest.approx(math.log(16), abs=1e-10)
    assert found.examples == 16


def test_a_collapsed_posterior_has_neither_part():
    found = evaluation.surgery(deaf(), torch.randn(30, 2).split(8))
    assert found.mutual_information == pytest.approx(0, abs=1e-10)
    assert found.marginal == pytest.approx(0, abs=1e-10)


def test_the_parts_add_up_to_the_rate():
    truth = LinearGaussian(torch.randn(4, 2), torch.zeros(4), 0.5)
    model, x = truth.model(truth.exact_posterior()), truth.marginal.sample((3000,))
    found = evaluation.surgery(model, x.split(512), limit=3000)
    whole = evaluation.evaluate(model, x.split(512), samples=1)
    error = math.hypot(*found.standard_error.values(), whole.standard_error["rate"])
    assert found.rate == pytest.approx(whole.rate, abs=4 * error)
    assert found.mutual_information < math.log(3000)
    assert found.marginal == pytest.approx(0, abs=0.1)


def test_a_rate_that_is_infinite_has_no_parts():
    with pytest.raises(ConfigError, match="no parts"):
        evaluation.surgery(autoencoder(), [torch.randn(5, 2)])


def test_a_prior_that_depends_on_the_context_has_no_one_aggregate():
    class Shifted(nn.Module):
        def forward(self, c: Tensor) -> Independent:
            return Independent(Normal(c, torch.ones_like(c)), 1)

    class Deaf(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Independent:
            return Independent(Normal(torch.zeros_like(x), torch.ones_like(x)), 1)

    model = VAE(Shifted(), Deaf(), Deaf())
    with pytest.raises(ConfigError, match=r"depends on the context, .* Give examples of one context"):
        evaluation.surgery(model, [(torch.randn(5, 2), torch.ones(5, 2))])


@pytest.mark.parametrize(("samples", "chunk"), [(1, 64), (2, 64), (7, 3), (64, 64)])
def test_the_spread_of_draws_is_none_of_their_means(samples, chunk):
    x = 1.5 * torch.randn(4000, 2)
    found = evaluation.evaluate(without_mean(moved()), x.split(1000), samples=samples, chunk=chunk, seed=9)
    expected, noise = x.var(0, correction=0), 1 / max(samples, 2)
    error = math.sqrt((4 * noise * expected.max().item() + 4 * noise**2) / len(x))
    torch.testing.assert_close(torch.tensor(found.code_variances), expected, rtol=0, atol=4 * error)
    known = evaluation.evaluate(moved(), x.split(1000), samples=samples, chunk=chunk)
    torch.testing.assert_close(torch.tensor(known.code_variances), expected)


@pytest.mark.parametrize(("model", "active"), [(deaf, 0), (moved, 2)])
def test_a_posterior_of_draws_that_collapsed_has_no_active_unit(model, active):
    found = evaluation.evaluate(without_mean(model()), [torch.randn(500, 2)], samples=64)
    assert found.active_units == active


@pytest.mark.parametrize("use", [VAE.encode, VAE.reconstruct, lambda model, x, **k: evaluation.codes(model, [x], **k)])
def test_a_posterior_that_does_not_know_its_mean_is_drawn_from(use):
    class Flow(nn.Module):
        def forward(self, x: Tensor) -> TransformedDistribution:
            law = Independent(Normal(torch.zeros_like(x), torch.ones_like(x)), 1)
            return TransformedDistribution(law, [TanhTransform()])

    model = VAE(deaf().prior, Flow(), deaf().likelihood)
    with pytest.raises(
        ConfigError, match=r"TransformedDistribution, which does not know its mean\. Draw a code: sample=T"
    ):
        use(model, torch.randn(5, 2))
    assert use(model, torch.randn(5, 2), sample=True).shape == (5, 2)

"""Distributions and their special functions against scipy, closed forms and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats
from torch import Tensor

from vaekit import distributions
from vaekit.distributions.binary import softplus
from vaekit.distributions.special import expm1_ratio_mean, expm1_ratio_variance, log_beta, log_expm1_ratio

pytestmark = pytest.mark.usefixtures("float64")

LOGITS, LOC, LOG_SCALE = np.array([-3.0, -0.2, 0.9]), np.array([-1.0, 0.3, 2.0]), np.array([-1.5, 0.2, 1.0])
REAL, WHOLE = np.array([-2.0, 0.4, 5.0]), np.array([0.0, 3.0, 70.0])
FREEDOM = np.array([0.7, 4.0, 300.0])
MEAN, DISPERSION = np.array([0.5, 3.0, 90.0]), np.array([0.2, 5.0, 2e4])
PROBABILITY = DISPERSION / (DISPERSION + MEAN)
T = torch.tensor


def _inflated(log_pmf: np.ndarray, value: np.ndarray, lost: np.ndarray) -> np.ndarray:
    return np.log(lost * (value == 0) + (1 - lost) * np.exp(log_pmf))


REFERENCES = {
    "Bernoulli": (
        distributions.Bernoulli(T(LOGITS), 0),
        np.array([0.0, 1.0, 1.0]),
        stats.bernoulli(special.expit(LOGITS)).logpmf,
    ),
    "ContinuousBernoulli": (
        distributions.ContinuousBernoulli(T(LOGITS), 0),
        np.array([0.0, 0.4, 1.0]),
        lambda x: np.log(LOGITS / np.expm1(LOGITS)) + LOGITS * x,
    ),
    "Normal": (distributions.Normal(T(LOC), T(LOG_SCALE), 0), REAL, stats.norm(LOC, np.exp(LOG_SCALE)).logpdf),
    "Laplace": (distributions.Laplace(T(LOC), T(LOG_SCALE), 0), REAL, stats.laplace(LOC, np.exp(LOG_SCALE)).logpdf),
    "StudentT": (
        distributions.StudentT(T(LOC), T(LOG_SCALE), T(FREEDOM).log(), 0),
        REAL,
        stats.t(FREEDOM, LOC, np.exp(LOG_SCALE)).logpdf,
    ),
    "LogNormal": (
        distributions.LogNormal(T(LOC), T(LOG_SCALE), 0),
        np.exp(REAL),
        stats.lognorm(np.exp(LOG_SCALE), scale=np.exp(LOC)).logpdf,
    ),
    "Poisson": (distributions.Poisson(T(MEAN).log(), 0), WHOLE, stats.poisson(MEAN).logpmf),
    "NegativeBinomial": (
        distributions.NegativeBinomial(T(MEAN).log(), T(DISPERSION).log(), 0),
        WHOLE,
        stats.nbinom(DISPERSION, PROBABILITY).logpmf,
    ),
    "ZeroInflated": (
        distributions.ZeroInflated(distributions.NegativeBinomial(T(MEAN).log(), T(DISPERSION).log(), 0), T(LOGITS)),
        WHOLE,
        lambda x: _inflated(stats.nbinom(DISPERSION, PROBABILITY).logpmf(x), x, special.expit(LOGITS)),
    ),
    "Categorical": (
        distributions.Categorical(T(LOC).expand(3, 3), 0),
        np.array([0.0, 1.0, 2.0]),
        lambda x: np.log(special.softmax(LOC))[x.astype(int)],
    ),
    "DiagonalNormal": (
        distributions.DiagonalNormal(T(LOC)[:, None], T(LOG_SCALE)[:, None]),
        REAL[:, None],
        lambda x: stats.norm(LOC, np.exp(LOG_SCALE)).logpdf(x[:, 0]),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_log_probabilities_equal_those_of_scipy(name):
    p, value, reference = REFERENCES[name]
    np.testing.assert_allclose(p.log_prob(T(value)).numpy(), reference(value), rtol=1e-11, atol=1e-12)


SUMMARIES = {
    "Laplace": (REFERENCES["Laplace"][0], stats.laplace(LOC, np.exp(LOG_SCALE))),
    "StudentT": (
        distributions.StudentT(T(LOC), T(LOG_SCALE), T([2.5, 4.0, 300.0], dtype=torch.float64).log(), 0),
        stats.t([2.5, 4.0, 300.0], LOC, np.exp(LOG_SCALE)),
    ),
    "LogNormal": (REFERENCES["LogNormal"][0], stats.lognorm(np.exp(LOG_SCALE), scale=np.exp(LOC))),
    "NegativeBinomial": (REFERENCES["NegativeBinomial"][0], stats.nbinom(DISPERSION, PROBABILITY)),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_means_and_variances_equal_those_of_scipy(name):
    p, reference = SUMMARIES[name]
    np.testing.assert_allclose(p.mean.numpy(), reference.mean(), rtol=1e-12)
    np.testing.assert_allclose(p.variance.numpy(), reference.var(), rtol=1e-10)


def test_the_variance_of_student_is_infinite_up_to_two_degrees_of_freedom():
    p = distributions.StudentT(torch.zeros(2), torch.zeros(2), T([0.5, 2.0]).log(), 0)
    assert p.variance.isinf().all()
    assert torch.equal(p.mean, torch.zeros(2))


@pytest.mark.parametrize("name", ["Normal", "Categorical", "Bernoulli", "LogNormal"])
def test_the_mode_is_the_most_probable_value(name):
    p = REFERENCES[name][0]
    grid = {"Categorical": T([0.0, 1.0, 2.0]), "Bernoulli": T([0.0, 1.0])}.get(name, torch.arange(-7.0, 9.0, 1e-3))
    grid = (grid.exp() if name == "LogNormal" else grid)[:, None].expand(-1, 3)
    best = grid[p.log_prob(grid).argmax(0), 0]
    torch.testing.assert_close(p.mode, best, rtol=1e-3, atol=1e-3)


def test_the_entropy_of_bernoulli_is_scipys():
    expected = stats.bernoulli(special.expit(LOGITS)).entropy().sum()
    np.testing.assert_allclose(distributions.Bernoulli(T(LOGITS), 1).entropy().item(), expected)


def test_the_variance_of_a_sure_pixel_keeps_its_digits():
    logits = T([-40.0, 25.0, 60.0], dtype=torch.float32)
    expected = special.expit(logits.double().numpy()) * special.expit(-logits.double().numpy())
    np.testing.assert_allclose(distributions.Bernoulli(logits, 0).variance, expected, rtol=1e-5)


def test_draws_of_a_flat_density_need_no_denormal_numbers():
    torch.set_flush_denormal(True)
    try:
        draws = distributions.ContinuousBernoulli(torch.zeros(10_000, dtype=torch.float32), 0).sample()
    finally:
        torch.set_flush_denormal(False)
    assert stats.kstest(draws.numpy(), "uniform").pvalue > 1e-4


# Special functions


def _mass(x: float) -> tuple[float, float, float]:
    """Integrate e^{x (t - top)} over [0, 1] numerically: the logarithm of the integral of e^{x t}, its mean and variance."""
    top = max(x, 0) / x if x else 0
    width = min(1.0, 40 / abs(x)) if x else 1.0
    span = (1 - width, 1.0) if x > 0 else (0.0, width)
    moments = [integrate.quad(lambda t, k=k: t**k * math.exp(x * (t - top)), *span)[0] for k in range(3)]
    mean = moments[1] / moments[0]
    return math.log(moments[0]) + x * top, mean, moments[2] / moments[0] - mean**2


EXPONENTS = [0.0, 1e-9, -1e-4, 1e-2, -0.1, 0.4999, 0.5, -0.5001, 1.0, -3.0, 30.0, -200.0]


@pytest.mark.parametrize("x", EXPONENTS)
def test_the_normaliser_of_the_continuous_bernoulli_equals_its_integral(x):
    log_mass, mean, variance = _mass(x)
    np.testing.assert_allclose(log_expm1_ratio(T(x)).item(), log_mass, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(expm1_ratio_mean(T(x)).item(), mean, rtol=1e-11)
    np.testing.assert_allclose(expm1_ratio_variance(T(x)).item(), variance, rtol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", EXPONENTS)
def test_the_normalisers_gradient_is_the_mean(x, dtype):
    x = T(x, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(log_expm1_ratio(x), x)
    torch.testing.assert_close(
        slope, expm1_ratio_mean(x), rtol=8 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps
    )


def test_the_published_values_of_the_continuous_bernoulli():
    p = distributions.ContinuousBernoulli(T([0.1, 0.3, 0.5]).logit(), 0)
    torch.testing.assert_close(p.mean, T([0.3301196133, 0.4302225011, 0.5]), rtol=0, atol=1e-10)
    torch.testing.assert_close(p.log_prob(T(0.5))[2], T(0.0))
    assert (p.mean - p.logits.sigmoid())[:2].abs().min() > 0.1


@pytest.mark.parametrize("deviation", [1e-2, 1e-3, 1e-5])
def test_the_normaliser_has_its_series_around_one_half(deviation):
    probability = T(0.5 + deviation)
    log_constant = -log_expm1_ratio(probability.logit()) - torch.log1p(-probability)
    series = math.log(2) + 4 / 3 * deviation**2 + 104 / 45 * deviation**4
    np.testing.assert_allclose(log_constant.item(), series, rtol=0, atol=1e-11)


def test_the_softplus_keeps_its_last_digits():
    x = np.array([-30.0, 0.1, 21.0, 35.0])
    np.testing.assert_allclose(softplus(T(x)).numpy(), np.logaddexp(0, x), rtol=4e-16)


@pytest.mark.parametrize("base", [1e-4, 0.3, 5.0, 9.999, 10.001, 50.0, 2e4, 1e9])
@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_the_beta_function_of_a_whole_number_is_a_product(base, count):
    product = sum(math.log(base + k) for k in range(count)) - math.lgamma(count)
    for pair in ((base, count), (count, base)):
        np.testing.assert_allclose(log_beta(*map(torch.tensor, pair)).item(), -product, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("base", [0.1, 9.9, 10.1, 300.0])
@pytest.mark.parametrize("other", [0.5, 8.0, 77.7])
def test_the_beta_function_is_scipys(base, other):
    np.testing.assert_allclose(log_beta(T(base), T(other)).item(), special.betaln(base, other), rtol=1e-11)


SINGLE = {"rtol": 1e-5, "atol": 1e-3}
LARGE = {
    "Poisson": (lambda m: distributions.Poisson(m, 0), lambda m: stats.poisson(m).logpmf),
    "NegativeBinomial": (
        lambda m: distributions.NegativeBinomial(m, torch.zeros_like(m) + 2, 0),
        lambda m: stats.nbinom(math.exp(2), 1 / (1 + m / math.exp(2))).logpmf,
    ),
}


@pytest.mark.parametrize("count", [0, 1, 30, 1000, 10**5, 10**7, 10**8])
@pytest.mark.parametrize("family", LARGE)
def test_large_counts_lose_nothing_in_single_precision(family, count):
    make, reference = LARGE[family]
    for mean in (0.3 * count + 0.01, count - count**0.5 + 0.1, count + 0.1, 3 * count + 10):
        log_mean = T(mean, dtype=torch.float32).log().requires_grad_()
        log_mass = make(log_mean).log_prob(T(float(count), dtype=torch.float32))
        np.testing.assert_allclose(log_mass.item(), reference(log_mean.double().exp().item())(count), **SINGLE)


@pytest.mark.parametrize("family", LARGE)
def test_the_gradient_of_counts_is_that_of_the_textbook_form(family):
    log_mean = torch.linspace(-20, 20, 41).requires_grad_()
    counts = T([0.0, 1.0, 2.0, 9.0, 11.0, 1e4])[:, None]
    (slope,) = torch.autograd.grad(LARGE[family][0](log_mean).log_prob(counts).sum(), log_mean)
    excess = counts - log_mean.exp()
    expected = excess if family == "Poisson" else excess / (1 + (log_mean - 2).exp())
    torch.testing.assert_close(slope, expected.sum(0), rtol=1e-9, atol=1e-9)


def test_large_dispersion_is_the_poisson_limit_in_single_precision():
    log_mean, counts = torch.full((5,), 1.5, dtype=torch.float32), torch.arange(5, dtype=torch.float32)
    nearly = distributions.NegativeBinomial(log_mean, T(16.0, dtype=torch.float32), 0).log_prob(counts)
    torch.testing.assert_close(nearly, distributions.Poisson(log_mean, 0).log_prob(counts), rtol=1e-5, atol=1e-5)


def test_many_degrees_of_freedom_are_the_normal_limit_in_single_precision():
    loc, value = torch.zeros(5, dtype=torch.float32), torch.linspace(-3, 3, 5, dtype=torch.float32)
    nearly = distributions.StudentT(loc, loc, T(16.0, dtype=torch.float32), 0).log_prob(value)
    torch.testing.assert_close(nearly, distributions.Normal(loc, loc, 0).log_prob(value), rtol=1e-5, atol=1e-5)


# Discretised logistic mixtures


def grey(loc: Tensor, log_scale: Tensor, levels: int = 256) -> distributions.DiscretizedLogisticMixture:
    """Make a mixture for one grey pixel, with equal weights of its components, parameters of shape (K,)."""
    loc, log_scale = loc.reshape(-1, 1, 1), log_scale.reshape(-1, 1, 1)
    nothing = torch.zeros(len(loc), 0, 1)
    return distributions.DiscretizedLogisticMixture(torch.zeros(len(loc), 1), loc, log_scale, nothing, (1,), levels)


def levels_of(count: int) -> Tensor:
    return torch.arange(count)[:, None] / (count - 1)


@pytest.mark.parametrize("log_scale", [-5.0, -2.0, 0.5])
@pytest.mark.parametrize("loc", [-0.98, 0.1, 1.4])
def test_the_mass_of_a_level_is_the_difference_of_logistic_distribution_functions(loc, log_scale):
    edges = np.concatenate([[-np.inf], (2 * np.arange(1, 256) - 1) / 255 - 1, [np.inf]])
    reference = np.diff(stats.logistic(loc, np.exp(log_scale)).cdf(edges))
    mass = grey(T([loc]), T([log_scale])).log_prob(levels_of(256)).exp()
    np.testing.assert_allclose(mass.numpy(), reference, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 5e-8), (torch.float32, 5e-6)])
@pytest.mark.parametrize("scale", [1e-3, 0.01, 0.03, 0.04, 0.3, 7.9, 8.1, 1e3])
def test_the_mean_of_a_grey_pixel_is_the_sum_over_its_levels(scale, dtype, tolerance):
    loc = torch.linspace(-1.5, 1.5, 31, dtype=dtype)
    edges = (2 * np.arange(1, 256) - 1) / 255 - 1
    above = stats.logistic(loc.double().numpy()[:, None], scale).sf(edges)
    means = torch.cat([grey(m, T([scale], dtype=dtype).log()).mean for m in loc])
    np.testing.assert_allclose(means.numpy(), above.sum(1) / 255, rtol=0, atol=tolerance)


@given(
    loc=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2),
    log_scale=st.lists(st.floats(-7, 7), min_size=2, max_size=2),
    levels=st.sampled_from([2, 3, 16, 256]),
)
def test_the_masses_of_all_levels_sum_to_one_at_extremes(loc, log_scale, levels):
    log_mass = grey(T(loc), T(log_scale), levels).log_prob(levels_of(levels))
    torch.testing.assert_close(log_mass.exp().sum(), T(1.0), rtol=0, atol=1e-10)
    assert log_mass.isfinite().all()


def test_the_tail_has_the_slope_of_the_logistic_density():
    log_scale = -7.0
    log_mass = grey(T([0.9]), T([log_scale])).log_prob(levels_of(256)[10:60])
    slope = 2 / 255 * math.exp(-log_scale)
    np.testing.assert_allclose(log_mass.diff().numpy(), slope, rtol=1e-9)
    assert log_mass[0] < -1000


def colour(levels: int, **extreme: float) -> distributions.DiscretizedLogisticMixture:
    """Make a mixture of three components for one colour pixel, its parameters multiplied by the given factors."""
    shapes = {"logits": (3, 1), "loc": (3, 3, 1), "log_scale": (3, 3, 1), "coupling": (3, 3, 1)}
    parameters = {name: torch.randn(shape) * extreme.get(name, 1.0) for name, shape in shapes.items()}
    return distributions.DiscretizedLogisticMixture(**parameters, event_shape=(3, 1, 1), levels=levels)


@pytest.mark.parametrize(
    "extreme", [{}, {"loc": 50.0}, {"log_scale": 6.0}, {"coupling": 20.0}, {"logits": 30.0, "log_scale": 3.0}]
)
def test_the_masses_of_all_colours_sum_to_one(extreme):
    p, axis = colour(12, **extreme), levels_of(12)[:, 0]
    colours = torch.cartesian_prod(axis, axis, axis).reshape(-1, 3, 1, 1)
    torch.testing.assert_close(p.log_prob(colours).exp().sum(), T(1.0), rtol=0, atol=1e-10)


def test_the_channels_of_a_colour_are_coupled_within_a_component():
    p, x = colour(256), T([0.2, 0.6, 1.0]).reshape(3, 1, 1)
    red, green, _ = 2 * x.reshape(3) - 1
    (rg, rb, gb), (m_r, m_g, m_b) = p.coupling[..., 0].T, p.loc[..., 0].T
    centres = torch.stack([m_r, m_g + rg * red, m_b + rb * red + gb * green], -1)
    parts = [grey(centres[k, c], p.log_scale[k, c]).log_prob(x[c, 0]) for k in range(3) for c in range(3)]
    expected = (p.logits[:, 0].log_softmax(0) + torch.stack(parts).reshape(3, 3).sum(-1)).logsumexp(0)
    torch.testing.assert_close(p.log_prob(x), expected)


def test_the_mean_of_narrow_colours_inside_the_range_is_exact():
    p, axis = colour(32, loc=0.3, coupling=0.2), levels_of(32)[:, 0]
    p = distributions.DiscretizedLogisticMixture(p.logits, p.loc, 0 * p.log_scale - 3, p.coupling, (3, 1, 1), 32)
    colours = torch.cartesian_prod(axis, axis, axis).reshape(-1, 3, 1, 1)
    mean = (p.log_prob(colours).exp()[:, None, None, None] * colours).sum(0)
    torch.testing.assert_close(p.mean, mean, rtol=0, atol=2e-3)


def test_the_error_of_the_mean_of_colours_is_what_the_docstring_says():
    pixels, levels = (500, 1, 3, 1), 8
    loc, coupling = 4 * torch.rand(pixels) - 2, 2 * torch.rand(pixels) - 1
    log_scale, nothing = torch.empty(pixels).uniform_(-5, 3), torch.zeros(500, 1, 1)
    p = distributions.DiscretizedLogisticMixture(nothing, loc, log_scale, coupling, (3, 1, 1), levels)
    axis = levels_of(levels)[:, 0]
    colours = torch.cartesian_prod(axis, axis, axis).reshape(-1, 1, 3, 1, 1)
    exact = (p.log_prob(colours).exp()[..., None, None, None] * colours).sum(0)
    errors = (p.mean - exact).abs().flatten(1).amax(1)
    assert 0.003 < errors.median() < 0.01
    assert 0.08 < errors.quantile(0.95) < 0.16
    assert 0.2 < errors.max() < 0.35


def test_bits_of_a_flat_mixture_are_the_bits_of_a_pixel():
    bits = -grey(T([0.0]), T([6.0]), 2).log_prob(T([1.0])) / math.log(2)
    torch.testing.assert_close(bits, T(1.0), rtol=0, atol=1e-10)

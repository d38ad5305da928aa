"""Bounds against models whose likelihood is known exactly: the linear-Gaussian model and probabilistic principal components."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from catalogue import OBJECTIVES, cases
from linear_gaussian import Cubature, LinearGaussian, affine, unbounded
from torch import Tensor, nn

from vaekit import VAE, divergence, likelihoods, networks, objectives, posteriors, priors
from vaekit.conditional import unvalidated
from vaekit.evaluation import active_units

pytestmark = pytest.mark.usefixtures("float64")

LOG_P, ELBO, RECONSTRUCTION, KL = -2.7073138859, -3.1928770664, -2.7947298858, 0.3981471806
BOUNDS = {
    2: (-2.85612320, 1e-8),
    3: (-2.78877803, 1e-8),
    5: (-2.749863, 5e-5),
    50: (-2.711068, 3e-5),
}  # value, uncertainty
GRADIENT_OF_L2 = (0.501567, -0.977706)


def golden() -> tuple[VAE, Tensor]:
    """Make the fixture W = (1, 2), s^2 = 1/2, q = N(0.4, 0.5^2), x = (1, 1)."""
    truth = LinearGaussian(torch.tensor([[1.0], [2.0]]), torch.zeros(2), math.sqrt(0.5))
    constant = torch.stack([torch.tensor(0.4), unbounded(torch.tensor(0.5).log())])
    return truth.model(posteriors.DiagonalNormal(affine(torch.zeros(2, 2), constant))), torch.ones(1, 2)


def random_truth(latent: int = 3, *, orthogonal: bool = False) -> LinearGaussian:
    weight = torch.randn(5, latent)
    if orthogonal:
        weight = torch.linalg.qr(weight).Q * torch.arange(1.0, latent + 1)
    return LinearGaussian(weight, torch.randn(5), 0.7)


@pytest.fixture
def nodes() -> tuple[Tensor, Tensor]:
    """Give latents, shape (S, 1, 1), and probabilities, shape (S, 1), of Gauss-Hermite quadrature under the golden posterior."""
    points, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(60))
    return 0.4 + 0.5 * points[:, None, None], (weights / weights.sum())[:, None]


@torch.no_grad()
def test_the_golden_fixture_by_quadrature(nodes):
    (model, x), (z, probability) = golden(), nodes
    q = model.posterior(x)
    reconstruction = (probability * model.likelihood(z).log_prob(x)).sum()
    kl = divergence(q, model.prior(), z).parts.sum()
    log_weight = model.log_joint(x, z) - q.log_prob(z)
    log_p = torch.logsumexp(log_weight + probability.log(), 0)
    values = torch.stack([log_p.squeeze(), reconstruction - kl, reconstruction, kl])
    torch.testing.assert_close(values, torch.tensor([LOG_P, ELBO, RECONSTRUCTION, KL]), rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_exact_posterior_of_the_golden_fixture():
    truth = LinearGaussian(torch.tensor([[1.0], [2.0]]), torch.zeros(2), math.sqrt(0.5))
    q = truth.exact_posterior()(torch.ones(1, 2))
    torch.testing.assert_close(q.mean.item(), 0.5454545455, rtol=0, atol=1e-9)
    torch.testing.assert_close(q.variance.item(), 0.0909090909, rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("samples", BOUNDS)
def test_importance_weighted_bounds_of_a_million_draws(samples):
    (model, x), objective = golden(), objectives.IWAE(samples)
    rows = 100_000 // samples
    with unvalidated(model):
        bounds = torch.cat([objective(model, x.expand(rows, -1)).bound for _ in range(1_000_000 // rows)])
    value, uncertainty = BOUNDS[samples]
    error = math.hypot(bounds.std().item() / math.sqrt(len(bounds)), uncertainty)
    assert abs(bounds.mean().item() - value) < 4 * error
    assert bounds.mean().item() < LOG_P


class EachRow(nn.Module):
    """A network whose output for each row is a parameter, so that every row has a gradient of its own."""

    def __init__(self, row: Tensor, rows: int) -> None:
        super().__init__()
        self.output = nn.Parameter(row.repeat(rows, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.output


def test_the_gradient_of_the_second_bound():
    (model, x), rows = golden(), 200_000
    network = EachRow(torch.stack([torch.tensor(0.4), unbounded(torch.tensor(0.5).log())]), rows)
    model.posterior = posteriors.DiagonalNormal(network)
    objectives.IWAE(2)(model, x.expand(rows, -1)).bound.sum().backward()
    scale_per_raw = 0.5 * (1 - (math.log(0.5) / posteriors.MAX_LOG_SCALE) ** 2)
    gradients = network.output.grad / torch.tensor([1.0, scale_per_raw])
    error = gradients.std(0) / math.sqrt(rows)
    assert ((gradients.mean(0) - torch.tensor(GRADIENT_OF_L2)).abs() < 4 * error).all()


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 2, 5, 50])
@pytest.mark.parametrize("diagonal", [False, True])
def test_with_the_exact_posterior_every_bound_is_the_likelihood_for_any_draw(samples, diagonal):
    truth = random_truth(orthogonal=diagonal)
    x = truth.marginal.sample((7,))
    model = truth.model(truth.best_diagonal_posterior() if diagonal else truth.exact_posterior())
    bound = objectives.IWAE(samples)(model, x).bound
    torch.testing.assert_close(bound, truth.marginal.log_prob(x), rtol=0, atol=1e-10)


@torch.no_grad()
def test_bounds_rise_with_samples_towards_the_likelihood():
    truth = random_truth()
    model, x = truth.model(truth.best_diagonal_posterior()), truth.marginal.sample((1,)).expand(20_000, -1)
    estimates = [objectives.ELBO()(model, x).bound, *(objectives.IWAE(k)(model, x).bound for k in (2, 4, 16))]
    levels = torch.stack([*(e.mean() for e in estimates), truth.marginal.log_prob(x[0])])
    errors = torch.stack([*(e.std() for e in estimates), torch.tensor(0.0)]) / math.sqrt(len(x))
    assert (levels.diff() > 4 * torch.hypot(errors[1:], errors[:-1])).all()


@torch.no_grad()
@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_the_bound_of_every_objective_is_below_the_likelihood(objective):
    truth = random_truth()
    model, x = truth.model(truth.best_diagonal_posterior()), truth.marginal.sample((1,)).expand(20_000, -1)
    bound = objective(model, x).bound
    assert (bound.mean() - truth.marginal.log_prob(x[0])).item() < 4 * bound.std().item() / math.sqrt(len(x))


@torch.no_grad()
@pytest.mark.parametrize("orthogonal", [False, True])
def test_the_gap_of_the_best_diagonal_posterior(orthogonal):
    truth = random_truth(orthogonal=orthogonal)
    model, x = truth.model(Cubature(truth.best_diagonal_posterior())), truth.marginal.sample((7,))
    gap = 0.5 * (truth.precision.diagonal().log().sum() - truth.precision.logdet())
    assert (gap < 1e-12) == orthogonal
    bound = objectives.ELBO(samples=6)(model, x).bound
    torch.testing.assert_close(bound, truth.marginal.log_prob(x) - gap, rtol=0, atol=1e-10)


EIGENVALUES = (6.0, 3.0, 1.5) + (0.3,) * 9


def principal_data() -> Tensor:
    """Draw 2,000 points in 12 dimensions, and make their covariance's eigenvalues exactly the given ones."""
    x = torch.randn(2000, 12)
    white = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(len(x))
    basis = torch.linalg.qr(torch.randn(12, 12)).Q
    return white * torch.tensor(EIGENVALUES).sqrt() @ basis + torch.randn(12)


def best_principal_likelihood(eigenvalues: Tensor, latent: int) -> float:
    """Compute the greatest log p(x) per example of probabilistic principal components (Tipping and Bishop, 1999)."""
    noise, d = eigenvalues[latent:].mean(), len(eigenvalues)
    log_determinant = eigenvalues[:latent].log().sum() + (d - latent) * noise.log()
    return -0.5 * (d * math.log(2 * math.pi) + log_determinant + d).item()


def linear_vae(likelihood: nn.Module) -> VAE:
    return VAE(priors.StandardNormal(3), Cubature(posteriors.DiagonalNormal(networks.MLP(12, 6))), likelihood)


def fit(model: VAE, x: Tensor) -> Tensor:
    """Maximise the noiseless bound by L-BFGS, and return its mean."""
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=500, history_size=30, line_search_fn="strong_wolfe")
    objective = objectives.ELBO(samples=6)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = objective(model, x).loss
        value.backward()
        return value

    optimiser.step(loss)
    return objective(model, x).bound.mean()


def test_a_linear_vae_reaches_the_maximum_of_probabilistic_principal_components():
    x = principal_data()
    model = linear_vae(likelihoods.Normal(networks.MLP(3, 12), 12))
    bound, best = fit(model, x), best_principal_likelihood(torch.tensor(EIGENVALUES), 3)
    assert best - 0.02 < bound.item() < best + 1e-9
    scale = model.likelihood(torch.zeros(1, 3)).stddev
    torch.testing.assert_close(scale.square(), torch.full((1, 12), EIGENVALUES[-1]), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("variance", "active"), [(1.0, 3), (2.0, 2), (4.0, 1), (8.0, 0)])
def test_with_fixed_scale_the_active_units_are_the_eigenvalues_above_it(variance, active):
    x = principal_data()
    model = linear_vae(likelihoods.Normal(networks.MLP(3, 12), 12, scale=math.sqrt(variance)))
    fit(model, x)
    spread = model.encode(x).var(0)
    assert active_units(model.encode(x)).sum() == active
    expected = (1 - variance / torch.tensor(EIGENVALUES[:3])).clamp(min=0)
    torch.testing.assert_close(spread.sort(descending=True).values, expected, rtol=0, atol=0.01)

"""Scales of likelihoods: fixed, learned, per element and optimal."""

from __future__ import annotations

import math

import pytest
import torch
from catalogue_likelihoods import LATENT, Constant
from torch import Tensor, nn

from vaekit import likelihoods
from vaekit.errors import ConfigError, ShapeError
from vaekit.likelihoods import ElementScale, FixedScale, OptimalScale

ROWS = 4
LINEAR = nn.Linear(LATENT, 1)


FAMILIES = {
    "root mean square": (likelihoods.Normal, lambda e: e.square().mean().sqrt()),
    "mean absolute": (likelihoods.Laplace, lambda e: e.abs().mean()),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, float64: None):
    """Give a likelihood's class and the scale that is best for errors."""
    return FAMILIES[request.param]


@pytest.fixture
def locations(float64: None) -> Constant:
    return Constant(torch.randn(5))


def test_the_learned_scale_is_the_best_one(family, locations):
    make, best = family
    likelihood, x = make(locations.requires_grad_(False), 5), 0.05 * torch.randn(40, 5)
    optimiser = torch.optim.LBFGS(
        likelihood.parameters(), max_iter=200, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -likelihood(torch.zeros(40, LATENT)).log_prob(x).mean()
        value.backward()
        return value

    optimiser.step(loss)
    torch.testing.assert_close(likelihood.scale().exp(), best(x - locations.output), rtol=1e-5, atol=0)


def test_the_optimal_scale_maximises_the_batch_and_moves_no_gradient(family, locations):
    make, best = family
    x, z = torch.randn(7, 5), torch.zeros(3, 7, LATENT)
    scale = best(x - locations.output)
    optimal, fixed, raised, lowered = (
        make(locations, 5, s)(z).log_prob(x).mean()
        for s in (OptimalScale(), scale.item(), 1.001 * scale.item(), 0.999 * scale.item())
    )
    torch.testing.assert_close(optimal, fixed)
    assert optimal > max(raised, lowered)
    direct = make(locations, 5, 1.0)(z)
    through = direct.with_log_scale(scale.log()).log_prob(x).mean()
    gradients = [torch.autograd.grad(v, locations.output)[0] for v in (optimal, fixed, through)]
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


def test_evaluation_uses_the_scale_of_the_training_batches(family, locations):
    make, best = family
    likelihood, z = make(locations, 5, OptimalScale(memory=2)), torch.zeros(6, LATENT)
    torch.testing.assert_close(likelihood.scale().exp(), torch.tensor(1.0))
    first, second = torch.randn(6, 5), 3 * torch.randn(6, 5)
    likelihood(z).log_prob(first)
    torch.testing.assert_close(likelihood.scale().exp(), best(first - locations.output))
    likelihood(z).log_prob(second)
    power = likelihood.scale.power
    moments = [best(x - locations.output) ** power for x in (first, second)]
    expected = ((0.25 * moments[0] + 0.5 * moments[1]) / 0.75) ** (1 / power)
    likelihood.eval()
    torch.testing.assert_close(likelihood(z).scale.expand(()), expected)
    before = likelihood.scale().clone()
    likelihood(z).log_prob(9 * second)
    assert torch.equal(likelihood.scale(), before)


def test_the_scale_of_training_is_part_of_the_state(locations):
    trained, fresh = (likelihoods.Normal(locations, 5, OptimalScale()) for _ in range(2))
    trained(torch.zeros(6, LATENT)).log_prob(9 * torch.randn(6, 5))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.scale(), trained.scale())


def test_perfect_reconstructions_have_a_finite_optimal_density(locations):
    p = likelihoods.Normal(locations, 5, OptimalScale())(torch.zeros(1, LATENT))
    assert p.log_prob(locations.output.detach()).isfinite()


def test_a_number_stands_for_a_fixed_scale():
    likelihood = likelihoods.Normal(LINEAR, 1, scale=0.25)
    assert isinstance(likelihood.scale, FixedScale)
    torch.testing.assert_close(likelihood(torch.zeros(1, LATENT)).stddev, torch.tensor([[0.25]]))


def test_a_width_is_a_shape():
    assert likelihoods.Normal(LINEAR, 4, likelihoods.SharedScale(shape=4)).scale.raw.shape == (4,)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (2, 4)])
@pytest.mark.parametrize("make", [likelihoods.Normal, likelihoods.StudentT, likelihoods.NegativeBinomial])
def test_scales_of_a_shape_that_does_not_broadcast_to_events_are_refused(make, shape):
    with pytest.raises(ShapeError, match=r"does not broadcast to events of shape \(4,\), as \w+ has them"):
        make(LINEAR, 4, likelihoods.SharedScale(shape=shape))


def test_half_a_unit_of_variance_is_the_sum_of_squares(float64):
    likelihood, x = likelihoods.Normal(nn.Linear(LATENT, 5), 5, scale=0.5**0.5), torch.randn(ROWS, 5)
    p = likelihood(torch.randn(ROWS, LATENT))
    squares = (x - p.mean).square().sum(-1)
    torch.testing.assert_close(-p.log_prob(x), squares + 2.5 * math.log(math.pi))


def test_the_parameters_of_an_image_follow_its_channels(float64):
    output = torch.randn(4, 2, 3)
    p = likelihoods.Normal(Constant(output), (2, 2, 3), ElementScale())(torch.zeros(1, LATENT))
    torch.testing.assert_close(p.mean[0], output[:2])
    torch.testing.assert_close(p.stddev[0], (10 * (output[2:] / 10).tanh()).exp())


def test_a_class_in_the_place_of_a_scale_is_refused():
    with pytest.raises(ConfigError, match=r"`scale` is the class SharedScale; write SharedScale\(\)"):
        likelihoods.Normal(LINEAR, 1, scale=likelihoods.SharedScale)

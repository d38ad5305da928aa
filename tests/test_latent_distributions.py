"""The distributions of latents against torch's: densities, moments, entropies, expansion, and the point mass."""

from __future__ import annotations

import pytest
import torch
from catalogue import cases
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions import Delta, DiagonalNormal, StandardNormal

pytestmark = pytest.mark.usefixtures("float64")

BATCH, LATENT = 3, 4


def diagonal() -> tuple[Distribution, Distribution]:
    loc, log_scale = torch.randn(BATCH, LATENT), torch.randn(BATCH, LATENT)
    return DiagonalNormal(loc, log_scale), Independent(Normal(loc, log_scale.exp()), 1)


def standard() -> tuple[Distribution, Distribution]:
    zeros = torch.zeros(BATCH, LATENT)
    return StandardNormal(zeros), Independent(Normal(zeros, 1.0), 1)


TWINS = {"DiagonalNormal": diagonal, "StandardNormal": standard}


@pytest.fixture(params=cases(TWINS))
def twins(request: pytest.FixtureRequest) -> tuple[Distribution, Distribution]:
    return request.param()


@pytest.mark.parametrize("samples", [(), (5,), (2, 5)])
def test_densities_are_those_of_torch(twins, samples):
    law, twin = twins
    z = torch.randn(*samples, BATCH, LATENT)
    torch.testing.assert_close(law.log_prob(z), twin.log_prob(z))


@pytest.mark.parametrize("name", ["mean", "mode", "stddev", "variance"])
def test_moments_are_those_of_torch(twins, name):
    law, twin = twins
    torch.testing.assert_close(getattr(law, name), getattr(twin, name))


def test_entropies_are_those_of_torch(twins):
    law, twin = twins
    torch.testing.assert_close(law.entropy(), twin.entropy())


def test_draws_are_reparameterised_noise(twins):
    law, _ = twins
    torch.manual_seed(1)
    z = law.rsample((6,))
    torch.manual_seed(1)
    noise = torch.randn(6, BATCH, LATENT)
    torch.testing.assert_close(z, law.mean + law.stddev * noise)


def test_expansion_repeats_the_law(twins):
    wide = twins[0].expand((7, BATCH))
    assert (wide.batch_shape, wide.event_shape) == ((7, BATCH), (LATENT,))
    z = torch.randn(7, BATCH, LATENT)
    torch.testing.assert_close(wide.log_prob(z), twins[0].log_prob(z))
    assert wide.sample((2,)).shape == (2, 7, BATCH, LATENT)


def test_values_of_another_shape_are_refused(twins):
    with pytest.raises(ValueError, match="event_shape"):
        twins[0].log_prob(torch.zeros(BATCH, LATENT + 1))


def test_a_point_has_all_mass_where_it_is():
    point = Delta(torch.randn(BATCH, LATENT, requires_grad=True)).expand((2, BATCH))
    z = point.rsample((5,))
    assert z.shape == (5, 2, BATCH, LATENT)
    assert z.requires_grad
    assert (point.log_prob(z) == 0).all()
    assert (point.log_prob(z + 1e-9) == -torch.inf).all()
    assert torch.equal(point.mean, point.mode)
    assert (point.variance == 0).all()

"""Denoising: the encoder sees corrupted data in training, the likelihood scores the clean data, evaluation corrupts nothing."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import vaekit as vk
from vaekit.errors import ConfigError
from vaekit.networks import Corrupted, Corruption, GaussianNoise, Masking, SaltAndPepper
from vaekit.objectives import ELBO


class Blackout(Corruption):
    """Hides everything, so that what still depends on the data cannot have come through the encoder."""

    def corrupt(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def denoiser(corruption: nn.Module) -> vk.VAE:
    return vk.VAE(
        vk.priors.StandardNormal(2),
        vk.posteriors.Delta(Corrupted(corruption, vk.networks.MLP(6, 5, 2))),
        vk.likelihoods.Bernoulli(vk.networks.MLP(2, 5, 6), 6),
    )


@pytest.fixture
def x() -> Tensor:
    return torch.bernoulli(torch.full((4, 6), 0.5))


def test_the_encoder_sees_corrupted_and_the_likelihood_clean_data(x: Tensor) -> None:
    model = denoiser(Blackout())
    terms = ELBO()(model, x)
    blind = model.posterior.network.network(torch.zeros_like(x))
    torch.testing.assert_close(terms.trace.z, blind)
    torch.testing.assert_close(terms.distortion, -model.likelihood(blind).log_prob(x))


def test_evaluation_corrupts_nothing(x: Tensor) -> None:
    model = denoiser(Blackout()).eval()
    clean = model.posterior.network.network(x)
    torch.testing.assert_close(ELBO()(model, x).trace.z, clean)
    torch.testing.assert_close(model.train().encode(x), clean)
    assert model.training


def test_context_reaches_the_network_as_it_is(x: Tensor) -> None:
    network = Corrupted(Blackout(), vk.networks.MLP(6, 3, context=2))
    context = torch.randn(4, 2)
    torch.testing.assert_close(network(x, context), network.network(torch.zeros_like(x), context))


def test_noise_follows_its_law() -> None:
    grey = torch.full((100_000,), 0.5)
    masked, salted = Masking(0.3)(grey), SaltAndPepper(0.3)(grey)
    for values, value, share in ((masked, 0.0, 0.3), (salted, 0.0, 0.15), (salted, 1.0, 0.15), (salted, 0.5, 0.7)):
        count = int((values == value).sum())
        assert stats.binomtest(count, len(grey), share).pvalue > 1e-4
    noise = GaussianNoise(0.2)(grey) - grey
    assert stats.kstest((noise / 0.2).numpy(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper])
def test_a_probability_is_a_probability(kind: type[Masking]) -> None:
    with pytest.raises(ConfigError, match=f"`probability` of {kind.__name__} is 1.5"):
        kind(1.5)

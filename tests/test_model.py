"""The model in use: encoding, decoding, sampling, context, modes, randomness, third-party parts and checks of arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from catalogue import (
    DECODERS,
    ENCODERS,
    IMAGE,
    LATENT,
    POSTERIORS,
    PRIORS,
    OwnNetwork,
    OwnPrior,
    binary_images,
    cases,
    compose,
    flows,
)
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vaekit import VAE, Conditional, distributions, likelihoods, posteriors, priors
from vaekit.conditional import unvalidated
from vaekit.errors import ConfigError, ShapeError
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, Corrupted, Masking
from vaekit.objectives import ELBO, IWAE
from vaekit.spec import keeping_checks

USES: dict[str, Callable[[VAE, Tensor], Tensor]] = {
    "encode": lambda model, x: model.encode(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "decode": lambda model, x: model.decode(model.encode(x)),
}
DRAWS: dict[str, Callable[[VAE, Tensor, torch.Generator], Tensor]] = {
    "sample": lambda model, x, g: model.sample((3,), generator=g),
    "encode": lambda model, x, g: model.encode(x, sample=True, generator=g),
    "reconstruct": lambda model, x, g: model.reconstruct(x, sample=True, generator=g),
}


def drawn(q: Distribution) -> Tensor:
    """Draw three samples with the same noise every time."""
    torch.manual_seed(1)
    return q.rsample((3,))


@pytest.fixture
def model() -> VAE:
    """Give a model with batch normalisation in both networks, in training mode, part of it frozen in evaluation mode."""
    model = compose(encoder=ENCODERS["ConvEncoder-batch"], decoder=DECODERS["ConvDecoder-batch"])
    model.prior.eval()
    return model


@contextmanager
def untouched(model: VAE) -> Iterator[None]:
    """Check that the modes of all modules, the parameters and the statistics are afterwards as they were."""
    modes = [m.training for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    yield
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("use", cases(USES))
def test_use_is_deterministic_and_leaves_the_model_as_it_was(model, use):
    x = binary_images()
    with untouched(model):
        first, second = use(model, x), use(model, x)
    assert torch.equal(first, second)
    assert not first.requires_grad


@pytest.mark.parametrize("use", cases(USES))
def test_use_keeps_the_order_of_rows_and_works_for_one(model, use):
    x = binary_images(6)
    together, order = use(model, x), torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(use(model, x[order]), together[order])
    torch.testing.assert_close(torch.cat([use(model, row) for row in x.split(1)]), together)


@pytest.mark.parametrize("draw", cases(DRAWS))
def test_draws_follow_the_generator_and_leave_the_default_one_alone(model, draw):
    x, state = binary_images(), torch.get_rng_state()
    generator = torch.Generator().manual_seed(3)
    first, later = draw(model, x, generator), draw(model, x, generator)
    assert torch.equal(first, draw(model, x, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, later)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("draw", cases(DRAWS))
def test_drawing_leaves_the_model_as_it_was(model, draw):
    with untouched(model):
        assert not draw(model, binary_images(), torch.Generator()).requires_grad


@pytest.mark.parametrize("draw", cases(DRAWS))
def test_draws_differ_without_a_generator(model, draw):
    x = binary_images()
    assert not torch.equal(draw(model, x, None), draw(model, x, None))


def test_an_error_in_use_restores_the_modes(model):
    modes = [m.training for m in model.modules()]
    with pytest.raises(ShapeError):
        model.encode(torch.zeros(2, 3))
    assert [m.training for m in model.modules()] == modes


@pytest.mark.parametrize("posterior", cases(POSTERIORS))
def test_encoding_gives_the_mean_or_a_draw(posterior):
    model, x = compose(posterior=posterior), binary_images()
    q = model.posterior(x)
    torch.testing.assert_close(model.encode(x), q.mean)
    draws = torch.stack([model.encode(x, sample=True) for _ in range(400)])
    error = 4 * (q.variance / len(draws)).sqrt()
    assert ((draws.mean(0) - q.mean).abs() <= error + 1e-6).all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("posterior", cases(POSTERIORS))
def test_latents_and_densities_of_networks_in_half_precision_are_in_single_precision(posterior, half):
    q, x = compose(posterior=posterior).posterior, binary_images()
    with torch.autocast("cpu", half):
        q = q(x)
        z = drawn(q)
        log_density = q.log_prob(z)
    assert z.dtype == log_density.dtype == torch.float32
    assert torch.equal(z, drawn(q))
    torch.testing.assert_close(log_density, q.log_prob(z))


def test_reconstruction_decodes_the_code():
    model, x = compose(), binary_images()
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))
    assert torch.equal(model.decode(model.encode(x)), model.likelihood(model.posterior(x).mean).mean)


def test_a_number_of_samples_is_a_shape():
    assert compose().sample(3).shape == (3, *IMAGE)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("prior", cases(PRIORS))
def test_samples_have_the_shape_asked_for(prior, shape):
    model = compose(prior)
    drawn, means = model.sample(shape), model.sample(shape, mean=True)
    assert drawn.shape == means.shape == (*shape, *IMAGE)
    assert ((drawn == 0) | (drawn == 1)).all()
    assert ((means > 0) & (means < 1)).all()


def test_latents_of_any_number_of_dimensions_are_decoded_alike(model):
    z = torch.randn(2, 3, 4, LATENT)
    torch.testing.assert_close(model.decode(z)[1, 2], model.decode(z[1, 2]))


def test_the_joint_is_the_prior_times_the_likelihood():
    model, x, z = compose(), binary_images(), torch.randn(5, 4, LATENT)
    joint = model.log_joint(x, z)
    assert joint.shape == (5, 4)
    torch.testing.assert_close(joint[2, 1], model.log_joint(x[1:2], z[2, 1:2])[0])
    torch.testing.assert_close(joint, model.prior().log_prob(z) + model.likelihood(z).log_prob(x))


def test_training_steps_are_counted_in_the_model_and_its_annealed_parts():
    model = compose(posterior=posteriors.Concrete)
    model.advance()
    model.advance()
    assert model.step == model.posterior.step == 2
    assert model.state_dict()["step"] == 2


CONDITIONAL = {
    "MLP": lambda: (MLP(IMAGE, 2 * LATENT, hidden=(6,), context=3), MLP(LATENT, IMAGE, hidden=(6,), context=3)),
    "convolutional": lambda: (
        ConvEncoder(IMAGE, 2 * LATENT, channels=(3,), context=3),
        ConvDecoder(LATENT, IMAGE, channels=(3,), context=3),
    ),
}


@pytest.fixture(params=cases(CONDITIONAL))
def conditional(request: pytest.FixtureRequest) -> VAE:
    encoder, decoder = request.param()
    likelihood = likelihoods.Bernoulli(decoder, IMAGE)
    return VAE(priors.StandardNormal(LATENT), posteriors.DiagonalNormal(encoder), likelihood)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(samples=3), IWAE(5)])
def test_a_conditional_model_is_no_new_class(conditional, objective):
    x, c = binary_images(), torch.randn(4, 3)
    terms = objective(conditional, x, c)
    assert terms.bound.shape == (4,)
    terms.loss.backward()
    assert all(p.grad.isfinite().all() for p in conditional.parameters())


def test_context_reaches_the_row_that_it_belongs_to(conditional):
    x, c = binary_images(), torch.randn(4, 3)
    changed = torch.cat([c[:1] + 1, c[1:]])
    for before, after in (
        (conditional.encode(x, c), conditional.encode(x, changed)),
        (conditional.reconstruct(x, c), conditional.reconstruct(x, changed)),
        (
            conditional.decode(torch.zeros(2, 4, LATENT), c)[1],
            conditional.decode(torch.zeros(2, 4, LATENT), changed)[1],
        ),
    ):
        assert not torch.isclose(before[0], after[0]).all()
        torch.testing.assert_close(before[1:], after[1:])
    assert conditional.sample((5,), c).shape == (5, 4, *IMAGE)
    assert conditional.log_joint(x, torch.zeros(2, 4, LATENT), c).shape == (2, 4)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3)])
def test_a_denoising_model_corrupts_what_the_encoder_sees_and_scores_the_clean_data(objective):
    plain, x = compose(), binary_images()
    posterior = posteriors.DiagonalNormal(Corrupted(Masking(1.0), plain.posterior.network))
    terms = objective(VAE(plain.prior, posterior, plain.likelihood), x)
    torch.testing.assert_close(terms.trace.posterior.loc, plain.posterior(torch.zeros_like(x)).loc)
    log_likelihood = plain.likelihood(terms.trace.z).log_prob(x)
    torch.testing.assert_close(terms.distortion, -log_likelihood.reshape(-1, len(x)).mean(0))


def test_a_module_of_the_user_is_a_network_a_prior_or_a_posterior_as_it_is():
    class OwnPosterior(Conditional):
        def __init__(self) -> None:
            super().__init__()
            self.network = OwnNetwork(IMAGE, LATENT)

        def forward(self, *given: Tensor) -> distributions.DiagonalNormal:
            loc = self.network(*given)
            return distributions.DiagonalNormal(loc, torch.zeros_like(loc))

    model = VAE(OwnPrior(), OwnPosterior(), likelihoods.Bernoulli(MLP(LATENT, IMAGE), IMAGE))
    terms = ELBO()(model, binary_images())
    assert terms.closed_form
    terms.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_flow_of_another_library_is_a_prior_as_it_is():
    model, x = compose(lambda: flows.NSF(LATENT, transforms=2, hidden_features=(8,))), binary_images()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = ELBO(samples=8)(model, x).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10])
    assert not ELBO()(model, x).closed_form
    assert IWAE(3)(model, x).bound.isfinite().all()
    assert model.sample((5,)).shape == (5, *IMAGE)


@pytest.mark.parametrize(
    ("program", "imported"),
    [
        ("import vaekit.priors, vaekit.posteriors, vaekit.likelihoods, vaekit.objectives", False),
        ("from vaekit.commands.flags import parse_fit; parse_fit(['digits', '--prior', 'zuko.flows.NSF'])", True),
    ],
)
def test_the_global_switch_of_torch_is_left_as_it_was(program, imported):
    shown = "; import sys, torch; print(torch.distributions.Distribution._validate_args, 'zuko' in sys.modules)"
    end = subprocess.run([sys.executable, "-c", program + shown], capture_output=True, text=True, check=True)
    assert end.stdout.split() == ["True", str(imported)]


@pytest.fixture(params=[True, False])
def switch(request: pytest.FixtureRequest):
    """Set torch's global switch of argument checks."""
    with keeping_checks():
        Distribution.set_default_validate_args(request.param)
        yield request.param


@pytest.mark.parametrize("posterior", cases(POSTERIORS))
def test_checks_do_not_depend_on_the_global_switch_of_torch(switch, posterior):
    model, grey = compose(posterior=posterior), torch.full((2, *IMAGE), 0.5)
    with pytest.raises(ValueError, match="support"):
        model.likelihood(torch.zeros(2, LATENT)).log_prob(grey)
    with pytest.raises(ValueError, match="constraint"):
        model.posterior(torch.full((2, *IMAGE), torch.nan))
    with unvalidated(model):
        assert model.likelihood(torch.zeros(2, LATENT)).log_prob(grey).isfinite().all()
        assert model.posterior(torch.full((2, *IMAGE), torch.nan)).mean.isnan().all()
    with pytest.raises(ValueError, match="support"):
        model.likelihood(torch.zeros(2, LATENT)).log_prob(grey)


FACTORS = {
    "prior": (priors.StandardNormal, r"`prior` is the class StandardNormal; write StandardNormal\(\.\.\.\)\."),
    "posterior": (nn.Linear, "`posterior` is the class Linear"),
    "likelihood": (None, "`likelihood` is a NoneType, not an nn.Module that .* Choose one of vaekit.likelihoods"),
}


@pytest.mark.parametrize(("name", "given", "message"), [(name, *rest) for name, rest in FACTORS.items()])
def test_what_is_no_module_is_refused_as_a_factor(name, given, message):
    factors = {"prior": priors.StandardNormal(2), "posterior": nn.Identity(), "likelihood": nn.Identity()}
    with pytest.raises(ConfigError, match=message):
        VAE(**{**factors, name: given})


class Apart(nn.Module):
    """A factor of the user that forgets that the elements of an event belong together."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, *given: Tensor) -> Normal:
        return Normal(torch.zeros(*(given[0].shape[:-1] if given else ()), self.features, requires_grad=True), 1.0)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(samples=3), IWAE(3)])
@pytest.mark.parametrize("rows", [1, 4, 5])
@pytest.mark.parametrize("width", [1, 4])
def test_elements_that_are_scored_apart_are_refused(objective, rows, width):
    model = VAE(priors.StandardNormal(LATENT), posteriors.DiagonalNormal(MLP(width, 2 * LATENT)), Apart(width))
    with pytest.raises(ShapeError, match=r"of the likelihood's Normal .*Independent of it over 1 dimension, those"):
        objective(model, torch.ones(rows, width))
    with pytest.raises(ShapeError, match="Normal"):
        model.log_joint(torch.ones(rows, width), torch.zeros(rows, LATENT))


@pytest.mark.parametrize("name", ["prior", "posterior"])
def test_latents_that_are_drawn_apart_are_refused(name):
    whole = {"prior": priors.StandardNormal(LATENT), "posterior": posteriors.DiagonalNormal(MLP(4, 2 * LATENT))}
    model = VAE(**{**whole, name: Apart(LATENT)}, likelihood=likelihoods.Bernoulli(MLP(LATENT, 4), 4))
    with pytest.raises(ShapeError, match=f"The {name} returned Normal, .*Independent of it over 1 dimension"):
        ELBO()(model, torch.ones(4, 4))


WIDTHS = {
    "DiagonalNormal": (
        posteriors.DiagonalNormal,
        (3, 33),
        r"\(3, 33\) for Diag.* For 16 latents, end the network with 32",
    ),
    "DiagonalNormal map": (posteriors.DiagonalNormal, (3, 4, 2), r"needs \(batch, 2 D\) for D latents"),
    "FullNormal": (posteriors.FullNormal, (3, 6), r"\(3, 6\) for FullNormal.*For 2 latents, end the network with 5"),
    "FullNormal one": (posteriors.FullNormal, (3, 1), "For 1 latent, end the network with 2"),
    "Delta": (posteriors.Delta, (3, 2, 2), r"\(3, 2, 2\) for Delta"),
    "Concrete": (posteriors.Concrete, (3, 25), "whole groups of 10"),
}


@pytest.mark.parametrize(("posterior", "shape", "message"), cases(WIDTHS))
def test_a_network_of_another_width_is_refused_with_the_way_out(posterior, shape, message):
    with pytest.raises(ShapeError, match=message):
        posterior(nn.Identity())(torch.zeros(shape))


@pytest.mark.parametrize("latent", [1, 2, 3, 16])
@pytest.mark.parametrize("posterior", cases({k: v for k, v in POSTERIORS.items() if k != "Concrete"}))
def test_a_posterior_says_how_wide_its_network_must_end(posterior, latent):
    q = posterior(nn.Identity())
    assert q(torch.zeros(3, q.features(latent))).event_shape == (latent,)


def test_a_likelihood_refuses_a_network_of_another_size():
    likelihood = likelihoods.Bernoulli(MLP(LATENT, 19), IMAGE)
    with pytest.raises(
        ShapeError, match=r"returned 19 numbers an example for Bernoulli.*20 features or shape \(1, 5, 4\)"
    ):
        likelihood(torch.zeros(3, LATENT))


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3)])
def test_a_prior_of_another_width_is_refused(objective):
    model = compose(lambda: priors.StandardNormal(LATENT + 1))
    with pytest.raises(ShapeError):
        objective(model, binary_images())

"""Laws that hold for every prior, posterior, network and objective of the catalogue, and for their product."""

from __future__ import annotations

import copy
import inspect
from dataclasses import fields
from itertools import product
from typing import Any

import pytest
import torch
from catalogue import (
    BATCH,
    BINARY_IMAGES,
    DECODERS,
    ENCODERS,
    LATENT,
    LIKELIHOODS,
    OBJECTIVES,
    POSTERIORS,
    PRIOR_OF,
    PRIORS,
    SharedNoise,
    binary_images,
    cases,
    combinations,
    compose,
    refusal,
)
from torch import Tensor

from vaekit import VAE, posteriors, priors
from vaekit.conditional import unvalidated
from vaekit.errors import ConfigError
from vaekit.objectives import ELBO, Objective, Terms
from vaekit.training.host_reads import HostReads

pytestmark = pytest.mark.usefixtures("float64")

STANDARD = PRIORS["StandardNormal"]
PARTS = {
    **{f"prior {name}": {"prior": prior} for name, prior in PRIORS.items() if prior not in PRIOR_OF.values()},
    **{f"posterior {k}": {"prior": PRIOR_OF.get(k, STANDARD), "posterior": v} for k, v in POSTERIORS.items()},
    **{f"likelihood {name}": {"likelihood": likelihood} for name, likelihood in LIKELIHOODS.items()},
    **{f"encoder {name}": {"encoder": encoder} for name, encoder in ENCODERS.items()},
    **{f"decoder {name}": {"decoder": decoder} for name, decoder in DECODERS.items()},
}
COUPLING = ("encoder ConvEncoder-batch", "decoder ConvDecoder-batch", "likelihood Normal-optimal")
PAIRS = {
    f"{part}-{name}": (parts, objective)
    for (part, parts), (name, objective) in product(PARTS.items(), OBJECTIVES.items())
    if refusal(parts.get("prior", STANDARD), parts.get("posterior"), objective) is None
}
NETWORKS = {name: pair for name, pair in PAIRS.items() if name.startswith(("encoder", "decoder"))}
DEVICES = {
    name: pair
    for name, pair in PAIRS.items()
    if (name.endswith(("-ELBO", "-IWAE-5")) or name.startswith("likelihood Bernoulli-"))
    and not name.startswith(("prior zuko", "prior a user's"))
}
INDEPENDENT = {name: pair for name, pair in PAIRS.items() if not name.startswith(COUPLING)}


def rows_for(parts: dict[str, Any], count: int = BATCH) -> Tensor:
    """Draw data for a composition, shape (count, *event)."""
    return parts.get("likelihood", BINARY_IMAGES).rows(count)


def with_another_first_row(parts: dict[str, Any], x: Tensor) -> Tensor:
    """Replace the first row by a different one."""
    pool = rows_for(parts, 50)
    different = (pool != x[0]).flatten(1).any(1)
    return torch.cat([pool[different][:1], x[1:]])


@pytest.fixture(params=cases(PARTS))
def parts(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def model(parts: dict[str, Any]) -> VAE:
    return compose(**parts)


@pytest.fixture
def x(parts: dict[str, Any]) -> Tensor:
    return rows_for(parts)


def seeded(objective: Objective, model: VAE, x: Tensor) -> Terms:
    torch.manual_seed(1)
    return objective(model, x)


def bound_of(model: VAE, x: Tensor) -> Tensor:
    return seeded(ELBO(), model, x).bound


@pytest.mark.parametrize("samples", [(), (3,), (2, 3)])
@pytest.mark.parametrize("posterior", cases(POSTERIORS))
def test_shapes_of_posteriors(posterior, samples):
    q = compose(posterior=posterior).posterior(binary_images())
    z = q.rsample(samples)
    assert (q.batch_shape, q.event_shape, z.shape) == ((BATCH,), (LATENT,), (*samples, BATCH, LATENT))
    assert q.log_prob(z).shape == (*samples, BATCH)
    assert q.mean.shape == (BATCH, LATENT)


@pytest.mark.parametrize("samples", [(), (3,), (2, 3)])
@pytest.mark.parametrize("prior", cases(PRIORS))
def test_shapes_of_priors(prior, samples):
    p = prior()()
    z = p.sample(samples)
    assert (p.event_shape, z.shape) == ((LATENT,), (*samples, LATENT))
    assert p.log_prob(z).shape == samples


def assert_trains(model: VAE, terms: Terms) -> None:
    """Check the shapes of the terms, the gradient of every parameter, and one step."""
    assert terms.loss.shape == ()
    assert terms.bound.shape == terms.distortion.shape == terms.rate.shape == terms.rates.shape[:-1] == (BATCH,)
    assert all(torch.as_tensor(value).shape == () for value in terms.extras.values())
    torch.testing.assert_close(terms.rate, terms.rates.sum(-1))
    before = [p.detach().clone() for p in model.parameters()]
    terms.loss.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.isfinite().all() for p in model.parameters())
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize(("parts", "objective"), cases(NETWORKS))
def test_every_network_trains_a_step(parts, objective):
    model = compose(**parts)
    assert_trains(model, objective(model, rows_for(parts)))


GRID = 0.08
LAWS = {
    "StandardNormal": lambda: priors.StandardNormal(LATENT)().expand((1,)),
    "DiagonalNormal": lambda: compose(posterior=posteriors.DiagonalNormal).posterior(binary_images(1)),
    "FullNormal": lambda: compose(posterior=posteriors.FullNormal).posterior(binary_images(1)),
}
FEATURES = {
    "mean": lambda z: z,
    "square": torch.square,
    "sine": torch.sin,
    "product": lambda z: z.prod(-1, keepdim=True),
}


@torch.no_grad()
@pytest.mark.parametrize("feature", cases(FEATURES))
@pytest.mark.parametrize("law", cases(LAWS))
def test_densities_integrate_to_one_and_have_the_moments_of_their_samples(law, feature):
    law, axis = law(), torch.arange(-12, 12, GRID)
    grid = torch.cartesian_prod(axis, axis).unsqueeze(1)  # (N, 1, 2)
    mass = law.log_prob(grid).exp() * GRID**2  # (N, 1)
    torch.testing.assert_close(mass.sum().item(), 1.0, rtol=0, atol=1e-6)
    exact, drawn = (mass.unsqueeze(-1) * feature(grid)).sum(0), feature(law.sample((40_000,)))
    assert ((drawn.mean(0) - exact).abs() < 4 * drawn.std(0) / len(drawn) ** 0.5).all()


@pytest.mark.parametrize(("prior", "posterior", "likelihood", "objective"), combinations())
def test_every_combination_trains_a_step_or_says_why_not(prior, posterior, likelihood, objective):
    model, x = compose(prior, posterior, likelihood), likelihood.rows(BATCH)
    if (message := refusal(prior, posterior, objective)) is not None:
        with pytest.raises(ConfigError, match=message):
            objective(model, x)
        return
    assert_trains(model, objective(model, x))


@pytest.mark.parametrize(("parts", "objective"), cases(DEVICES))
def test_a_step_names_no_device_and_reads_no_value_back(parts, objective):
    model, x = compose(**parts).to("meta"), rows_for(parts).to("meta")
    with unvalidated(model), HostReads(x.device) as reads:
        objective(model, x).loss.backward()
    assert not reads.found
    assert {p.grad.device.type for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize(("parts", "objective"), cases(INDEPENDENT))
def test_no_row_depends_on_another(parts, objective):
    model, x = compose(**parts), rows_for(parts)
    before = seeded(objective, model, x)
    after = seeded(objective, model, with_another_first_row(parts, x))
    first, second = (torch.cat([t.bound[:, None], t.distortion[:, None], t.rates], 1) for t in (before, after))
    assert not torch.isclose(first[0], second[0]).any()
    torch.testing.assert_close(first[1:], second[1:])


@pytest.mark.parametrize("part", COUPLING)
def test_what_couples_rows_does_so_in_training_alone(part):
    model, x = compose(**PARTS[part]), rows_for(PARTS[part])
    changed = with_another_first_row(PARTS[part], x)
    assert not torch.equal(bound_of(model, x)[1:], bound_of(model, changed)[1:])
    model.eval()
    assert torch.equal(bound_of(model, x)[1:], bound_of(model, changed)[1:])


@pytest.mark.parametrize("objective", cases(OBJECTIVES))
@pytest.mark.parametrize("times", [2, 5])
def test_terms_do_not_depend_on_the_size_of_the_batch(objective, times):
    model, x = compose(posterior=SharedNoise), binary_images()
    terms, repeated = seeded(objective, model, x), seeded(objective, model, x.repeat(times, 1, 1, 1))
    torch.testing.assert_close(repeated.loss, terms.loss)
    torch.testing.assert_close(repeated.bound, terms.bound.repeat(times))
    torch.testing.assert_close(repeated.rates, terms.rates.repeat(times, 1))


@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_a_loss_is_the_mean_of_its_examples_losses_unless_it_couples_the_batch(objective):
    model, x = compose(posterior=SharedNoise), binary_images()
    together, *apart = (seeded(objective, model, rows).loss for rows in (x, *x.split(1)))
    assert torch.isclose(together, torch.stack(apart).mean(), rtol=1e-12) != objective.couples_batch


def test_a_copy_and_a_reloaded_state_give_the_same_bits(model, x):
    fresh = copy.deepcopy(model)
    expected = bound_of(copy.deepcopy(model), x)
    fresh.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    assert not torch.equal(bound_of(fresh, x), expected)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(bound_of(fresh, x), expected)


def test_evaluation_is_deterministic(model, x):
    model.eval()
    assert torch.equal(bound_of(model, x), bound_of(model, x))
    assert torch.equal(model.encode(x), model.encode(x))
    assert torch.equal(model.reconstruct(x), model.reconstruct(x))


def test_single_precision_agrees_with_double(model, x):
    single = copy.deepcopy(model).float()
    code = single.encode(x.float())
    assert code.dtype == torch.float32
    torch.testing.assert_close(code.double(), model.encode(x), rtol=1e-3, atol=1e-4)
    assert single.sample((3,)).dtype == torch.float32
    assert bound_of(single, x.float()).dtype == torch.float32


def test_repr_shows_the_three_factors(model):
    lines = repr(model).splitlines()
    assert [line.split(":")[0].strip() for line in lines if line.startswith("  (")] == [
        "(prior)",
        "(posterior)",
        "(likelihood)",
    ]


def test_constructor_arguments_stay_readable(model):
    own = {type(m): m for m in model.modules() if type(m).__module__.startswith("vaekit")}
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = ((m, a) for kind, m in own.items() for a in inspect.signature(kind).parameters.values())
    assert not [(m, a.name) for m, a in arguments if a.kind not in unnamed and not hasattr(m, a.name)]


@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_objectives_are_frozen_settings_with_a_telling_repr(objective):
    assert objective == copy.deepcopy(objective)
    assert all(f"{f.name}=" in repr(objective) for f in fields(objective))
    with pytest.raises(AttributeError):
        objective.samples = 3

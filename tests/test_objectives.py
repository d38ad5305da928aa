"""Objectives: what each term is, the identities that docstrings state, schedules, free bits, capacity and penalties."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from catalogue import OBJECTIVES, SCHEDULES, SharedNoise, binary_images, cases, compose
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vaekit import VAE, Trace
from vaekit.errors import ConfigError
from vaekit.objectives import ELBO, IWAE, L2, Cosine, Cyclical, Exponential, Linear, Objective, Sigmoid, Terms
from vaekit.schedules import value_at

pytestmark = pytest.mark.usefixtures("float64")


def terms_of(objective: Objective, model: VAE, x: Tensor) -> Terms:
    torch.manual_seed(1)
    return objective(model, x)


def assert_same(first: Terms, second: Terms) -> None:
    for name in ("loss", "bound", "distortion", "rates"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name))


@pytest.fixture
def model() -> VAE:
    return compose()


@pytest.fixture
def x() -> Tensor:
    return binary_images(5)


class Counted(VAE):
    """A model that counts its passes, and those of each of its factors."""

    def __init__(self, parts: VAE) -> None:
        super().__init__(parts.prior, parts.posterior, parts.likelihood)
        self.passes = Counter[str]()
        for name, factor in self.named_children():
            factor.register_forward_hook(lambda *_, name=name: self.passes.update([name]))

    def trace(self, x: Tensor, *context: Tensor, samples: tuple[int, ...] = ()) -> Trace:
        self.passes.update(["trace"])
        return super().trace(x, *context, samples=samples)


@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_objectives_see_a_model_through_its_trace_alone(objective):
    model = Counted(compose())
    objective(model, binary_images())
    assert model.passes == {"trace": 1, "prior": 1, "posterior": 1, "likelihood": 1}


@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_distortion_and_rate_are_the_terms_of_the_elbo(model, x, objective):
    terms = terms_of(objective, model, x)
    log_likelihood = terms.trace.likelihood.log_prob(x)
    torch.testing.assert_close(terms.distortion, -log_likelihood.reshape(-1, len(x)).mean(0))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(terms.trace.posterior.loc, terms.trace.posterior.scale),
        torch.distributions.Normal(0.0, 1.0),
    )
    torch.testing.assert_close(terms.rates, expected)
    assert terms.closed_form


@pytest.mark.parametrize("objective", cases({k: v for k, v in OBJECTIVES.items() if k.startswith("ELBO")}))
def test_the_bound_is_the_same_whatever_the_weights_are(model, x, objective):
    terms = terms_of(objective, model, x)
    torch.testing.assert_close(terms.bound, -terms.distortion - terms.rate)


IDENTITIES = {
    "beta 1 is the default": (ELBO(beta=Linear(1.0, 1.0)), ELBO()),
    "free bits below every rate change nothing": (ELBO(free_bits=1e-30), ELBO()),
    "capacity 0 is the plain rate": (ELBO(beta=3.0, capacity=0.0), ELBO(beta=3.0)),
    "a constant schedule is a number": (ELBO(beta=Linear(start=2.0, stop=2.0)), ELBO(beta=2.0)),
    "a weightless penalty is none": (L2(ELBO(), weight=0.0), ELBO()),
}


@pytest.mark.parametrize(("first", "second"), cases(IDENTITIES))
def test_identity(model, x, first, second):
    assert_same(terms_of(first, model, x), terms_of(second, model, x))


def test_the_loss_of_the_elbo_is_minus_the_mean_bound(model, x):
    terms = terms_of(ELBO(), model, x)
    torch.testing.assert_close(terms.loss, -terms.bound.mean())


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_rate(model, x, beta):
    terms = terms_of(ELBO(beta=beta), model, x)
    torch.testing.assert_close(terms.loss, (terms.distortion + beta * terms.rate).mean())


def test_one_importance_sample_is_the_elbo_with_the_estimated_rate(model, x):
    terms = terms_of(IWAE(samples=1), model, x)
    q, p, z = terms.trace.posterior, terms.trace.prior, terms.trace.z
    torch.testing.assert_close(terms.bound, (-terms.distortion - (q.log_prob(z) - p.log_prob(z))).squeeze(0))


@torch.no_grad()
def test_one_importance_sample_agrees_with_the_elbo_in_expectation(model, x):
    rows = x[:1].expand(20_000, -1, -1, -1)
    first, second = IWAE(samples=1)(model, rows).bound, ELBO()(model, rows).bound
    error = math.hypot(first.std(), second.std()) / math.sqrt(len(rows))
    assert abs((first.mean() - second.mean()).item()) < 4 * error


def test_the_bound_of_importance_samples_is_the_logarithm_of_the_mean_weight(model, x):
    terms = terms_of(IWAE(samples=7), model, x)
    q, p, z = terms.trace.posterior, terms.trace.prior, terms.trace.z
    weight = (terms.trace.likelihood.log_prob(x) + p.log_prob(z) - q.log_prob(z)).exp()
    torch.testing.assert_close(terms.bound, weight.mean(0).log())
    torch.testing.assert_close(terms.loss, -terms.bound.mean())


@torch.no_grad()
@pytest.mark.parametrize("objective", cases(OBJECTIVES))
def test_more_samples_tighten_the_bounds_of_objectives_that_say_so(model, x, objective):
    rows = x[:1].expand(20_000, -1, -1, -1)
    inner = objective.objective if isinstance(objective, L2) else objective
    few, many = (type(inner)(samples=k)(model, rows).bound for k in (1, 8))
    error = math.hypot(few.std(), many.std()) / math.sqrt(len(rows))
    assert ((many.mean() - few.mean()).item() > 4 * error) == objective.tightens_with_samples


def test_samples_of_the_elbo_are_averaged(model, x):
    terms = ELBO(samples=4)(model, x)
    torch.testing.assert_close(terms.distortion, -terms.trace.likelihood.log_prob(x).mean(0))
    assert terms.trace.z.shape == (4, 5, 2)


@pytest.mark.parametrize("free_bits", [0.0, 0.02, 0.1, 10.0])
def test_free_bits_bound_each_latents_mean_rate_from_below(model, x, free_bits):
    terms = terms_of(ELBO(beta=2.0, free_bits=free_bits), model, x)
    cost = sum(max(free_bits, rate) for rate in terms.rates.mean(0).tolist())
    torch.testing.assert_close(terms.loss.item(), terms.distortion.mean().item() + 2.0 * cost)


def test_a_rate_below_its_free_bits_has_no_gradient(model, x):
    free, weightless = (
        torch.autograd.grad(terms_of(o, model, x).loss, list(model.posterior.parameters()))
        for o in (ELBO(free_bits=10.0), ELBO(beta=0.0))
    )
    assert all(torch.equal(a, b) for a, b in zip(free, weightless, strict=True))


@pytest.mark.parametrize("quantile", [0.0, 0.5, 1.0])
def test_capacity_pulls_every_examples_rate_towards_it(model, x, quantile):
    capacity = terms_of(ELBO(), model, x).rate.quantile(quantile).item()
    terms = terms_of(ELBO(beta=10.0, capacity=capacity), model, x)
    torch.testing.assert_close(terms.loss, terms.distortion.mean() + 10.0 * (terms.rate - capacity).abs().mean())


def test_the_penalty_is_reported_apart_and_leaves_the_bound_alone(model, x):
    terms, plain = terms_of(L2(ELBO(), weight=0.3), model, x), terms_of(ELBO(), model, x)
    penalty = 0.3 * sum(p.square().sum() for p in model.parameters())
    torch.testing.assert_close(terms.extras["l2"], penalty)
    torch.testing.assert_close(terms.loss, plain.loss + penalty)
    torch.testing.assert_close(terms.bound, plain.bound)


def test_the_gradient_of_the_penalty_is_linear_in_every_parameter_zero_included(model, x):
    parameters = list(model.parameters())
    torch.nn.init.zeros_(parameters[1])
    penalised = torch.autograd.grad(terms_of(L2(ELBO(), weight=0.3), model, x).loss, parameters)
    plain = torch.autograd.grad(terms_of(ELBO(), model, x).loss, parameters)
    for parameter, with_penalty, without in zip(parameters, penalised, plain, strict=True):
        torch.testing.assert_close(with_penalty - without, 0.6 * parameter)


def test_frozen_parameters_are_not_penalised(model, x):
    model.likelihood.requires_grad_(False)
    expected = sum(p.square().sum() for p in model.posterior.parameters())
    torch.testing.assert_close(terms_of(L2(ELBO(), weight=1.0), model, x).extras["l2"], expected)


@pytest.mark.parametrize("name", ["tightens_with_samples", "couples_batch"])
@pytest.mark.parametrize("inner", [ELBO(), ELBO(free_bits=0.1), IWAE()])
def test_a_penalised_objective_has_the_properties_of_what_it_wraps(inner, name):
    assert getattr(L2(inner), name) == getattr(inner, name)


def test_the_loss_of_many_samples_is_the_loss_of_the_noise_they_share():
    model, x = compose(posterior=SharedNoise), binary_images(1)
    torch.testing.assert_close(
        terms_of(ELBO(samples=4), model, x).loss, terms_of(ELBO(samples=4), model, x.repeat(3, 1, 1, 1)).loss
    )


@pytest.mark.parametrize("kind", cases(SCHEDULES))
@given(start=st.floats(0.1, 10), stop=st.floats(0.1, 10), steps=st.integers(1, 1000), fraction=st.floats(0, 1))
def test_a_schedule_goes_from_start_to_stop_and_stays_between_them(kind, start, stop, steps, fraction):
    schedule = kind(start=start, stop=stop, steps=steps)
    torch.testing.assert_close(schedule(0), torch.tensor(start))
    torch.testing.assert_close(schedule(100 * steps), torch.tensor(stop))
    low, high = sorted((start, stop))
    assert low * (1 - 1e-9) <= schedule(round(fraction * steps)).item() <= high * (1 + 1e-9)


@pytest.mark.parametrize("kind", cases({k: v for k, v in SCHEDULES.items() if k != "Cyclical"}))
@given(steps=st.integers(1, 300))
def test_a_schedule_moves_in_one_direction_and_stays_at_stop(kind, steps):
    values = torch.stack([kind(start=0.2, stop=2.0, steps=steps)(step) for step in range(steps + 3)])
    assert (values.diff()[:-2] > 0).all()
    torch.testing.assert_close(values[-3:], torch.full((3,), 2.0))


VALUES = {
    "Linear": (Linear(start=1.0, stop=3.0, steps=8), 2, 1.5),
    "Cosine": (Cosine(steps=6), 2, 0.25),
    "Sigmoid": (Sigmoid(steps=4, sharpness=2.0), 1, (1 / (1 + math.e) - 1 / (1 + math.e**2)) / math.tanh(1.0)),
    "Exponential": (Exponential(start=2.0, stop=0.5, steps=4), 1, math.sqrt(2.0)),
    "Cyclical rising": (Cyclical(steps=10, rising=0.4), 32, 0.5),
    "Cyclical plateau": (Cyclical(steps=10, rising=0.4), 37, 1.0),
    "Cyclical new cycle": (Cyclical(steps=10, rising=0.4), 10, 0.0),
    "Cyclical last step": (Cyclical(steps=10, rising=0.4), 39, 1.0),
    "Cyclical end": (Cyclical(steps=10, rising=0.4), 40, 1.0),
}


@pytest.mark.parametrize(("schedule", "step", "value"), cases(VALUES))
def test_the_value_of_a_schedule(schedule, step, value):
    torch.testing.assert_close(schedule(step).item(), value)
    torch.testing.assert_close(schedule(torch.tensor(step)).item(), value)


@pytest.mark.parametrize("kind", cases(SCHEDULES))
def test_a_scheduled_weight_follows_the_training_steps_and_is_final_in_evaluation(model, x, kind):
    objective = ELBO(beta=kind(start=0.5, stop=2.0, steps=10))
    at_start = terms_of(objective, model, x)
    for _ in range(3):
        model.advance()
    torch.testing.assert_close(at_start.extras["beta"], torch.tensor(0.5))
    assert terms_of(objective, model, x).extras["beta"] > 0.5
    model.eval()
    assert terms_of(objective, model, x).extras["beta"] == 2.0
    assert model.step == 3


def test_a_scheduled_capacity_is_reported(model, x):
    model.step.fill_(5)
    terms = terms_of(ELBO(capacity=Linear(stop=25.0, steps=10)), model, x)
    assert terms.extras["capacity"] == 12.5
    torch.testing.assert_close(terms.loss, terms.distortion.mean() + (terms.rate - 12.5).abs().mean())


def test_a_number_is_its_own_schedule(model):
    assert value_at(0.25, model) == 0.25


REFUSED = {
    "ELBO samples": (lambda: ELBO(samples=0), "`samples` of ELBO is 0"),
    "IWAE samples": (lambda: IWAE(samples=-1), "`samples` of IWAE is -1"),
    "half a sample": (lambda: IWAE(samples=2.5), "`samples` of IWAE is 2.5; it must be a whole number, at least 1"),
    "samples that are no number": (lambda: ELBO(samples=math.nan), "`samples` of ELBO is nan"),
    "negative beta": (lambda: ELBO(beta=-1), "`beta` of ELBO is -1; it must be a finite number, at least 0"),
    "beta that is no number": (lambda: ELBO(beta=math.nan), "`beta` of ELBO is nan"),
    "beta without end": (lambda: ELBO(beta=math.inf), "`beta` of ELBO is inf"),
    "a beta that falls below 0": (lambda: ELBO(beta=Linear(1.0, -1.0)), r"`beta\.stop` of ELBO is -1\.0"),
    "a beta that starts below 0": (lambda: ELBO(beta=Cosine(-1.0)), r"`beta\.start` of ELBO is -1\.0"),
    "capacity": (
        lambda: ELBO(capacity=-2.0),
        r"`capacity` of ELBO is -2\.0; it must be a finite number of nats, at least 0",
    ),
    "scheduled capacity": (lambda: ELBO(capacity=Linear(stop=-2.0)), r"`capacity\.stop` of ELBO is -2\.0"),
    "free bits that are no number": (lambda: ELBO(free_bits=math.nan), "`free_bits` of ELBO is nan"),
    "penalty": (lambda: L2(ELBO(), weight=-0.1), r"`weight` of L2 is -0\.1; it must be a finite number, at least 0"),
    "penalty that is no number": (lambda: L2(ELBO(), weight=math.nan), "`weight` of L2 is nan"),
    "class of a schedule": (lambda: ELBO(beta=Linear), r"`beta` is the class Linear; write Linear\(\)"),
    "name of a schedule": (
        lambda: ELBO(beta="linear"),
        "`beta` of ELBO is 'linear'; it must be a finite number, at least 0",
    ),
    "function in the place of a schedule": (
        lambda: ELBO(beta=lambda step: 1.0),
        r"`beta` of ELBO is a function; .*, or a schedule, such as objectives\.Linear\(1\.0, 0\.5, steps=1000\)",
    ),
    "penalty of a class": (lambda: L2(ELBO), r"`objective` is the class ELBO; write ELBO\(\)"),
    "schedule that is no number": (
        lambda: Linear(start=math.nan),
        "`start` of Linear is nan; it must be a finite number",
    ),
    "schedule to infinity": (lambda: Exponential(stop=math.inf), "`stop` of Exponential is inf"),
    "schedule of no length": (lambda: Linear(steps=math.nan), "`steps` of Linear is nan"),
    "flat curve": (
        lambda: Sigmoid(sharpness=0.0),
        r"`sharpness` of Sigmoid is 0\.0; it must be a finite number, above 0",
    ),
    "no cycle": (lambda: Cyclical(cycles=0), "`cycles` of Cyclical is 0"),
    "free bits": (lambda: ELBO(free_bits=-0.1), "nats per latent, at least 0"),
    "two changes of the rate": (lambda: ELBO(free_bits=0.1, capacity=1.0), "give one of them"),
    "schedule length": (lambda: Cosine(steps=0), "`steps` of Cosine is 0"),
    "cycle": (lambda: Cyclical(rising=0.0), "a finite number, above 0 and at most 1"),
    "geometric approach": (lambda: Exponential(start=0.0), "needs positive values"),
}


@pytest.mark.parametrize(("build", "message"), cases(REFUSED))
def test_a_setting_without_meaning_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()

"""Evaluation against models whose likelihood is known: estimates, standard errors, code lengths, labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from catalogue import cases
from hypothesis import given
from hypothesis import strategies as st
from linear_gaussian import LinearGaussian, affine
from rich.console import Console
from torch import Tensor, nn

from vaekit import VAE, Conditional, distributions, divergence, evaluation, likelihoods, networks, posteriors, priors
from vaekit.errors import ConfigError, DataError, NonFiniteError
from vaekit.evaluation import likelihood as likelihood_room
from vaekit.evaluation.moments import Moments

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def truth() -> LinearGaussian:
    return LinearGaussian(torch.randn(5, 1) + 0.7 * torch.randn(5, 2), torch.randn(5), 0.7)


def binary_model(relaxed: bool = False, posterior: Conditional | None = None) -> VAE:
    likelihood = likelihoods.Bernoulli(networks.MLP(2, 9), (1, 3, 3), relaxed=relaxed)
    return VAE(priors.StandardNormal(2), posterior or posteriors.DiagonalNormal(networks.MLP(9, 4)), likelihood)


def binary_data(count: int = 12) -> Tensor:
    return torch.randint(2, (count, 1, 3, 3)).double()


class Spied(VAE):
    """A model that notes how many latents each pass draws."""

    def __init__(self, model: VAE) -> None:
        super().__init__(model.prior, model.posterior, model.likelihood)
        self.passes: list[tuple[int, int]] = []

    def trace(self, x, *context, samples=()):
        self.passes.append((len(x), *samples))
        return super().trace(x, *context, samples=samples)


class Replay(distributions.DiagonalNormal):
    """A posterior distribution that deals out given noise in order."""

    def __init__(self, loc: Tensor, log_scale: Tensor, noise: list[Tensor]) -> None:
        self.noise = noise
        super().__init__(loc, log_scale)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        dealt = torch.stack([self.noise.pop(0) for _ in range(sample_shape[0])])
        return self.loc + dealt * self.scale


class Replayed(Conditional):
    def __init__(self, posterior: posteriors.DiagonalNormal, noise: Tensor) -> None:
        super().__init__()
        self.posterior, self.noise = posterior, list(noise)

    def forward(self, *given: Tensor) -> Replay:
        q = self.posterior(*given)
        return Replay(q.loc, q.log_scale, self.noise)


@pytest.mark.parametrize(("samples", "chunk"), [(1, 1), (7, 3), (64, 64), (100, 7), (5, 1000)])
def test_with_the_exact_posterior_the_estimate_is_the_likelihood(truth, samples, chunk):
    x = truth.marginal.sample((6,))
    found = evaluation.log_likelihood(truth.model(truth.exact_posterior()), x, samples=samples, chunk=chunk)
    torch.testing.assert_close(found, truth.marginal.log_prob(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 3, 4, 9, 10, 99])
def test_every_chunk_size_uses_the_same_draws_once(truth, chunk):
    x, noise = truth.marginal.sample((4,)), torch.randn(10, 4, 2)
    q = truth.best_diagonal_posterior()(x)
    z = q.loc + noise * q.scale
    weights = truth.model(truth.exact_posterior()).log_joint(x, z) - q.log_prob(z)
    model = truth.model(Replayed(truth.best_diagonal_posterior(), noise))
    found = evaluation.log_likelihood(model, x, samples=10, chunk=chunk)
    torch.testing.assert_close(found, weights.logsumexp(0) - math.log(10), rtol=0, atol=1e-12)
    model.posterior = Replayed(truth.best_diagonal_posterior(), noise)
    judged = evaluation.evaluate(model, [x], samples=10, chunk=chunk)
    rates = divergence(q, model.prior(), z).parts
    assert judged.distortion == pytest.approx(-model.likelihood(z).log_prob(x).mean().item(), abs=1e-12)
    assert judged.rate == pytest.approx(rates.sum(-1).mean().item(), abs=1e-12)
    np.testing.assert_allclose(judged.code_variances, q.loc.detach().var(0, correction=0), atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_the_estimate_of_the_likelihood_is_unbiased_for_any_chunk_size(truth, chunk):
    x = truth.marginal.sample((1,)).expand(20_000, -1)
    model = truth.model(truth.best_diagonal_posterior())
    ratio = (evaluation.log_likelihood(model, x, samples=5, chunk=chunk) - truth.marginal.log_prob(x)).exp()
    assert ratio.std() > 0.05
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio))


def test_exactly_that_many_latents_are_drawn_for_every_row_whatever_fits_at_once(truth, monkeypatch):
    monkeypatch.setattr(likelihood_room, "ON_PROCESSOR", 4 * 3 * 5)
    model, x = Spied(truth.model(truth.exact_posterior())), truth.marginal.sample((8,))
    found = evaluation.log_likelihood(model, x, samples=11, chunk=4)
    assert model.passes == [(rows, k) for rows in (3, 3, 2) for k in (4, 4, 3)]
    torch.testing.assert_close(found, truth.marginal.log_prob(x), rtol=0, atol=1e-10)


class Shifted(Conditional):
    """A factor of the linear-Gaussian model whose data is moved by the condition."""

    def __init__(self, factor: Conditional, sign: int) -> None:
        super().__init__()
        self.factor, self.sign = factor, sign

    def forward(self, *given: Tensor) -> torch.distributions.Distribution:
        first, context = given
        if self.sign < 0:
            return self.factor(first - context)
        law = self.factor(first)
        return torch.distributions.Independent(torch.distributions.Normal(law.mean + context, law.stddev), 1)


@pytest.mark.parametrize("elements", [1, 40, 2**20])
def test_conditions_travel_with_their_rows(truth, monkeypatch, elements):
    monkeypatch.setattr(likelihood_room, "ON_PROCESSOR", elements)
    plain = truth.model(truth.exact_posterior())
    model = VAE(plain.prior, Shifted(plain.posterior, -1), Shifted(plain.likelihood, 1))
    x, context = truth.marginal.sample((6,)), torch.randn(6, 5)
    expected = truth.marginal.log_prob(x - context)
    found = evaluation.log_likelihood(model, x, context, samples=7, chunk=2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    judged = evaluation.evaluate(model, [(x[:4], context[:4]), (x[4:], context[4:])], samples=7, chunk=2)
    assert judged.log_likelihood == pytest.approx(expected.mean().item(), abs=1e-10)


def test_evaluation_leaves_modes_statistics_and_gradients_alone():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 4))
    model = binary_model(posterior=posteriors.DiagonalNormal(network)).train()
    model.likelihood.eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not evaluation.log_likelihood(model, binary_data(), samples=3).requires_grad
    evaluation.evaluate(model, [binary_data()], samples=3)
    assert model.training
    assert network[1].training
    assert not model.likelihood.training
    assert model.posterior.validate_args
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())


def test_means_and_standard_errors_are_over_examples(truth):
    x = truth.marginal.sample((9,))
    model = truth.model(truth.exact_posterior())
    log_p = truth.marginal.log_prob(x).numpy()
    rate = torch.distributions.kl_divergence(
        model.posterior(x), torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    )
    found = evaluation.evaluate(model, [(x[:4],), (x[4:8],), (x[8:],)], samples=5)
    error = found.standard_error
    assert found.log_likelihood == pytest.approx(log_p.mean(), abs=1e-10)
    assert error["log_likelihood"] == pytest.approx(log_p.std(ddof=1) / 3, abs=1e-10)
    assert found.rate == pytest.approx(rate.mean().item(), abs=1e-10)
    assert error["rate"] == pytest.approx(rate.std().item() / 3, abs=1e-10)
    assert found.elbo == pytest.approx(-found.distortion - found.rate, abs=1e-12)
    assert sum(found.rates) == pytest.approx(found.rate, abs=1e-12)
    assert (found.examples, found.samples, found.latents, found.dimensions) == (9, 5, 2, 5)


@pytest.mark.parametrize("name", ["elbo", "distortion", "log_likelihood"])
def test_standard_errors_are_the_spread_over_repetitions(truth, name):
    model = truth.model(truth.best_diagonal_posterior())
    data = (truth.marginal.sample((100,)) for _ in range(200))
    found = [evaluation.evaluate(model, x.split(64), samples=2, seed=9000 + i) for i, x in enumerate(data)]
    stated = np.mean([f.standard_error[name] for f in found])
    assert np.std([getattr(f, name) for f in found]) == pytest.approx(stated, rel=4 / math.sqrt(400))


def test_the_bound_uses_all_draws_and_lies_below_the_likelihood(truth):
    x = truth.marginal.sample((2000,))
    found = evaluation.evaluate(truth.model(truth.best_diagonal_posterior()), [(x,)], samples=64)
    gap = 0.5 * (truth.precision.diagonal().log().sum() - truth.precision.logdet()).item()
    log_p = truth.marginal.log_prob(x).mean().item()
    assert found.elbo == pytest.approx(log_p - gap, abs=0.03)
    assert found.elbo < found.log_likelihood < log_p + 0.01


def test_one_example_has_no_standard_error():
    found = evaluation.evaluate(binary_model(), [binary_data(1)], samples=2)
    assert set(found.standard_error.values()) == {None}


def test_the_result_depends_on_the_seed_alone_and_the_random_state_stays():
    model, x = binary_model(), binary_data()
    before = torch.get_rng_state()
    first = evaluation.evaluate(model, [x], samples=3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(5)
    assert evaluation.evaluate(model, [x], samples=3, seed=1) == first
    assert evaluation.evaluate(model, [x], samples=3, seed=2).elbo != first.elbo


def test_random_transforms_of_lazy_batches_follow_the_seed():
    model = binary_model()
    results = [evaluation.evaluate(model, (binary_data() for _ in range(2)), samples=2, seed=5) for _ in range(2)]
    assert results[0] == results[1]
    assert results[0].examples == 24


@pytest.mark.parametrize(("scale", "offset"), [(256.0, 8.0), (127.5, 6.99435)])
def test_bits_per_dimension_of_rescaled_values(scale, offset):
    nats = torch.tensor([-100.0, 20.0])
    bits = evaluation.bits_per_dim(nats, 40, offset=40 * math.log(scale))
    torch.testing.assert_close(bits, -nats / (40 * math.log(2)) + offset, rtol=0, atol=1e-5)


def test_a_mass_function_has_a_code_length_without_an_offset():
    found = evaluation.evaluate(binary_model(), [binary_data()], samples=4)
    assert found.bits_per_dim == pytest.approx(-found.log_likelihood / (9 * math.log(2)))
    assert found.standard_error["bits_per_dim"] == pytest.approx(
        found.standard_error["log_likelihood"] / (9 * math.log(2))
    )
    assert found.bits_per_dim_reason is None


def test_a_density_has_a_code_length_only_with_an_offset(truth):
    model, x = truth.model(truth.exact_posterior()), truth.marginal.sample((6,))
    without, with_offset = (
        evaluation.evaluate(model, [x], samples=2, bits_offset=o) for o in (None, 5 * math.log(256))
    )
    assert without.bits_per_dim is None
    assert "not a code length" in without.bits_per_dim_reason
    assert with_offset.bits_per_dim == pytest.approx(-with_offset.log_likelihood / (5 * math.log(2)) + 8)


def test_relaxed_numbers_are_labelled_everywhere():
    found = evaluation.evaluate(binary_model(relaxed=True), [torch.rand(7, 1, 3, 3)], samples=2, bits_offset=0.0)
    assert found.relaxed
    assert found.bits_per_dim is None
    assert "not normalised" in found.bits_per_dim_reason
    lines = {finding.name: finding for finding in found.findings()}
    assert lines["ELBO (relaxed)"].meaning.startswith("Not a likelihood")
    assert lines["distortion (relaxed)"].meaning.startswith("Not a likelihood")
    assert lines["log-likelihood (relaxed)"].meaning.startswith("Not a likelihood")
    assert sorted(name for name in lines if "relaxed" not in name) == ["active units", "bits per dimension", "rate"]
    assert "not a likelihood" in found.in_words
    point = binary_model(relaxed=True, posterior=posteriors.Delta(networks.MLP(9, 2)))
    assert "not a likelihood" in evaluation.evaluate(point, [torch.rand(7, 1, 3, 3)]).in_words


def test_a_point_posterior_has_no_bound_and_says_so():
    model = binary_model(posterior=posteriors.Delta(networks.MLP(9, 2)))
    x = binary_data()
    found = evaluation.evaluate(model, [x], samples=50)
    with torch.no_grad():
        distortion = -model.likelihood(model.posterior(x).mean).log_prob(x).mean()
    assert found.distortion == pytest.approx(distortion.item(), abs=1e-12)
    assert (found.elbo, found.rate, found.rates, found.log_likelihood, found.bits_per_dim) == (None,) * 5
    assert "no density" in found.bound_reason
    assert "no density" in found.in_words
    assert found.samples == 1
    assert [f.value for f in found.findings()].count("none") == 4
    with pytest.raises(ConfigError, match="DiagonalNormal"):
        evaluation.log_likelihood(model, x)


@pytest.mark.parametrize("model", [binary_model, lambda: binary_model(posterior=posteriors.Delta(networks.MLP(9, 2)))])
def test_json_is_strict_and_complete(model):
    found = evaluation.evaluate(model(), [binary_data()], samples=2)
    plain = json.loads(found.to_json())
    assert plain == found.as_dict()
    assert json.loads(found.to_json(run="here")) == {**plain, "run": "here"}
    expected = {"elbo", "rate", "distortion", "log_likelihood", "bits_per_dim"}
    assert expected == set(plain["standard_error"])
    assert expected | {"samples", "active_units", "relaxed", "closed_form"} <= set(plain)


def test_active_units_are_latents_whose_mean_varies():
    weight = torch.zeros(6, 3)
    weight[0, 0], weight[2, 1] = 1.0, 0.05
    posterior = posteriors.DiagonalNormal(affine(weight, torch.arange(6.0) / 10))
    model = VAE(priors.StandardNormal(3), posterior, likelihoods.Normal(nn.Linear(3, 3), (3,), scale=1.0))
    x = torch.randn(50, 3)
    found = evaluation.evaluate(model, x.split(7), samples=2)
    np.testing.assert_allclose(
        found.code_variances, [x[:, 0].var(correction=0), 0, 0.0025 * x[:, 1].var(correction=0)], atol=1e-12
    )
    assert found.active_units == 1
    assert evaluation.active_units(model.encode(x)).tolist() == [True, False, False]
    assert evaluation.active_units(model.encode(x), threshold=1e-4).tolist() == [True, False, True]


def test_progress_counts_examples():
    counts: list[int] = []
    evaluation.evaluate(binary_model(), binary_data().split(5), samples=2, progress=counts.append)
    assert counts == [5, 10, 12]


def test_a_number_that_is_not_finite_is_refused_by_name_and_row(truth):
    x = truth.marginal.sample((6,))
    x[4, 2] = torch.inf
    with pytest.raises(NonFiniteError, match="`distortion` of example 4 is inf"):
        evaluation.evaluate(
            truth.model(truth.best_diagonal_posterior()), x.nan_to_num(posinf=1e300).split(4), samples=2
        )


@pytest.mark.parametrize(
    ("settings", "batches", "error", "message"),
    [
        (
            {"samples": 0},
            [torch.ones(2, 1, 3, 3)],
            ConfigError,
            "^`samples` is 0; it must be a whole number, at least 1.$",
        ),
        ({"chunk": 0}, [torch.ones(2, 1, 3, 3)], ConfigError, "^`chunk` is 0; it must be a whole number, at least 1.$"),
        ({}, [], DataError, "no example"),
        ({}, [torch.ones(0, 1, 3, 3)], DataError, "no example"),
        ({}, [torch.full((2, 1, 3, 3), 0.5)], DataError, "cannot score"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(settings, batches, error, message):
    with pytest.raises(error, match=message):
        evaluation.evaluate(binary_model(), batches, **settings)


@pytest.mark.parametrize("relaxed", [False, True])
def test_the_table_for_people_has_units_and_labels(relaxed):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(evaluation.evaluate(binary_model(relaxed), [binary_data()], samples=2))
    text = console.export_text()
    assert all(word in text for word in ("ELBO", "distortion", "rate", "nats", "bits", "±", "12 examples", "of 2"))
    assert ("(relaxed)" in text) == relaxed


@pytest.mark.parametrize(
    ("count", "told"), [(1, ["1 example", "1 importance sample;"]), (2, ["2 examples", "2 importance samples;"])]
)
def test_one_is_no_plural(count, told):
    found = evaluation.evaluate(binary_model(), [binary_data()[:count]], samples=count)
    meanings = " ".join(finding.meaning for finding in found.findings())
    assert found.counted == told[0]
    assert f"with {told[1]}" in meanings


REFUSED = {
    "encode": (lambda model, x: model.encode(x.numpy()), "`x` is a ndarray; a model is given tensors"),
    "decode": (lambda model, x: model.decode([0.0]), "`z` is a list; a model is given tensors"),
    "reconstruct": (lambda model, x: model.reconstruct(x.byte()), "`x` has values of torch.uint8; .* on the scale"),
    "log_likelihood": (lambda model, x: evaluation.log_likelihood(model, x.numpy()), "`x` is a ndarray; a model is"),
    "context": (lambda model, x: evaluation.log_likelihood(model, x, [1]), "`context` is a list; a model is given"),
    "evaluate": (lambda model, x: evaluation.evaluate(model, [x.numpy()]), "`batches` is a ndarray; a model is given"),
    "array": (lambda model, x: evaluation.evaluate(model, x.numpy()), "`batches` is a ndarray, which is not cut into"),
    "tensor": (lambda model, x: evaluation.evaluate(model, x), "`batches` is a Tensor, which is not cut into batches"),
    "batches": (lambda model, x: evaluation.evaluate(model, 3), "`batches` is a int, which is not cut into batches"),
}


@pytest.mark.parametrize(("wrong", "told"), cases(REFUSED))
def test_what_a_model_cannot_be_given_is_refused_in_a_sentence(wrong, told):
    with pytest.raises(ConfigError, match=told):
        wrong(binary_model(), binary_data())


def test_a_density_above_1_is_no_cost():
    truth = LinearGaussian(torch.randn(4, 2), torch.zeros(4), 0.01)
    found = evaluation.evaluate(truth.model(truth.exact_posterior()), [truth.marginal.sample((20,))], samples=2)
    assert found.in_words.startswith(f"The log-density of an example is at least {found.elbo:.2f} nats: ")


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.integers(1, 30))
def test_moments_of_any_partition_are_those_of_the_whole(values, size):
    rows = torch.tensor(values)
    moments = Moments()
    for part in rows.split(size):
        moments.add(part)
    scale = 1 + np.abs(values).max()
    assert moments.mean.item() == pytest.approx(np.mean(values), abs=1e-12 * scale)
    assert moments.variance.item() == pytest.approx(np.var(values), abs=1e-11 * scale**2)
    assert moments.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=1e-6 * scale)

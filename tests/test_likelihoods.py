"""Laws that hold for every likelihood of the catalogue, and what each promises of its own."""

from __future__ import annotations

import math

import pytest
import torch
from catalogue_likelihoods import LATENT, VARIANTS, Constant, Variant
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vaekit import likelihoods, spec
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.likelihoods import ElementScale, FixedScale, OptimalScale, SharedScale
from vaekit.likelihoods.columns import Binary, Categorical, Count, Positive, Real

ROWS = 4
WHOLE = {name: variant for name, variant in VARIANTS.items() if variant.unit is not None}
MOMENTS = [(name, moment) for name, variant in WHOLE.items() for moment in variant.exact]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    return VARIANTS[request.param]


@pytest.fixture
def whole_law(float64: None, request: pytest.FixtureRequest):
    """Give a variant's distribution of its least event, batch shape (3,), with points and weights of its measure."""
    chosen = VARIANTS[request.param]
    likelihood = chosen.build(chosen.unit)
    likelihood(torch.randn(9, LATENT)).log_prob(chosen.space.draw((9, *chosen.unit)))
    with torch.no_grad():
        return likelihood.eval()(3 * torch.randn(3, LATENT)), *chosen.points()


# Laws


@pytest.mark.parametrize("whole_law", WHOLE, indirect=True)
def test_probabilities_sum_or_integrate_to_one(whole_law):
    p, points, weights = whole_law
    total = (p.log_prob(points).exp() * weights).sum(0)
    torch.testing.assert_close(total, torch.ones(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("whole_law", "moment"), MOMENTS, indirect=["whole_law"])
def test_moments_are_those_of_the_density(whole_law, moment):
    p, points, weights = whole_law
    mass = p.log_prob(points).exp() * weights
    mass = mass.reshape(*mass.shape, *[1] * len(p.event_shape))
    mean = (mass * points).sum(0)
    moments = {"mean": mean, "variance": (mass * (points - mean).square()).sum(0)}
    torch.testing.assert_close(getattr(p, moment), moments[moment], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("whole_law", WHOLE, indirect=True)
@pytest.mark.parametrize("frequency", [0.3, 1.0, 3.0])
def test_samples_have_the_characteristic_function_of_the_density(whole_law, frequency):
    p, points, weights = whole_law
    direction = frequency * torch.arange(1.0, 1 + p.event_shape.numel()).reshape(p.event_shape)
    mass, draws = p.log_prob(points).exp() * weights, 20_000

    def phase(x: Tensor) -> Tensor:
        return (x * direction).flatten(2).sum(-1)

    for wave in (torch.cos, torch.sin):
        drawn = wave(phase(p.sample((draws,))))
        exact = (mass * wave(phase(points))).sum(0)
        assert ((drawn.mean(0) - exact).abs() <= 4.5 * drawn.std(0) / draws**0.5 + 1e-6).all()


@pytest.mark.parametrize("samples", [(), (3,), (2, 3)])
def test_shapes(variant, samples):
    likelihood, x = variant.build(), variant.rows(ROWS)
    p = likelihood(torch.randn(*samples, ROWS, LATENT))
    assert (p.batch_shape, p.event_shape) == ((*samples, ROWS), variant.event_shape)
    assert p.log_prob(x).shape == (*samples, ROWS)
    assert p.mean.shape == (*samples, ROWS, *variant.event_shape)
    assert p.sample((5,)).shape == (5, *samples, ROWS, *variant.event_shape)
    assert p.expand((5, *samples, ROWS)).log_prob(x).shape == (5, *samples, ROWS)


def test_samples_lie_in_the_support_and_have_finite_log_probability(variant):
    likelihood = variant.build().eval()
    p = likelihood(torch.randn(ROWS, LATENT))
    x = p.sample((50,))
    assert likelihood.check(x.flatten(0, 1)) is None
    assert p.log_prob(x).isfinite().all()


def test_expanding_changes_nothing(variant):
    p, x = variant.build().eval()(torch.randn(1, LATENT)), variant.rows(ROWS)
    torch.testing.assert_close(p.expand((ROWS,)).log_prob(x), p.log_prob(x))
    torch.testing.assert_close(p.expand((ROWS,)).mean, p.mean.expand(ROWS, *variant.event_shape))


def test_rows_are_independent_unless_declared(variant):
    likelihood, x, z = variant.build(), variant.rows(ROWS), torch.randn(ROWS, LATENT)
    together = likelihood(z).log_prob(x)
    apart = torch.cat([likelihood(z[i : i + 1]).log_prob(x[i : i + 1]) for i in range(ROWS)])
    assert torch.allclose(together, apart, rtol=1e-4, atol=1e-5) != likelihood.couples_batch


def test_evaluation_is_deterministic_and_independent_for_all(variant):
    likelihood, x, z = variant.build(), variant.rows(ROWS), torch.randn(ROWS, LATENT)
    likelihood(z).log_prob(x)
    likelihood.eval()
    together = likelihood(z).log_prob(x)
    apart = torch.cat([likelihood(z[i : i + 1]).log_prob(x[i : i + 1]) for i in range(ROWS)])
    torch.testing.assert_close(together, apart)
    assert torch.equal(together, likelihood(z).log_prob(x))


def test_every_parameter_gets_a_finite_gradient(variant):
    likelihood = variant.build()
    likelihood(torch.randn(ROWS, LATENT)).log_prob(variant.rows(ROWS)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in likelihood.parameters())


def test_single_and_double_precision_agree(variant):
    likelihood, x, z = variant.build().eval(), variant.rows(ROWS), torch.randn(ROWS, LATENT)
    single = likelihood(z).log_prob(x)
    double = likelihood.double()(z.double()).log_prob(x.double())
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-4)


def test_half_precision_networks_are_scored_in_single_precision(variant):
    likelihood, x, z = variant.build().eval(), variant.rows(ROWS), torch.randn(ROWS, LATENT)
    with torch.autocast("cpu", torch.bfloat16):
        assert likelihood(z).log_prob(x).dtype == torch.float32


def test_a_network_of_another_width_is_refused_with_both_numbers(variant):
    needed = math.prod(variant.build().features)
    likelihood = variant.make(nn.Linear(LATENT, needed + 1), variant.event_shape)
    with pytest.raises(ShapeError, match=rf"returned {needed + 1} numbers .* needs {needed} "):
        likelihood(torch.zeros(ROWS, LATENT))


def test_data_of_another_shape_is_refused(variant):
    with pytest.raises(ShapeError, match="the data's events have shape"):
        variant.build().check(torch.zeros(ROWS, 2, *variant.event_shape))


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_gaps_are_refused(variant, gap):
    x = variant.rows(ROWS)
    x[1] = gap
    with pytest.raises(DataError, match=rf"{x[1].numel()} of its values are NaN or infinite"):
        variant.build().check(x)


def test_a_configuration_rebuilds_it(variant):
    likelihood = variant.build()
    assert spec.rebuilt(likelihood, spec.describe(likelihood))
    assert repr(spec.build(spec.describe(likelihood))) == repr(likelihood)


@given(data=st.data())
@pytest.mark.parametrize("name", VARIANTS)
def test_values_and_gradients_are_finite_at_extreme_outputs(name, data):
    variant = VARIANTS[name]
    shape = variant.build().features
    extreme = st.sampled_from([0.0, -1e-8, 1e-3, 0.5, -20.0, 90.0, 1e4, -1e4]) | st.floats(-1e4, 1e4, width=32)
    output = data.draw(st.lists(extreme, min_size=math.prod(shape), max_size=math.prod(shape)))
    network = Constant(torch.tensor(output).reshape(shape))
    likelihood, x = variant.make(network, variant.event_shape), variant.rows(ROWS)
    log_prob = likelihood(torch.zeros(ROWS, LATENT)).log_prob(x)
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert all(p.grad.isfinite().all() for p in likelihood.parameters())


@pytest.mark.parametrize("name", [name for name, v in VARIANTS.items() if "ositive" not in name and name != "Mixed"])
@pytest.mark.parametrize("output", [-1e4, 1e4])
def test_means_and_samples_are_finite_at_extreme_outputs(name, output):
    variant = VARIANTS[name]
    network = Constant(torch.full(variant.build().features, output))
    p = variant.make(network, variant.event_shape)(torch.zeros(1, LATENT))
    assert p.mean.isfinite().all()
    assert p.sample((9,)).isfinite().all()


# Data outside the support


LINEAR = nn.Linear(LATENT, 1)
REFUSALS = {
    "grey Bernoulli": (likelihoods.Bernoulli(LINEAR, 3), torch.full((2, 3), 0.5), "relaxed=True"),
    "bytes Bernoulli": (likelihoods.Bernoulli(LINEAR, 3), torch.full((2, 3), 255.0), "from 255 to 255, outside"),
    "relaxed Bernoulli": (likelihoods.Bernoulli(LINEAR, 3, relaxed=True), -torch.ones(2, 3), "from -1 to -1, outside"),
    "ContinuousBernoulli": (likelihoods.ContinuousBernoulli(LINEAR, 3), torch.full((2, 3), 1.5), r"outside \[0, 1\]"),
    "too many levels": (likelihoods.Categorical(LINEAR, 3, 4), torch.full((2, 3), 4.0), "Raise `levels`"),
    "between categories": (likelihoods.Categorical(LINEAR, 3, 4), torch.full((2, 3), 0.5), "not a whole number"),
    "off a grid": (likelihoods.Categorical(LINEAR, 3, 4, grid=True), torch.full((2, 3), 0.5), "between the 4 levels"),
    "off 256 levels": (
        likelihoods.DiscretizedLogisticMixture(LINEAR, (1, 2, 2)),
        torch.full((2, 1, 2, 2), 0.501),
        "has 0.501, which lies between the 256 levels k/255",
    ),
    "bytes": (likelihoods.DiscretizedLogisticMixture(LINEAR, 3), torch.full((2, 3), 128.0), "Scale the data"),
    "negative counts": (likelihoods.Poisson(LINEAR, 3), -torch.ones(2, 3), "counts start at 0"),
    "fractional counts": (likelihoods.NegativeBinomial(LINEAR, 3), torch.full((2, 3), 1.5), "has 1.5, which is not"),
    "logarithms of counts": (
        likelihoods.ZeroInflatedNegativeBinomial(LINEAR, 3),
        torch.full((2, 3), 0.7),
        "before any normalisation or logarithm",
    ),
    "positive column": (likelihoods.Mixed(LINEAR, [Real(), Positive()]), torch.zeros(2, 2), r"column 1 \(positive\)"),
    "binary column": (likelihoods.Mixed(LINEAR, [Binary()]), 2 * torch.ones(2, 1), r"column 0 \(binary\)"),
    "categorical column": (likelihoods.Mixed(LINEAR, [Categorical(2)]), 2 * torch.ones(2, 1), "greatest value is 2"),
    "count column": (likelihoods.Mixed(LINEAR, [Count()]), -torch.ones(2, 1), "least value is -1"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_data_outside_the_support_is_refused_with_the_way_out(name):
    likelihood, x, message = REFUSALS[name]
    with pytest.raises(DataError, match=message):
        likelihood.check(x)


@pytest.mark.parametrize("name", [k for k, v in VARIANTS.items() if v.build().outside_support(torch.rand(2, 7) - 9)])
def test_values_outside_the_support_are_refused_when_scored(name):
    variant = VARIANTS[name]
    p = variant.build()(torch.zeros(ROWS, LATENT))
    with pytest.raises(ValueError, match="within the support"):
        p.log_prob(variant.rows(ROWS) - 9)


def test_whole_bytes_over_255_are_on_the_grid():
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 256)
    likelihood = likelihoods.DiscretizedLogisticMixture(LINEAR, 256)
    assert likelihood.problem(x / 255) is None
    assert likelihood.problem(x.half() / 255) is None


BAD_SETTINGS = {
    "`levels` of Categorical is 1": lambda: likelihoods.Categorical(LINEAR, 3, levels=1),
    "`components` and `levels`": lambda: likelihoods.DiscretizedLogisticMixture(LINEAR, 3, components=0),
    "a column has at least 1": lambda: Categorical(0),
    "`value` of FixedScale is 0": lambda: FixedScale(0.0),
    "`initial` of SharedScale is -1": lambda: SharedScale(-1.0),
    "`memory` of OptimalScale": lambda: OptimalScale(0),
    "StudentT was given OptimalScale": lambda: likelihoods.StudentT(LINEAR, 3, OptimalScale()),
    "Binomial was given OptimalScale": lambda: likelihoods.NegativeBinomial(LINEAR, 3, OptimalScale()),
}


@pytest.mark.parametrize("message", BAD_SETTINGS)
def test_settings_without_meaning_are_refused(message):
    with pytest.raises(ConfigError, match=message):
        BAD_SETTINGS[message]()


# Promises of single likelihoods


def test_the_relaxed_cross_entropy_is_the_mean_over_binarisations(float64):
    likelihood = likelihoods.Bernoulli(nn.Linear(LATENT, 3), 3, relaxed=True)
    assert not likelihood.is_normalised
    grey, z = torch.rand(3), torch.randn(1, LATENT)
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    weights = torch.where(bits == 1, grey, 1 - grey).prod(-1)
    torch.testing.assert_close(likelihood(z).log_prob(grey)[0], (weights * likelihood(z).log_prob(bits)).sum())


def test_the_strict_bernoulli_scores_no_grey():
    with pytest.raises(ValueError, match="support"):
        likelihoods.Bernoulli(nn.Linear(LATENT, 3), 3)(torch.zeros(1, LATENT)).log_prob(torch.full((3,), 0.5))


def _bound(raw: Tensor, limit: float = 10.0) -> Tensor:
    return limit * (raw / limit).tanh()


LAYOUTS = {
    "Categorical": (
        lambda network: likelihoods.Categorical(network, (2, 5, 4), levels=3),
        lambda p: p.logits.movedim(-1, 1).flatten(1, 2),
        lambda output: output,
    ),
    "StudentT": (
        lambda network: likelihoods.StudentT(network, (2, 5, 4), ElementScale(), ElementScale()),
        lambda p: torch.cat([p.loc, p.log_scale, p.log_df], 1),
        lambda output: torch.cat([output[:2], _bound(output[2:])]),
    ),
    "ZeroInflatedNegativeBinomial": (
        lambda network: likelihoods.ZeroInflatedNegativeBinomial(network, (2, 5, 4)),
        lambda p: torch.cat([p.counts.log_mean, p.counts.log_dispersion, p.dropout_logits], 1),
        lambda output: torch.cat([_bound(output[:2], 20.0), _bound(output[2:4]), output[4:]]),
    ),
    "DiscretizedLogisticMixture": (
        lambda network: likelihoods.DiscretizedLogisticMixture(network, (3, 5, 4), components=2),
        lambda p: torch.cat([p.logits, *(t.flatten(1, 2) for t in (p.loc, p.log_scale, p.coupling))], 1).unflatten(
            2, (5, 4)
        ),
        lambda output: torch.cat([output[:8], _bound(output[8:14], 7.0), output[14:].tanh()]),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_networks_output_is_read_in_the_order_that_the_docstring_says(float64, name):
    make, parameters, expected = LAYOUTS[name]
    output = 5 * torch.randn(make(nn.Identity()).features)
    torch.testing.assert_close(parameters(make(Constant(output))(torch.zeros(1, LATENT)))[0], expected(output))


def test_columns_of_a_table_add_up(float64):
    variant = VARIANTS["Mixed"]
    mixed, x, z = variant.build(), variant.rows(ROWS), torch.randn(5, ROWS, LATENT)
    parts = mixed.output_given(z).split([c.parameters for c in mixed.columns], -1)
    apart = [c.distribution(p) for c, p in zip(mixed.columns, parts, strict=True)]
    torch.testing.assert_close(mixed(z).log_prob(x), sum(p.log_prob(x[:, i]) for i, p in enumerate(apart)))
    torch.testing.assert_close(mixed(z).mean, torch.stack([p.mean for p in apart], -1))


@pytest.mark.parametrize("columns", [[Binary(), Count()], [Binary(), Real()]])
def test_a_table_is_a_code_only_if_every_column_is(columns):
    assert likelihoods.Mixed(LINEAR, columns).is_discrete == all(c.is_discrete for c in columns)

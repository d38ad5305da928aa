"""What the data is, is detected and told; a likelihood is proposed for it, and transforms for a likelihood, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vaekit.data as vd
from vaekit import likelihoods, spec
from vaekit.composition import Composition
from vaekit.data.transforms import Transform
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Binary, Categorical, Column, Count, Positive, Real
from vaekit.networks import Symlog
from vaekit.objectives import ELBO

RNG = np.random.default_rng(0)
NATURAL = RNG.normal(120, 40, (60, 3, 4, 4)).clip(0, 255).astype(np.uint8)
INK = RNG.choice([0, 255, 128], (60, 1, 4, 4), p=[0.7, 0.2, 0.1]).astype(np.uint8)
UNIT = RNG.random((60, 1, 4, 4))
REALS = RNG.normal(3, 2, (60, 5))
COUNTS = RNG.poisson(4, (60, 5))
NOTHING: tuple[Transform, ...] = ()


def table(*columns: Column) -> vd.Source:
    """A table whose columns have values of their kinds."""
    values = {Real: REALS[:, 0], Positive: np.exp(REALS[:, 0]), Binary: COUNTS[:, 0] % 2, Count: COUNTS[:, 0]}
    x = np.stack([values.get(type(c), COUNTS[:, 0] % getattr(c, "levels", 2)) for c in columns], 1).astype(float)
    return vd.Source("t", {"all": x}, columns=columns, column_names=tuple(f"c{i}" for i in range(len(columns))))


PROPOSED: dict[str, tuple[Any, type[likelihoods.Likelihood], tuple[type[Transform], ...], str]] = {
    "binary": (INK // 255, likelihoods.Bernoulli, (), "0 and 1"),
    "black and white": ((INK > 9).astype(np.uint8) * 255, likelihoods.Bernoulli, (), "0 and 1"),
    "booleans": (REALS > 3, likelihoods.Bernoulli, (), "0 and 1"),
    "ink": (INK, likelihoods.Bernoulli, (vd.Binarize,), "92% of the values"),
    "flattened ink": (INK.reshape(60, 16), likelihoods.Bernoulli, (vd.Binarize,), "92% of the values"),
    "ink as floats": (
        RNG.choice(256, (60, 300), p=[0.8] + [0.2 / 255] * 255) / 255,
        likelihoods.Bernoulli,
        (vd.Binarize,),
        "",
    ),
    "digits": ("digits", likelihoods.Bernoulli, (vd.Binarize,), "17 levels"),
    "natural images": (NATURAL, likelihoods.DiscretizedLogisticMixture, (), "256"),
    "natural images as floats": (NATURAL / 255, likelihoods.DiscretizedLogisticMixture, (), "256"),
    "natural images as whole floats": (NATURAL.astype(float), likelihoods.DiscretizedLogisticMixture, (), "256"),
    "bytes in vectors": (NATURAL.reshape(60, -1), likelihoods.Normal, (vd.Dequantize,), "dequantised"),
    "real images": (UNIT, likelihoods.ContinuousBernoulli, (), "[0, 1]"),
    "real vectors": (REALS, likelihoods.Normal, (vd.Standardize,), "real"),
    "real vectors in [0, 1]": (UNIT.reshape(60, -1), likelihoods.Normal, (vd.Standardize,), "real"),
    "whole numbers of both signs": (COUNTS - 3, likelihoods.Normal, (vd.Standardize,), "real"),
    "counts": (COUNTS, likelihoods.NegativeBinomial, (), "counts"),
    "real table": (table(Real(), Real()), likelihoods.Normal, (vd.Standardize,), "real"),
    "table of counts": (table(Count(), Count()), likelihoods.NegativeBinomial, (), "counts"),
    "binary table": (table(Binary(), Binary()), likelihoods.Bernoulli, (), "0 and 1"),
    "table": (
        table(Real(), Categorical(3), Positive()),
        likelihoods.Mixed,
        (vd.Standardize,),
        "categorical, positive, real",
    ),
    "table of categories": (table(Categorical(3), Categorical(2)), likelihoods.Mixed, (), "categorical"),
}


@pytest.mark.parametrize("name", PROPOSED)
def test_the_proposed_likelihood_scores_the_data(name: str) -> None:
    source, kind, transforms, reason = PROPOSED[name]
    data = vd.open(source)
    proposal = data.propose()
    assert reason in proposal.reason
    assert proposal.reason.startswith(kind.__name__)
    assert tuple(type(t) for t in data.transforms) == transforms
    probe = proposal.likelihood(nn.Identity(), data.event_shape)
    assert type(probe) is kind
    likelihood = proposal.likelihood(nn.Linear(2, int(np.prod(probe.features))), data.event_shape)
    for split in ("train", "validation", "test"):
        (x,) = next(iter(data.batches(split, 1000)))
        likelihood.check(x)
        assert likelihood(torch.zeros(len(x), 2)).log_prob(x).isfinite().all()


@pytest.mark.parametrize("name", ["natural images", "real vectors", "table"])
def test_the_proposed_likelihood_can_be_described_and_built_again(name: str) -> None:
    data = vd.open(PROPOSED[name][0])
    probe = data.propose().likelihood(nn.Identity(), data.event_shape)
    network = nn.Linear(2, int(np.prod(probe.features)))
    made = spec.call(data.propose().likelihood, network, data.event_shape)
    again = spec.build(spec.describe(made))
    assert type(again) is type(probe)
    assert again.features == probe.features


NORMAL: Callable[..., likelihoods.Likelihood] = likelihoods.Normal
SUITED: dict[str, tuple[Any, Callable[[nn.Module, Any], nn.Module], tuple[Transform, ...], str]] = {
    "Bernoulli on ink": (INK, likelihoods.Bernoulli, (vd.Binarize(),), ""),
    "Bernoulli on bits": (INK // 255, likelihoods.Bernoulli, NOTHING, ""),
    "relaxed Bernoulli on ink": (INK, lambda n, s: likelihoods.Bernoulli(n, s, relaxed=True), NOTHING, ""),
    "Normal on ink": (INK, NORMAL, (vd.Dequantize(),), "Normal is a density"),
    "Normal on bits": (INK // 255, NORMAL, (vd.Dequantize(2),), "Normal is a density"),
    "Normal on digits": ("digits", NORMAL, (vd.Dequantize(17),), "Normal is a density"),
    "Laplace on natural images": (NATURAL, likelihoods.Laplace, (vd.Dequantize(),), "Laplace is a density"),
    "ContinuousBernoulli on ink": (INK, likelihoods.ContinuousBernoulli, (vd.Dequantize(),), "density"),
    "ContinuousBernoulli on reals": (UNIT, likelihoods.ContinuousBernoulli, NOTHING, ""),
    "ContinuousBernoulli on vectors": (UNIT.reshape(60, -1), likelihoods.ContinuousBernoulli, NOTHING, ""),
    "mixture on ink": (INK, likelihoods.DiscretizedLogisticMixture, NOTHING, ""),
    "Normal on real images": (UNIT, NORMAL, NOTHING, ""),
    "Poisson on counts": (COUNTS, likelihoods.Poisson, NOTHING, ""),
    "a module that says nothing": (INK, lambda n, s: nn.Identity(), NOTHING, ""),
}


@pytest.mark.parametrize("name", SUITED)
def test_transforms_suit_the_likelihood_that_the_user_names(name: str) -> None:
    source, make, transforms, reason = SUITED[name]
    opened = vd.open(source)
    likelihood = make(nn.Identity(), opened.event_shape)
    data = opened.prepared_for(likelihood)
    assert data.transforms == transforms
    assert reason in data.describe()
    if isinstance(likelihood, likelihoods.Likelihood):
        for given in data.batches("train", 1000):
            likelihood.check(given[0])
    assert (
        data.prepared_for(opened.propose().likelihood(nn.Identity(), data.event_shape)).transforms == opened.transforms
    )


def test_standardisation_suits_a_density_of_reals() -> None:
    data = vd.open(REALS).prepared_for(likelihoods.StudentT(nn.Identity(), 5))
    assert [type(t) for t in data.transforms] == [vd.Standardize]


@pytest.mark.parametrize(
    ("source", "likelihood", "words"),
    [
        (NATURAL, likelihoods.Bernoulli, "Binarize"),
        (UNIT, likelihoods.Bernoulli, "Binarize"),
        (REALS, likelihoods.ContinuousBernoulli, "outside"),
        (REALS, likelihoods.NegativeBinomial, "counts|whole"),
    ],
)
def test_where_no_transform_helps_the_likelihood_says_why(
    source: Any, likelihood: Callable[[nn.Module, Any], likelihoods.Likelihood], words: str
) -> None:
    opened = vd.open(source)
    chosen = likelihood(nn.Identity(), opened.event_shape)
    (x,) = next(iter(opened.prepared_for(chosen).batches("train", 1000)))
    with pytest.raises(DataError, match=words):
        chosen.check(x)


def test_transforms_that_the_user_chose_are_kept() -> None:
    data = vd.open(INK, transforms=())
    assert data.prepared_for(likelihoods.Normal(nn.Identity(), data.event_shape)) is data


def test_what_opened_the_data_opens_it_again() -> None:
    data = vd.open((REALS, COUNTS[:, 0]), seed=3, test=0.3, context=True).prepared_for(
        likelihoods.Normal(nn.Identity(), 5)
    )
    again = vd.open(**data.opened_by)
    assert again.transforms == data.transforms
    for split in ("train", "validation", "test"):
        for a, b in zip(data.batches(split, 9), again.batches(split, 9), strict=True):
            assert all(torch.equal(u, v) for u, v in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (
            "digits",
            [
                "digits: 1,437 rows to train on, 180 to validate, 180 to test.",
                "Images of 1 x 8 x 8, stored as uint8, from 0 to 16, on a grid of 17 levels, read as [0, 1]; nothing is missing.",
                "Labels: 10 classes (0, 1, 2, 3, 4 and 5 more).",
            ],
        ),
        (
            (COUNTS, COUNTS[:, :2]),
            [
                "array: 48 rows to train on, 6 to validate, 6 to test.",
                f"Vectors of 5, stored as int64, from 0 to {COUNTS.max()}, whole numbers; nothing is missing.",
                "Labels: 2 factors (factor 1, factor 2).",
            ],
        ),
        (
            table(Real(), Binary(), Real()),
            [
                "t: 48 rows to train on, 6 to validate, 6 to test.",
                "real numbers; nothing is missing.",
                "Columns: real: c0, c2; binary: c1.",
                "Transforms: Standardize. Mixed, because",
            ],
        ),
    ],
)
def test_the_data_is_described_in_a_few_lines(source: Any, lines: list[str]) -> None:
    told = vd.open(source).describe().splitlines()
    assert 2 <= len(told) <= 5
    for line in lines:
        assert any(line in t for t in told), told


@pytest.mark.parametrize(
    ("brightest", "dtype", "dark"),
    [
        (16, np.uint8, True),
        (31, np.uint8, True),
        (32, np.uint8, False),
        (4095, np.uint16, True),
        (60000, np.uint16, False),
    ],
)
def test_almost_black_images_are_spoken_of(brightest: int, dtype: type, dark: bool) -> None:
    images = RNG.integers(0, brightest + 1, (20, 4, 4)).astype(dtype)
    images[0] = brightest
    assert (f"Almost black: no value is above {brightest}" in vd.open(images).describe()) == dark


@pytest.mark.parametrize(
    ("source", "compressed"),
    [
        (COUNTS * 1000, True),
        (table(Real(), Count()), True),
        (table(Real(), Binary()), False),
        (REALS * 1000, False),
        (INK, False),
    ],
)
def test_the_encoder_of_a_composed_model_is_given_values_of_a_few_units(source: Any, compressed: bool) -> None:
    torch.manual_seed(0)
    data = vd.open(source)
    model = Composition(latent=3).build(data)
    network = model.posterior.network
    assert isinstance(network, Symlog) is compressed
    assert ELBO()(model, next(data.batches("train", 100))[0]).rate.max() < 30
    assert spec.rebuilt(model, spec.describe(model))


def test_the_surface_is_sorted_and_complete() -> None:
    assert sorted(vd.__all__) == vd.__all__
    assert all(hasattr(vd, name) for name in vd.__all__)

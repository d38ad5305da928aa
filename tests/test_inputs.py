"""What a model is given that does not fit it: refused in a sentence with the way out, wherever it is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaekit import VAE, Conditional, evaluation
from vaekit.errors import ConfigError, ShapeError
from vaekit.likelihoods import Bernoulli
from vaekit.networks import MLP, ConvDecoder, ConvEncoder
from vaekit.objectives import ELBO
from vaekit.posteriors import DiagonalNormal
from vaekit.priors import StandardNormal

IMAGE, CLASSES = (1, 4, 4), 3
X, LABELS = torch.ones(5, *IMAGE), torch.tensor([0, 1, 2, 1, 0])
ONE_HOT = nn.functional.one_hot(LABELS, CLASSES).float()
USES: dict[str, Callable[..., object]] = {
    "encode": lambda model, *c: model.encode(X, *c),
    "reconstruct": lambda model, *c: model.reconstruct(X, *c),
    "decode": lambda model, *c: model.decode(torch.zeros(7, 5, 2), *c),
    "sample": lambda model, *c: model.sample((4,), *c),
    "log_joint": lambda model, *c: model.log_joint(X, torch.zeros(5, 2), *c),
    "objective": lambda model, *c: ELBO()(model, X, *c),
    "evaluate": lambda model, *c: evaluation.evaluate(model, [(X, *c)], samples=2),
    "codes": lambda model, *c: evaluation.codes(model, [(X, *c)]),
}


def perceptrons(context: int = 0) -> VAE:
    encoder, decoder = MLP(IMAGE, 4, context=context), MLP(2, IMAGE, context=context)
    return VAE(StandardNormal(2), DiagonalNormal(encoder), Bernoulli(decoder, IMAGE))


def convolutions(context: int = 0) -> VAE:
    encoder, decoder = (
        ConvEncoder(IMAGE, 4, channels=(2,), context=context),
        ConvDecoder(2, IMAGE, channels=(2,), context=context),
    )
    return VAE(StandardNormal(2), DiagonalNormal(encoder), Bernoulli(decoder, IMAGE))


both_networks = pytest.mark.parametrize("build", [perceptrons, convolutions])
all_uses = pytest.mark.parametrize("use", USES)


@both_networks
@all_uses
def test_a_missing_context_is_asked_for(build, use):
    with pytest.raises(ShapeError, match=r"The context is missing: model\.sample\(\(4,\), context\)"):
        USES[use](build(context=CLASSES))


@both_networks
@all_uses
def test_labels_are_no_context(build, use):
    with pytest.raises(
        ShapeError, match=r"int64 with 1 dimension; .* torch\.nn\.functional\.one_hot\(labels, C\)\.float"
    ):
        USES[use](build(context=CLASSES), LABELS)


@both_networks
@all_uses
def test_labels_that_a_loader_yields_are_refused_by_a_model_without_context(build, use):
    with pytest.raises(ShapeError, match=r"built without a context .* Of batches \(x, y\), give the model x alone"):
        USES[use](build(), LABELS)


@both_networks
@all_uses
def test_a_context_is_refused_by_a_model_without_one(build, use):
    with pytest.raises(ShapeError, match=r"It was built without a context. Give the model none"):
        USES[use](build(), ONE_HOT)


@both_networks
@pytest.mark.parametrize("use", ["encode", "decode", "objective", "log_joint"])
def test_each_example_has_its_own_row_of_context(build, use):
    with pytest.raises(ShapeError, match="`context` has 1 row, and there are 5 examples"):
        USES[use](build(context=CLASSES), ONE_HOT[:1])


def test_a_context_of_one_number_is_a_column():
    with pytest.raises(ShapeError, match=r"float32 with 1 dimension; .* Give context\[:, None\]"):
        perceptrons(context=1).encode(X, torch.ones(5))


@both_networks
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@all_uses
def test_a_model_in_half_precision_takes_values_of_single_precision(build, use, precision):
    assert USES[use](build(context=CLASSES).to(precision), ONE_HOT) is not None


VALUES: dict[str, tuple[Callable[[VAE], object], str]] = {
    "double": (
        lambda m: m.encode(X.double()),
        "MLP has weights of torch.float32 and was given values of torch.float64",
    ),
    "counts": (lambda m: m.encode(X.long()), r"`x` has values of torch\.int64; a model is given floats: x\.float\(\)"),
    "whole latents": (lambda m: m.decode(torch.zeros(5, 2).long()), r"`z` has values of torch\.int64; .* z\.float\(\)"),
    "bytes": (lambda m: ELBO()(m, X.byte()), "`x` has values of torch.uint8; .*, on the scale"),
    "an array": (lambda m: ELBO()(m, np.ones((5, *IMAGE))), r"`x` is a ndarray; .* torch\.as_tensor\(x\)"),  # type: ignore[arg-type]
    "half a draw": (lambda m: m.sample(2.0), r"`shape` is 2\.0; it must be a whole number, or a tuple"),  # type: ignore[arg-type]
    "half a row": (lambda m: m.sample((2.5,)), r"`shape` is \(2\.5,\)"),  # type: ignore[arg-type]
    "fewer draws than none": (lambda m: m.sample(-1), "`shape` is -1"),
    "a seed": (lambda m: m.sample(4, generator=0), r"`generator` is 0; .* torch\.Generator\(\)\.manual_seed\(0\)"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", VALUES)
def test_what_a_model_is_not_made_for_is_refused(name):
    act, message = VALUES[name]
    with pytest.raises(ConfigError, match=f"^{message}"):
        act(perceptrons())


@pytest.mark.parametrize("number", [np.int64(4), 4, (4,), [np.int32(4)]])
def test_a_number_of_samples_is_any_whole_number(number):
    assert perceptrons().sample(number).shape == (4, *IMAGE)


class Apart(Conditional):
    """A prior that takes its one latent for an example."""

    def forward(self, *given: Tensor) -> Normal:
        return Normal(torch.zeros(1), torch.ones(1))


class Together(Apart):
    """The same, with its latent as an event."""

    def forward(self, *given: Tensor) -> Independent[Normal]:  # type: ignore[override]
        return Independent(super().forward(*given), 1)


def test_a_prior_of_single_numbers_is_refused_in_the_joint_density():
    z, likelihood = torch.zeros(5, 1), Bernoulli(MLP(1, IMAGE), IMAGE)
    assert VAE(Together(), nn.Identity(), likelihood).log_joint(X, z).shape == (5,)
    with pytest.raises(ShapeError, match=r"prior's Normal has shape \(5, 1\); .* has shape \(5,\)"):
        VAE(Apart(), nn.Identity(), likelihood).log_joint(X, z)


@pytest.mark.parametrize("factor", ["prior", "posterior", "likelihood"])
def test_a_network_is_no_factor(factor):
    class Network(nn.Module):
        def forward(self, *given: Tensor) -> Tensor:
            return torch.zeros(5, 4)

    model = perceptrons()
    setattr(model, factor, Network())
    with pytest.raises(ConfigError, match=f"The {factor} returned a Tensor, not a distribution.* vaekit.{factor}s"):
        ELBO()(model, X)
    with pytest.raises(ConfigError, match=f"The {factor} returned a Tensor"):
        model.decode(model.encode(X)) if factor != "prior" else model.sample(4)

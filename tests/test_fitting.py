"""What a fit refuses before its first step: what is missing, is of another kind, or cannot be scored or normalised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LATENT, QUIET, WIDTH, tiny_data, tiny_model
from torch import nn

import vaekit as vk
from vaekit.data.splits import plan
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.objectives import ELBO, L2

CLASSES: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "objective": (tiny_model, ELBO, r"`objective` is the class ELBO; write ELBO\(\)\."),
    "objective of another": (tiny_model, L2, r"`objective` is the class L2; write L2\(\.\.\.\)\."),
    "model and objective": (ELBO, ELBO(), r"`model` is a ELBO, not .* The order is fit\(model, objective, data\)"),
    "model": (lambda: vk.VAE, None, r"`model` is the class VAE; write VAE\(\.\.\.\)\."),
    "network": (
        lambda: tiny_model(posterior=vk.posteriors.DiagonalNormal(vk.networks.MLP)),  # type: ignore[arg-type]
        None,
        r"`network` is the class MLP; write MLP\(\.\.\.\)\.",
    ),
}


@pytest.mark.parametrize("given", ["digits", torch.ones(3, WIDTH)], ids=["name", "tensor"])
def test_data_in_the_place_of_the_objective_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"`objective` is a (str|Tensor), which is not called .*: data=\.\.\."):
        vk.fit(tiny_model(), given)


def test_data_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"`data` is not given\. Give what the model is to be fitted to"):
        vk.fit(tiny_model())


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_in_the_place_of_an_object_is_refused(name: str) -> None:
    model, objective, message = CLASSES[name]
    with pytest.raises(ConfigError, match=message):
        vk.fit(model(), objective, tiny_data())


TRAINED = len(tiny_data().train)


def normalised() -> vk.VAE:
    network = nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 2 * LATENT))
    return tiny_model(posterior=vk.posteriors.DiagonalNormal(network))


@pytest.mark.parametrize("size", [1, TRAINED - 1])
def test_a_last_batch_of_one_row_is_refused_where_it_would_be_normalised(size: int) -> None:
    told = f"`batch_size` is {size}, and the last batch .* of {TRAINED} rows, has 1, which BatchNorm1d"
    with pytest.raises(ConfigError, match=told):
        vk.fit(normalised(), data=tiny_data(), epochs=1, **{**QUIET, "batch_size": size})


@pytest.mark.parametrize(("model", "size"), [(normalised, TRAINED - 2), (tiny_model, TRAINED - 1)])
def test_a_last_batch_is_taken_that_has_more_rows_or_is_not_normalised(model: Callable[[], vk.VAE], size: int) -> None:
    assert vk.fit(model(), data=tiny_data(), epochs=1, **{**QUIET, "batch_size": size}).steps_this_fit == 2


@pytest.mark.parametrize("wrong", [0, -1], ids=["first", "last"])
def test_every_row_is_looked_at_before_the_first_step(wrong: int) -> None:
    x = np.random.default_rng(0).poisson(3.0, (5000, WIDTH)).astype(np.float32)
    likelihood = vk.likelihoods.Poisson(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH)
    rows = plan({"all": len(x)}, {"validation": None, "test": None}, 0)["train"][1]
    assert rows is not None
    x[rows[wrong]] = -3
    with pytest.raises(DataError, match="Poisson cannot score this data"):
        vk.fit(tiny_model(likelihood=likelihood), data=vk.data.open(x, transforms=()), epochs=1, **QUIET)


def test_a_model_in_another_precision_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"is torch\.float64, and data is read in .* torch\.float32\. Call torch\.set_default"
    ):
        vk.fit(tiny_model().to(torch.float64), data=tiny_data(), epochs=1, **QUIET)


def test_a_network_that_returns_several_tensors_is_told_to_join_them() -> None:
    class Two(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).chunk(2, -1)  # type: ignore[return-value]

    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(Two(WIDTH, 2 * LATENT)))
    with pytest.raises(ShapeError, match=r"returned a tuple for DiagonalNormal, which needs one tensor .*torch\.cat"):
        model.encode(torch.zeros(3, WIDTH))


def test_a_lone_row_that_can_be_normalised_is_taken() -> None:
    rows, layers = (
        len(tiny_data().train),
        (nn.Unflatten(1, (WIDTH, 1)), nn.Upsample(scale_factor=2.0), nn.BatchNorm1d(WIDTH)),
    )
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * WIDTH, 2 * LATENT))
    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(network))
    assert vk.fit(model, data=tiny_data(), epochs=1, **{**QUIET, "batch_size": rows - 1}).steps_this_fit == 2

"""What a run's folder tells of parts that it cannot rebuild: functions, classes of a notebook, networks without attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tiny import LATENT, QUIET, WIDTH, fitted, tiny_data, tiny_model
from torch import Tensor, nn
from user_parts import Vamp

import vaekit as vk
from vaekit.errors import ConfigError, RunError
from vaekit.objectives import ELBO, IWAE, Terms
from vaekit.runs.description import MODEL, read_yaml


def plain(model: vk.VAE, x: Tensor, *context: Tensor) -> Terms:
    """Compute the evidence lower bound."""
    return ELBO()(model, x, *context)


class Bare:
    """An objective that is no dataclass."""

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> Terms:
        return plain(model, x, *context)


OBJECTIVES: dict[str, tuple[Any, str]] = {
    "function": (plain, "test_keeping.plain"),
    "lambda": (lambda model, x: plain(model, x), "test_keeping.<lambda>"),
    "object": (Bare(), "test_keeping.Bare"),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objective_that_cannot_be_rebuilt_is_named(kind: str, tmp_path: Path) -> None:
    objective, name = OBJECTIVES[kind]
    fitted(tmp_path / "run", 1, objective=objective)
    run = vk.load(tmp_path / "run")
    assert repr(run.objective) == f"Named(name='{name}')"
    with pytest.raises(ConfigError, match=r"of which the run keeps the name alone\. Give the objective itself"):
        run.objective(run.model, torch.zeros(2, WIDTH))
    fitted(tmp_path / "run", 2, objective=objective, resume=True)
    with pytest.raises(RunError, match=r"the run in .* was fitted by Named"):
        fitted(tmp_path / "run", 3, objective=ELBO(), resume=True)


def test_an_objective_whose_class_is_gone_is_named(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1, objective=IWAE(3))
    assert vk.load(tmp_path / "run").objective == IWAE(3)
    content = (tmp_path / "run" / MODEL).read_text()
    (tmp_path / "run" / MODEL).write_text(content.replace("objectives.IWAE", "objectives.Gone"))
    assert repr(vk.load(tmp_path / "run").objective) == "Named(name='vaekit.objectives.Gone')"


class Silent(nn.Module):
    """A network that does not keep its argument."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, 4)
        self.wider = nn.Linear(WIDTH, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.wider(x).sum(-1, keepdim=True)


class Kept(Silent):
    """One that keeps it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width


class Other(Silent):
    """One that keeps another number."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width + 1


def fit(network: nn.Module, folder: Path) -> vk.Run:
    """Fit a model with this network as the posterior's."""
    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(network))
    return vk.fit(model, data=tiny_data(), run=folder, epochs=1, **QUIET)


@pytest.mark.parametrize(
    ("make", "told"),
    [(Silent, r"Store it as `self\.width`"), (Other, r"keep make another model\.")],
)
def test_a_model_that_will_not_be_rebuilt_is_spoken_of_at_the_fit(
    make: Callable[[int], nn.Module], told: str, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=f"vaekit.load will need a model like this one, as `model=`.*{told}") as warned:
        run = fit(make(2), tmp_path / "run")
    assert [w.filename for w in warned] == [__file__]
    assert read_yaml(tmp_path / "run", MODEL)["model"] is None
    with pytest.raises(RunError, match=r"could not be described\. Give one like it: `model=`"):
        vk.load(tmp_path / "run")
    like = tiny_model(posterior=vk.posteriors.DiagonalNormal(make(2)))
    loaded = vk.load(tmp_path / "run", model=like)
    x = next(run.needs_data().batches("test", 4))[0]
    assert torch.equal(loaded.model.encode(x), run.model.encode(x))


def test_a_model_that_will_be_rebuilt_is_not_spoken_of(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(Kept(2), tmp_path / "run")
    assert repr(vk.load(tmp_path / "run").model) == repr(run.model)


def test_a_prior_that_shares_the_posterior_is_loaded_sharing_it(tmp_path: Path) -> None:
    posterior = vk.posteriors.DiagonalNormal(vk.networks.MLP(WIDTH, 2 * LATENT))
    model = tiny_model(prior=Vamp(posterior, (WIDTH,)), posterior=posterior)
    run = vk.fit(model, data=tiny_data(), run=tmp_path / "run", epochs=1, **QUIET)
    loaded = vk.load(tmp_path / "run").model
    assert cast(Vamp, loaded.prior).posterior is loaded.posterior
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in run.model.parameters())


def test_a_class_of_a_program_that_was_run_is_given_a_way_out(tmp_path: Path) -> None:
    fit(Kept(2), tmp_path / "run")
    content = (tmp_path / "run" / MODEL).read_text()
    (tmp_path / "run" / MODEL).write_text(content.replace("test_keeping.Kept", "__main__.Kept"))
    with pytest.raises(ConfigError, match=r"names `__main__\.Kept`, .*or give `vaekit\.load` a model like the run's"):
        vk.load(tmp_path / "run")


def test_positional_arguments_of_a_partial_application_are_kept(tmp_path: Path) -> None:
    network = vk.networks.MLP(WIDTH, 5, 4, activation=partial(nn.LeakyReLU, 0.9))
    run = fit(network, tmp_path / "run")
    x = next(run.needs_data().batches("test", 4))[0]
    assert torch.equal(vk.load(tmp_path / "run").model.encode(x), run.model.encode(x))


class Steep(Silent):
    """A network with an argument that has a default, which it does not keep."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(2)
        self.steepness = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.steepness * super().forward(x)


def test_a_model_that_would_be_rebuilt_to_do_something_else_is_spoken_of(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="vaekit.load will need a model"):
        fit(Steep(gain=5.0), tmp_path / "run")


@pytest.mark.parametrize("beta", [np.float64(4.0), np.float32(4.0), torch.tensor(4.0)], ids=["64", "32", "torch"])
def test_numbers_of_numpy_and_torch_are_kept_as_numbers(beta: float, tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1, objective=ELBO(beta=beta), batch_size=np.int64(16), clip=np.float64(1.0))
    assert vk.load(tmp_path / "run").objective == ELBO(beta=4.0)


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    fit(Kept(2), tmp_path / "run")
    like = tiny_model(posterior=vk.posteriors.DiagonalNormal(Kept(3)))
    with pytest.raises(
        RunError, match=r"network\.wider\.weight \(\(2, \d+\), here \(3, \d+\)\), .*\. Give a model like"
    ):
        vk.load(tmp_path / "run", model=like)


class Jittered(Kept):
    """A network whose noise is not torch's, with a counter outside of its state."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) + float(np.random.default_rng().normal())


def test_a_model_that_cannot_be_compared_is_taken_as_it_is_described(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(Jittered(2), tmp_path / "run")
    vk.fit(run.model, data=tiny_data(), run=tmp_path / "run", resume=True, epochs=2, **QUIET)
    assert vk.load(tmp_path / "run").step == run.step

"""Parts of the user's own, which say nothing of themselves: data is prepared for them, and refused, by what they return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from shell import LAST
from tiny import LATENT, QUIET, WIDTH, fitted, same, tiny_data, tiny_model
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, RelaxedBernoulli
from user_parts import Constrained

import vaekit as vk
from vaekit import divergences
from vaekit.data import Binarize
from vaekit.distributions import OneHotCategoricals, RelaxedCategoricals
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.evaluation.scorer import scorer
from vaekit.objectives import ELBO, Terms
from vaekit.shapes import apply_to_latents
from vaekit.training import checkpoint

PIXELS = (1, 8, 8)


class Wrapped(vk.Conditional):
    """A likelihood that scores by another, of some of the latents."""

    def __init__(self, inner: vk.Conditional) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor, *context: Tensor) -> Distribution:
        return self.inner(z[..., :1], *context)


class Pixels(vk.Conditional):
    """A likelihood by torch's distribution; `folds` says whether it knows what to do with several draws."""

    def __init__(self, folds: bool = True) -> None:
        super().__init__()
        self.folds, self.network = folds, vk.networks.MLP(LATENT, PIXELS)

    def forward(self, z: Tensor, *context: Tensor) -> Distribution:
        logits = apply_to_latents(self.network, z) if self.folds else self.network(z)
        return Independent(Bernoulli(logits=logits, validate_args=False), 3)


class Real(vk.Conditional):
    """A likelihood that is a density."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(LATENT, WIDTH)

    def forward(self, z: Tensor, *context: Tensor) -> Distribution:
        return Independent(Normal(self.network(z), 1.0), 1)


def images(likelihood: nn.Module) -> vk.VAE:
    return tiny_model(
        prior=vk.priors.StandardNormal(LATENT),
        posterior=vk.posteriors.DiagonalNormal(vk.networks.MLP(PIXELS, 2 * LATENT)),
        likelihood=likelihood,
    )


def by(bernoulli: bool = True, relaxed: bool = False) -> Wrapped:
    return Wrapped(vk.likelihoods.Bernoulli(vk.networks.MLP(1, PIXELS), PIXELS, relaxed=relaxed))


@pytest.mark.parametrize("likelihood", [by, Pixels], ids=["wrapped", "torch's"])
def test_data_is_prepared_for_a_mass_function_of_ones_own(likelihood: type[nn.Module]) -> None:
    run = vk.fit(images(likelihood()), data="digits", epochs=1, **{**QUIET, "batch_size": 512})
    assert run.needs_data().transforms == (Binarize(),)
    evaluation = run.evaluate(samples=2)
    assert evaluation.bits_per_dim is not None
    assert not evaluation.relaxed


def test_a_wrapped_cross_entropy_is_none_the_less_no_likelihood() -> None:
    data = vk.data.open("digits", transforms=())
    run = vk.fit(images(by(relaxed=True)), data=data, epochs=1, **{**QUIET, "batch_size": 512})
    evaluation = run.evaluate(samples=2)
    assert evaluation.relaxed
    assert evaluation.bits_per_dim is None


def test_values_outside_the_support_are_refused_before_the_first_step() -> None:
    with pytest.raises(DataError, match=r"Pixels cannot score this data: values lie outside the support"):
        vk.fit(images(Pixels()), data=vk.data.open("digits", transforms=()), epochs=1, **QUIET)


def test_a_density_of_ones_own_gets_the_data_as_it_is() -> None:
    model = tiny_model(likelihood=Real())
    assert scorer(model).is_discrete is None
    assert vk.fit(model, data=torch.randn(50, WIDTH), epochs=1, **QUIET).needs_data().transforms == ()


def test_events_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=rf"Real scores events of shape \({WIDTH},\), but the data's have shape \(3,\)"
    ):
        scorer(tiny_model(likelihood=Real())).check(torch.zeros(2, 3))


def test_a_likelihood_that_does_not_fold_draws_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"not several draws of them, .*apply_to_latents"):
        vk.fit(images(Pixels(folds=False)), data="digits", run=tmp_path / "run", epochs=1, **QUIET)
    assert not (tmp_path / "run").exists()


def test_a_relaxed_posterior_has_no_divergence_from_a_mass_function() -> None:
    logits = torch.zeros(3, LATENT)
    q, p = Independent(RelaxedBernoulli(torch.tensor(0.5), logits=logits), 1), Independent(Bernoulli(logits=logits), 1)
    with pytest.raises(ConfigError, match="one is a mass function and the other a density"):
        vk.divergence(q, p, q.sample())


class Chained(OneHotCategoricals):
    """A mass function of one's own over groups of categories."""


def test_a_closed_form_of_ones_own_serves_the_relaxed_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(3, 2, 4)
    q, p = RelaxedCategoricals(logits, temperature=0.5), Chained(torch.randn(2, 4))
    expected = vk.divergence(q, OneHotCategoricals(p.logits), q.rsample()).parts
    with pytest.raises(ConfigError, match=r"register\(OneHotCategoricals, Independent\)"):
        vk.divergence(q, Independent(Bernoulli(logits=torch.zeros(8)), 1), q.rsample())
    monkeypatch.setitem(divergences._forms, (OneHotCategoricals, Chained), lambda q, p, z: 2 * expected)
    assert torch.equal(vk.divergence(q, p, q.rsample()).parts, 2 * expected)


class Learned(nn.Module):
    """An objective with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, model: vk.VAE, x: Tensor, *context: Tensor) -> Terms:
        return ELBO()(model, x, *context)


def test_parameters_of_an_objective_are_refused_rather_than_left_untrained() -> None:
    with pytest.raises(ConfigError, match="`objective` is a Learned with parameters of its own"):
        vk.fit(tiny_model(), Learned(), data=tiny_data(), epochs=1, **QUIET)


def test_what_an_objective_learns_is_resumed_and_left_alone_by_evaluation(tmp_path: Path) -> None:
    whole, first, second = Constrained(), Constrained(), Constrained()
    fitted(tmp_path / "whole", 2, objective=whole)
    fitted(tmp_path / "halves", 1, objective=first)
    fitted(tmp_path / "halves", 2, resume=True, objective=second)
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "halves")))
    assert 1 != first.multiplier != second.multiplier == whole.multiplier
    assert not whole.training
    loaded: Any = vk.load(tmp_path / "whole", checkpoint="last", reopen=False).objective
    assert loaded.multiplier == whole.multiplier
    fitted(None, 2, objective=(unjudged := Constrained()), evaluate_every=2)
    assert unjudged.multiplier == whole.multiplier


def test_a_model_is_called_for_its_trace() -> None:
    model, x = tiny_model(), torch.ones(3, WIDTH)
    torch.manual_seed(0)
    expected = model.trace(x, samples=(2,)).log_likelihood(x)
    torch.manual_seed(0)
    assert torch.equal(
        torch.func.functional_call(model, dict(model.state_dict()), (x,), {"samples": (2,)}).log_likelihood(x), expected
    )

"""What holds where a run goes on: numbers of the optimiser that are given then; another model, schedule or group is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shell as command_line
import torch
from shell import LAST
from test_checkpoints import NEVER, StopAt
from tiny import LATENT, QUIET, WIDTH, fitted, same, tiny_data, tiny_model
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LinearLR, OneCycleLR, SequentialLR, StepLR

import vaekit as vk
from vaekit.errors import NonFiniteError, RunError
from vaekit.training import checkpoint
from vaekit.training.saving import weights


def group_of(run: Path) -> dict[str, Any]:
    """Return the options of the optimiser in a run's last checkpoint."""
    group: dict[str, Any] = checkpoint.load(run / LAST)["optimizer"]["param_groups"][0]
    return group


def test_numbers_of_the_optimiser_that_are_given_then_hold(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1, optimizer=partial(Adam, lr=1e-2, betas=(0.5, 0.9)))
    run = fitted(tmp_path / "run", 2, resume=True, optimizer=partial(Adam, lr=1e-4, weight_decay=0.1))
    assert run.history["train"]["learning_rate"][-1] == 1e-4
    group = group_of(tmp_path / "run")
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, [0.5, 0.9], 0.1)


def test_a_rate_that_a_schedule_moved_changes_in_the_same_ratio(tmp_path: Path) -> None:
    schedule = partial(ExponentialLR, gamma=0.5)
    fitted(tmp_path / "run", 2, schedule=schedule, optimizer=partial(SGD, lr=0.1))
    run = fitted(tmp_path / "run", 4, resume=True, schedule=schedule, optimizer=partial(SGD, lr=0.2))
    rates = dict(zip(run.history["train"]["epoch"], run.history["train"]["learning_rate"], strict=True))
    assert rates == pytest.approx({1: 0.1, 2: 0.05, 3: 0.05, 4: 0.025})


def warmed(optimizer: torch.optim.Optimizer) -> SequentialLR:
    """Warm up for two epochs, and then go down."""
    parts = [LinearLR(optimizer, start_factor=0.1, total_iters=2), ExponentialLR(optimizer, gamma=0.5)]
    return SequentialLR(optimizer, parts, milestones=[2])


def test_a_rate_of_several_schedules_changes_in_all_of_them(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1, schedule=warmed, optimizer=partial(SGD, lr=0.1))
    run = fitted(tmp_path / "run", 4, resume=True, schedule=warmed, optimizer=partial(SGD, lr=0.01))
    whole = fitted(tmp_path / "whole", 4, schedule=warmed, optimizer=partial(SGD, lr=0.01))
    found, expected = (
        dict(zip(r.history["train"]["epoch"], r.history["train"]["learning_rate"], strict=True)) for r in (run, whole)
    )
    assert [found[i] for i in (3, 4)] == pytest.approx([expected[i] for i in (3, 4)])


def test_a_schedule_that_sets_the_rate_by_itself_keeps_it(tmp_path: Path) -> None:
    schedule = partial(OneCycleLR, max_lr=0.1, total_steps=9)
    fitted(tmp_path / "run", 1, schedule=schedule, optimizer=partial(Adam, lr=0.01))
    with pytest.raises(RunError, match=r"`optimizer\.lr` has another value, but OneCycleLR sets the rate by itself"):
        fitted(tmp_path / "run", 2, resume=True, schedule=schedule, optimizer=partial(Adam, lr=0.02))
    fitted(tmp_path / "run", 2, resume=True, schedule=schedule, optimizer=partial(Adam, lr=0.01))


def test_a_rate_that_is_a_tensor_goes_on(tmp_path: Path) -> None:
    found = []
    for name, epochs in {"whole": [4], "halves": [2, 4]}.items():
        for until in epochs:
            run = fitted(
                tmp_path / name,
                until,
                resume=(tmp_path / name).exists(),
                schedule=partial(ExponentialLR, gamma=0.5),
                optimizer=partial(Adam, lr=torch.tensor(1e-2), fused=False),
            )
        found.append(run.history["train"]["learning_rate"])
    assert found[0] == found[1]


def test_a_momentum_that_was_none_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1, optimizer=RMSprop)
    with pytest.raises(RunError, match=r"`optimizer\.momentum` was 0"):
        fitted(tmp_path / "run", 2, resume=True, optimizer=partial(RMSprop, momentum=0.9))


class Makes:
    """An object that makes a schedule."""

    def __call__(self, optimizer: torch.optim.Optimizer) -> StepLR:
        return StepLR(optimizer, 1)


def test_a_schedule_made_by_an_object_goes_on(tmp_path: Path) -> None:
    fitted(None, 1, schedule=Makes())
    fitted(tmp_path / "run", 1, schedule=Makes())
    run = fitted(tmp_path / "run", 3, resume=True, schedule=Makes())
    assert run.history["train"]["learning_rate"][-1] == pytest.approx(1e-5)


def test_a_run_with_a_schedule_goes_on_from_python_and_from_the_command_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 3)))
    schedule = ("--schedule=ExponentialLR", "--schedule.gamma=0.5")
    command_line.fitted(tmp_path / "run", f"--data={tmp_path / 'x.npy'}", *schedule)
    run = vk.load(tmp_path / "run")
    again = {"schedule": partial(ExponentialLR, gamma=0.5), "epochs": 2, "progress": False, "tensorboard": False}
    vk.fit(run.model, run.objective, run.data, run=tmp_path / "run", resume=True, batch_size=16, **again)  # type: ignore[arg-type]
    command_line.done("fit", "--resume", tmp_path / "run", "--epochs=3", "--samples=0")
    assert vk.load(tmp_path / "run").history["train"]["epoch"][-1] == 3


def test_rates_of_groups_of_their_own_change_in_the_same_ratio(tmp_path: Path) -> None:
    def two(parameters: list[Any], lr: float) -> Adam:
        return Adam([{"params": parameters[:2]}, {"params": parameters[2:], "lr": lr / 4}], lr=lr)

    fitted(tmp_path / "run", 1, optimizer=partial(two, lr=0.1))
    fitted(tmp_path / "run", 2, resume=True, optimizer=partial(two, lr=0.2))
    groups = checkpoint.load(tmp_path / "run" / LAST)["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([0.2, 0.05])


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "optimiser": ({}, {"optimizer": SGD}, r"`optimizer` is SGD\(\), and .* was written by Adam\(\)"),
    "switch": (
        {},
        {"optimizer": partial(Adam, amsgrad=True)},
        r"is Adam\(amsgrad=True\), and .* by Adam\(amsgrad=False\)",
    ),
    "schedule": ({}, {"schedule": partial(StepLR, step_size=2)}, r"`schedule` is StepLR\(\), and .* written by none"),
    "no schedule": ({"schedule": partial(StepLR, step_size=2)}, {}, r"`schedule` is none, and .* by StepLR\(\)"),
    "option of the schedule": (
        {"schedule": partial(StepLR, step_size=2)},
        {"schedule": partial(StepLR, step_size=3)},
        r"`schedule` is StepLR\(step_size=3\), and .* by StepLR\(step_size=2\)",
    ),
    "model": (
        {"likelihood": vk.likelihoods.Normal(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH, scale=0.5)},
        {"likelihood": vk.likelihoods.Normal(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH, scale=5.0)},
        r"`model` is another one .*: likelihood\.scale\.value was 0\.5 and is 5\.0\. Give a model like that",
    ),
}


def fit(folder: Path, epochs: int, resume: bool = False, **chosen: Any) -> vk.Run:
    """Fit a model with other parts or settings."""
    parts = {name: chosen.pop(name) for name in ("likelihood",) if name in chosen}
    return vk.fit(tiny_model(**parts), None, tiny_data(), run=folder, epochs=epochs, resume=resume, **QUIET, **chosen)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_would_be_another_run_is_refused_and_leaves_this_one(kind: str, tmp_path: Path) -> None:
    first, other, message = OTHERS[kind]
    fit(tmp_path / "run", 1, **first)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=message):
        fit(tmp_path / "run", 2, resume=True, **other)
    assert {path: path.read_bytes() for path in before} == before
    fit(tmp_path / "run", 2, resume=True, **first)


def test_a_schedule_by_a_function_of_no_name_is_fitted_and_goes_on(tmp_path: Path) -> None:
    schedule = partial(LambdaLR, lr_lambda=lambda epoch: 0.5**epoch)
    fitted(tmp_path / "run", 1, schedule=schedule)
    run = fitted(tmp_path / "run", 3, resume=True, schedule=schedule)
    assert run.history["train"]["learning_rate"][-1] == pytest.approx(1e-3 / 4)
    assert "schedule: not kept. A configuration cannot name" in (tmp_path / "run" / "config.yaml").read_text()


def test_other_groups_of_batches_within_an_epoch_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 2, objective=StopAt(1, 15), accumulate=1)
    with pytest.raises(RunError, match=r"epoch of 4, 1 a step; an epoch would now have 4, 2 a step\. Resume with the"):
        fitted(tmp_path / "run", 2, resume=True, objective=StopAt(NEVER, 0), accumulate=2)


class Dies(vk.objectives.Objective):
    """Ends the process, if at all, in its first step, of which no handler hears."""

    def __init__(self, dies: bool) -> None:
        self.dies = dies

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        if self.dies:
            raise KeyboardInterrupt
        return vk.objectives.ELBO()(model, x, *context)


@pytest.mark.parametrize("before", [None, 0.9])
def test_an_average_begins_where_a_run_has_none_yet(before: float | None, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run", 1, objective=Dies(True), ema=before)
    assert not checkpoint.load(tmp_path / "run" / LAST)["average"]
    fitted(tmp_path / "run", 2, resume=True, objective=Dies(False), ema=0.9)
    fitted(tmp_path / "whole", 2, objective=Dies(False), ema=0.9)
    assert same(*(checkpoint.load(tmp_path / name / LAST)["average"] for name in ("run", "whole")))


class Holds(nn.Module):
    """A prior that holds the posterior's network too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.prior = network, vk.priors.StandardNormal(LATENT)

    def forward(self) -> Distribution:
        law: Distribution = self.prior()
        return law


def test_weights_that_parts_share_are_averaged_under_each_name(tmp_path: Path) -> None:
    def model() -> vk.VAE:
        torch.manual_seed(0)
        shared = vk.networks.MLP(WIDTH, 5, 2 * LATENT)
        return tiny_model(prior=Holds(shared), posterior=vk.posteriors.DiagonalNormal(shared))

    run = vk.fit(model(), data=tiny_data(), run=tmp_path / "run", epochs=2, ema=0.9, keep_best=0, **QUIET)
    kept = weights(checkpoint.load(tmp_path / "run" / LAST))
    assert same(kept, dict(run.model.state_dict()))
    loaded = vk.load(tmp_path / "run", data=run.data)
    assert same(dict(loaded.model.state_dict()), dict(run.model.state_dict()))


@pytest.mark.parametrize("clip", [None, 0.1])
def test_gradients_that_were_there_before_take_no_part(clip: float | None) -> None:
    found = []
    for stale in (False, True):
        torch.manual_seed(0)
        model = tiny_model()
        if stale:
            torch.manual_seed(1)
            vk.objectives.ELBO()(model, torch.full((2, WIDTH), 1.0)).loss.mul(np.inf).backward()
        vk.fit(model, data=tiny_data(), epochs=1, clip=clip, **QUIET)
        found.append(dict(model.state_dict()))
    assert same(*found)


def test_a_model_is_fitted_after_a_fit_that_failed() -> None:
    model = tiny_model()
    with pytest.raises(NonFiniteError):
        vk.fit(model, data=tiny_data(), epochs=1, optimizer=partial(SGD, lr=1e30), **QUIET)
    model.load_state_dict(tiny_model().state_dict())
    vk.fit(model, data=tiny_data(), epochs=1, **QUIET)

"""The training loop: its steps and their record, settings, and refusing what is not finite."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators.cuda import CUDAAccelerator
from lightning_fabric.accelerators.mps import MPSAccelerator
from lightning_fabric.plugins.precision.amp import MixedPrecision
from painting import painting, without_mean
from shell import LAST
from tiny import LATENT, QUIET, WIDTH, fitted, same, tiny_data, tiny_model
from torch import Tensor, nn
from torch.distributions import Independent, Normal

import vaekit as vk
from vaekit.errors import ConfigError, NonFiniteError
from vaekit.fitting import make_settings
from vaekit.objectives import ELBO, IWAE, L2, Exponential, Linear
from vaekit.training import InverseTimeLR, Settings, Trainer, checkpoint
from vaekit.training.average import WeightAverage
from vaekit.training.recorder import read_table

SGD = torch.optim.SGD


class Shifting(nn.Module):
    """A prior N(loc, I) whose place is learned."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent, self.loc = latent, nn.Parameter(torch.zeros(latent))

    def forward(self) -> Independent[Normal]:
        return Independent(Normal(self.loc, 1.0), 1)


class Poisoned(vk.objectives.Objective):
    """Turns not finite at a step, in a term of its own choice."""

    def __init__(self, step: int, rate: float, distortion: float) -> None:
        self.step, self.rate, self.distortion = step, rate, distortion

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        terms = ELBO()(model, x, *context)
        if not model.training or model.step < self.step:
            return terms
        rates, distortion = terms.rates * self.rate, terms.distortion * self.distortion
        loss = (rates.sum(-1) + distortion).mean()
        return vk.objectives.Terms(loss, -loss, distortion, rates, terms.trace, True)


@pytest.mark.parametrize(
    ("rate", "distortion", "term"), [(math.nan, 1.0, "rate is nan"), (1.0, math.inf, "distortion is inf")]
)
def test_what_is_not_finite_stops_with_step_term_and_parameter(
    tmp_path: Path, rate: float, distortion: float, term: str
) -> None:
    with pytest.raises(NonFiniteError, match=f"Step 7: the {term}.*gradient of posterior.network") as error:
        fitted(tmp_path / "run", 4, objective=Poisoned(6, rate, distortion))
    assert str(tmp_path / "run" / LAST) in str(error.value)
    weights = checkpoint.load(tmp_path / "run" / LAST)["model"]
    assert all(w.isfinite().all() for w in weights.values())


def exploding(optimizer: torch.optim.Optimizer, step: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Make a schedule whose rate is infinite in one step."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: math.inf if t == step - 1 else 1.0)


@pytest.mark.parametrize(
    ("step", "settings"), [(1, {"save_minutes": 0}), (4, {"batch_size": 14}), (1, {"batch_size": 56})]
)
def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, step: int, settings: dict[str, Any]) -> None:
    chosen = {"optimizer": partial(SGD, lr=1e-3), "schedule": partial(exploding, step=step), "schedule_per_step": True}
    with pytest.raises(NonFiniteError, match=f"By step {step}: an update of the weights is not finite"):
        fitted(tmp_path / "run", 2, **chosen, **settings)
    weights = checkpoint.load(tmp_path / "run" / LAST)["model"]
    assert all(w.isfinite().all() for w in weights.values())


def test_the_average_follows_its_formula() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.75)
    values = [1.0, 5.0, -3.0]
    for value in values:
        nn.init.constant_(layer.weight, value)
        average.update()
    assert average.averages[0].item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 5) + 0.25 * -3)


@pytest.mark.parametrize("rows", [80, 60, 66, 75])
def test_accumulated_batches_make_the_step_of_one_large_batch(rows: int) -> None:
    def weights(**settings: Any) -> list[Tensor]:
        torch.manual_seed(1)
        model = tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(6, 5, 2)))
        vk.fit(model, ELBO(), tiny_data(rows), epochs=2, optimizer=partial(SGD, lr=0.1), **{**QUIET, **settings})
        return [p.detach() for p in model.parameters()]

    small, large = weights(batch_size=16, accumulate=2), weights(batch_size=32, accumulate=1)
    torch.testing.assert_close(small, large)


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_the_weights_move_by_the_recorded_gradient_or_by_what_it_is_clipped_to(
    tmp_path: Path, clip: float | None
) -> None:
    model = tiny_model()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    settings = {**QUIET, "batch_size": 64, "clip": clip, "optimizer": partial(SGD, lr=1.0), "keep_best": 0}
    run = vk.fit(model, ELBO(), tiny_data(), run=tmp_path / "run", epochs=1, **settings)
    moved = (torch.cat([p.detach().flatten() for p in model.parameters()]) - before).norm().item()
    (norm,) = run.history["train"]["gradient_norm"]
    assert norm > 1e-2
    assert moved == pytest.approx(clip or norm, rel=1e-3)


def test_the_schedule_sets_the_recorded_learning_rate(tmp_path: Path) -> None:
    schedule = partial(InverseTimeLR, rate=1.0)
    run = fitted(tmp_path / "run", 2, schedule=schedule, schedule_per_step=True, log_every=1)
    rates = run.history["train"]["learning_rate"]
    assert rates == pytest.approx([1e-3 / (1 + t) for t in range(1, 9)])


def test_a_schedule_by_epoch_changes_after_each_epoch(tmp_path: Path) -> None:
    halving = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    run = fitted(tmp_path / "run", 3, schedule=halving, log_every=2)
    assert run.history["train"]["learning_rate"] == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])


def test_reports_and_evaluations_come_at_their_time(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 4, accumulate=2, log_every=2, evaluate_every=2, test_every=3)
    assert run.history["train"]["step"] == [2, 4, 6, 8]
    assert [run.history[split]["epoch"] for split in ("validation", "test")] == [[2, 4], [3]]


def test_annealed_quantities_are_recorded_and_count_training_steps_only(tmp_path: Path) -> None:
    posterior = vk.posteriors.Concrete(vk.networks.MLP(6, 4), categories=2, temperature=Exponential(1.0, 0.25, steps=4))
    parts = {"prior": vk.priors.UniformCategorical(4, 2), "posterior": posterior}
    parts["likelihood"] = vk.likelihoods.Bernoulli(vk.networks.MLP(4, 6), 6)
    objective = ELBO(beta=Linear(steps=8))
    run = vk.fit(
        tiny_model(**parts), objective, tiny_data(), run=tmp_path / "run", epochs=2, **{**QUIET, "log_every": 1}
    )
    train, judged = run.history["train"], run.history["validation"]
    assert train["temperature"] == pytest.approx([max(0.25, 0.25 ** (t / 4)) for t in range(1, 9)])
    assert train["beta"] == pytest.approx([t / 8 for t in range(8)])
    assert judged["beta"] == [1.0, 1.0]


def test_terms_add_up_in_the_record(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 2, objective=L2(ELBO(beta=2.0), weight=0.1))
    for columns in run.history.values():
        for loss, bound, distortion, rate, l2 in zip(
            *(columns[name] for name in ("loss", "bound", "distortion", "rate", "l2")), strict=True
        ):
            assert loss == pytest.approx(distortion + 2 * rate + l2, rel=1e-5)
            assert bound == pytest.approx(-distortion - rate, rel=1e-5)


def test_rates_of_latents_add_up_to_the_rate(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 2)
    for split in ("train", "validation"):
        latents = [sum(row) for row in zip(run.rates[split]["latent_0"], run.rates[split]["latent_1"], strict=True)]
        assert latents == pytest.approx(run.history[split]["rate"])


def test_every_step_is_kept_with_the_statistics_of_the_posterior(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 2, every_step=True)
    lines = (tmp_path / "run" / "steps.csv").read_text().splitlines()
    columns = "step,loss,bound,distortion,rate,beta,posterior_mean,posterior_mean_std,posterior_log_variance"
    assert lines[0] == columns
    assert [line.split(",")[0] for line in lines[1:]] == [str(step) for step in range(1, 9)]


def test_training_and_evaluation_are_one_quantity() -> None:
    model, data = tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(6, 5, 2))), tiny_data()
    trainer = Trainer(model, ELBO(), data, Settings(**QUIET), None)
    judged = trainer.judge("train").values["loss"]
    (x,) = next(data.batches("train", 1000))
    assert judged == pytest.approx(ELBO()(model, x).loss.item(), rel=1e-6)


def test_an_evaluation_leaves_training_as_it_was() -> None:
    runs = [fitted(None, 3, evaluate_every=every, figures_every=every) for every in (1, 4)]
    assert same(*(dict(run.model.state_dict()) for run in runs))


def test_pictures_of_a_posterior_without_a_mean_are_taken_and_its_run_is_reported(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2, (60, 1, 2, 2)).astype(np.uint8)
    model = without_mean(painting(log_scale=-1.0, prior=Shifting))
    run = vk.fit(model, data=vk.data.open(x), run=tmp_path / "run", epochs=2, figures_every=1, **QUIET)
    names = {path.name for path in run.figures(limit=9)}
    assert {"reconstructions.png", "traversals.png", "codes-pca.png"} <= names
    taken = {f"{name}-epoch000{epoch}.png" for name in ("reconstructions", "samples") for epoch in (1, 2)}
    assert taken | names <= {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert "does not know its mean" in run.report(samples=2, limit=9).read_text(encoding="utf-8")


def test_an_evaluation_is_without_dropout_and_training_with_it() -> None:
    encoder = nn.Sequential(nn.Dropout(), vk.networks.MLP(WIDTH, 5, LATENT))
    model, data = tiny_model(posterior=vk.posteriors.Delta(encoder)), tiny_data()
    judged = Trainer(model, ELBO(), data, Settings(**QUIET), None).judge("train").values["loss"]
    assert model.training
    assert encoder.training
    (x,) = next(data.batches("train", 1000))
    assert judged == pytest.approx(ELBO()(model.eval(), x).loss.item(), rel=1e-6)


class Drawn(vk.objectives.Objective):
    """Keeps the latents that are drawn."""

    def __init__(self) -> None:
        self.latents: list[Tensor] = []

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        terms = ELBO()(model, x, *context)
        self.latents.append(terms.trace.z)
        return terms


def test_the_noise_of_an_evaluation_is_the_same_each_time_and_another_in_each_batch() -> None:
    model, drawn, data = tiny_model(), Drawn(), vk.data.open(np.ones((40, WIDTH), np.uint8))
    trainer = Trainer(model, drawn, data, Settings(**{**QUIET, "batch_size": 2}), None)
    for _ in range(2):
        trainer.judge("test")
        model.advance()
    first, second = drawn.latents[:2], drawn.latents[2:]
    assert same(first, second)
    assert not torch.equal(first[0], first[1])
    assert not any(z.requires_grad for z in first)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3)])
@pytest.mark.parametrize("sizes", [(7, 3), (5, 64)])
def test_an_evaluation_is_a_mean_over_examples(objective: Any, sizes: tuple[int, int]) -> None:
    model = tiny_model(posterior=ExactZero(vk.networks.MLP(6, 5, 4)))
    losses = [
        Trainer(model, objective, tiny_data(), Settings(**{**QUIET, "batch_size": s}), None).judge("test")
        for s in sizes
    ]
    assert losses[0].values["loss"] == pytest.approx(losses[1].values["loss"], rel=1e-6)


class ExactZero(vk.Conditional):
    """A posterior so narrow that noise does not show."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> vk.distributions.DiagonalNormal:
        loc = self.network(*given)[:, :2]
        return vk.distributions.DiagonalNormal(loc, torch.full_like(loc, -30.0), validate_args=self.validate_args)


def test_fitting_leaves_the_callers_random_state_alone() -> None:
    model, data, before = tiny_model(), tiny_data(), torch.get_rng_state()
    vk.fit(model, ELBO(), data, epochs=1, **QUIET)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seeds", [(3, 3, True), (3, 4, False)])
def test_a_run_is_a_function_of_its_seed(seeds: tuple[int, int, bool]) -> None:
    *chosen, equal = seeds
    found = [dict(fitted(None, 2, seed=seed).model.state_dict()) for seed in chosen]
    assert same(*found) == equal


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"epoch": 3}, "`epoch` is not a setting of the training loop"),
    "no epochs": ({"epochs": 0}, "`epochs` is 0; it must be a whole number, at least 1"),
    "clip": ({"clip": -1.0}, "`clip` is -1.0"),
    "ema": ({"ema": 1.0}, "`ema` is 1.0"),
    "patience": ({"patience": 0}, "`patience` is 0"),
    "half a patience": ({"patience": 2.5}, "`patience` is 2.5; it must be a whole number, at least 1"),
    "a clip without end": ({"clip": float("inf")}, "`clip` is inf; it must be a finite number, above 0, or None"),
    "a seed in words": ({"seed": "a"}, "`seed` is 'a'; it must be a whole number from 0"),
    "half a checkpoint": ({"keep_best": 0.5}, "`keep_best` is 0.5; it must be a whole number, at least 0"),
    "a schedule that must measure": (
        {"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau},
        "`schedule` is ReduceLROnPlateau, which needs a measured value at each step; choose one that does not",
    ),
    "half an epoch": ({"epochs": 1.5}, "`epochs` is 1.5; it must be a whole number"),
    "an optimiser": (
        {"optimizer": SGD([torch.zeros(1)], lr=1.0)},
        "`optimizer` is a SGD object; it must be what makes",
    ),
    "the name of an optimiser": (
        {"optimizer": "Adam"},
        "`optimizer` is a str object; .*torch.optim.Adam, or functools",
    ),
    "the schedule of a weight": ({"schedule": Linear(steps=2)}, "`schedule` is a Linear object; .*CosineAnnealingLR"),
    "precision": (
        {"precision": "bf16-true"},
        "`precision` is 'bf16-true'; it must be one of 32-true, bf16-mixed, 16-mixed",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_without_meaning_are_refused(name: str) -> None:
    settings, message = BAD[name]
    with pytest.raises(ConfigError, match=message):
        make_settings(settings)


@pytest.mark.parametrize("name", ["accelerator", "strategy"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Lightning Fabric refuses .*'nowhere'"):
        fitted(None, 1, **{name: "nowhere"})


@pytest.mark.parametrize("name", ["cuda", "mps", "gpu"])
def test_a_kind_of_device_that_is_not_there_is_refused_in_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(kind, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"^`accelerator` is '{name}', and this machine has no such device"):
        fitted(None, 1, accelerator=name)


def test_only_chosen_settings_are_named_in_a_refusal() -> None:
    with pytest.raises(ConfigError, match=r"^Lightning Fabric refuses `nodes` 2, `strategy` 'nowhere': "):
        fitted(None, 1, strategy="nowhere", nodes=2)


def test_mixed_precision_is_close_to_single_precision(tmp_path: Path) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        run = fitted(tmp_path / precision, 2, precision=precision)
        losses.append(run.history["validation"]["loss"][-1])
        assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[0] != losses[1]


def halved(scale: float, folder: Path | None = None, resume: bool = False, **settings: Any) -> Trainer:
    """Train for an epoch in half precision on a processor, the loss scaled; the scale doubles after three steps."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
    torch.manual_seed(1)
    chosen = Settings(**{**QUIET, "log_every": 1, "epochs": 1, **settings})
    trainer = Trainer(tiny_model(), ELBO(), tiny_data(), chosen, folder, resume, fabric=fabric)
    trainer.run()
    return trainer


def test_the_recorded_gradient_is_not_that_of_the_scaled_loss(tmp_path: Path) -> None:
    norms = []
    for scale in (1.0, 1024.0):
        halved(scale, tmp_path / f"{scale}")
        norms.append(read_table(tmp_path / f"{scale}" / "metrics.csv")["train"]["gradient_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=0.01)


def test_the_gradient_of_a_scaled_loss_is_clipped_as_any() -> None:
    before = torch.cat([p.detach().flatten() for p in halved(1024.0, optimizer=partial(SGD, lr=0.0)).step.parameters])
    trainer = halved(1024.0, clip=1e-2, batch_size=64, optimizer=partial(SGD, lr=1.0))
    moved = torch.cat([p.detach().flatten() for p in trainer.step.parameters]) - before
    assert moved.norm().item() == pytest.approx(1e-2, rel=0.01)


def test_the_scale_of_the_loss_is_resumed(tmp_path: Path) -> None:
    for scale, resume in ((1024.0, False), (1.0, True)):
        scaler = halved(scale, tmp_path / "run", resume).step.scaler
        assert scaler is not None
        assert scaler.get_scale() == 2048.0


@pytest.mark.slow
def test_a_compiled_model_takes_the_same_steps() -> None:
    def weights(compile: bool) -> list[Tensor]:
        torch.manual_seed(1)
        model = tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(6, 5, 2)))
        vk.fit(model, ELBO(), tiny_data(), epochs=2, compile=compile, **QUIET)
        return [p.detach() for p in model.parameters()]

    torch.testing.assert_close(weights(True), weights(False), rtol=1e-4, atol=1e-5)


def test_what_does_not_train_imports_no_lightning() -> None:
    program = "import sys, vaekit; vaekit.load, vaekit.training.Settings; print('lightning_fabric' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )

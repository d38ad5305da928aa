"""The training loop: exact resumption, what is kept and recorded, stopping, and refusing what is not finite."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import QUIET, tiny_data, tiny_model
from torch import Tensor, nn

import vaekit as vk
from vaekit.cli import main
from vaekit.errors import ConfigError, NonFiniteError, RunError
from vaekit.objectives import ELBO, IWAE, L2, Exponential, Linear
from vaekit.run import make_settings
from vaekit.training import InverseTimeLR, Settings, Trainer, checkpoint
from vaekit.training.average import WeightAverage
from vaekit.training.stop import Stop

LAST = Path("checkpoints/last.safetensors")
Adam, SGD = torch.optim.Adam, torch.optim.SGD

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum, schedule by step": {
        "optimizer": partial(SGD, lr=0.01, momentum=0.9),
        "schedule": InverseTimeLR,
        "schedule_per_step": True,
    },
    "schedule by epoch, average, clip": {
        "schedule": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
        "ema": 0.9,
        "clip": 0.5,
    },
    "accumulation, statistics": {"accumulate": 2, "every_step": True},
}


def fitted(run: Path | None, epochs: int, resume: bool = False, objective: Any = None, **settings: Any) -> vk.Run:
    torch.manual_seed(1)
    objective = objective or ELBO(beta=Linear(steps=10))
    return vk.fit(tiny_model(), objective, tiny_data(), run=run, resume=resume, epochs=epochs, **{**QUIET, **settings})


def same(a: Any, b: Any) -> bool:
    """Compare checkpoints bit by bit."""
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list) else bool(a == b)


def tables(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.csv"))}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_gives_the_bits_of_the_uninterrupted_run(tmp_path: Path, variant: str) -> None:
    fitted(tmp_path / "whole", 4, **VARIANTS[variant])
    fitted(tmp_path / "halves", 2, **VARIANTS[variant])
    fitted(tmp_path / "halves", 4, resume=True, **VARIANTS[variant])
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "halves")))
    assert tables(tmp_path / "whole") == tables(tmp_path / "halves")


class StopAt(vk.objectives.Objective):
    """Sends a signal to its own process at a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        if model.training and model.step == self.step:
            os.kill(os.getpid(), self.number)
        return ELBO()(model, x, *context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 5])
def test_a_signal_leaves_a_run_that_resumes_exactly(tmp_path: Path, number: int, step: int) -> None:
    fitted(tmp_path / "whole", 3, objective=ELBO())
    stopped = fitted(tmp_path / "stopped", 3, objective=StopAt(step, number))
    assert stopped.progress is not None
    assert stopped.progress.interrupted == number
    assert checkpoint.load(tmp_path / "stopped" / LAST)["model"]["step"] == step + 1
    fitted(tmp_path / "stopped", 3, resume=True, objective=ELBO())
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "stopped")))
    assert tables(tmp_path / "whole") == tables(tmp_path / "stopped")


def test_rows_written_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 2)
    before = tables(tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open("a") as file:
        file.write("999,9,train,0,0,0,0,0,0,0\n")
    fitted(tmp_path / "run", 2, resume=True)
    assert tables(tmp_path / "run") == before


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C raise, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_a_second_signal_acts_at_once() -> None:
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


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


class Validates(vk.objectives.Objective):
    """Gives the validation losses of a script, one an evaluation."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        terms = ELBO()(model, x, *context)
        if model.training:
            return terms
        epoch = int(model.step) // 4 - 1
        loss = torch.tensor(self.losses[epoch])
        return vk.objectives.Terms(loss, terms.bound, terms.distortion, terms.rates, terms.trace, True)


@pytest.mark.parametrize(
    ("losses", "keep", "epochs"),
    [
        ([5.0, 3.0, 4.0, 2.5], 1, [4]),
        ([5.0, 3.0, 4.0, 2.5], 2, [4, 2]),
        ([math.nan, 1e12, math.nan, math.inf], 1, [2]),
        ([-5.0, -3.0, -9.0, -9.0], 2, [3, 4]),
        ([5.0, 3.0, 4.0, 2.5], 0, []),
    ],
)
def test_the_best_checkpoints_are_kept(tmp_path: Path, losses: list[float], keep: int, epochs: list[int]) -> None:
    run = fitted(tmp_path / "run", 4, objective=Validates(losses), keep_best=keep)
    names = [f"best-epoch{epoch:04d}.safetensors" for epoch in epochs]
    assert run.progress is not None
    assert [name for _, name in run.progress.best] == names
    assert {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()} == {"last.safetensors", *names}


def test_patience_stops_and_the_best_weights_come_back(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 4, objective=Validates([5.0, 3.0, 4.0, 2.5]), patience=1)
    assert run.progress is not None
    assert run.progress.finished
    assert run.progress.epoch == 3
    best = checkpoint.load(tmp_path / "run/checkpoints/best-epoch0002.safetensors")["model"]
    assert same(dict(run.model.state_dict()), best)


def test_the_average_is_what_is_evaluated_and_returned(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 2, ema=0.5, keep_best=0)
    saved = checkpoint.load(tmp_path / "run" / LAST)
    assert same([p.detach() for p in run.model.parameters()], saved["average"])
    assert not same(saved["average"], [saved["model"][name] for name in saved["parameters"]])
    assert same(dict(vk.load(tmp_path / "run", checkpoint="last").model.state_dict()), dict(run.model.state_dict()))


def test_the_average_follows_its_formula() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.75)
    values = [1.0, 5.0, -3.0]
    for value in values:
        nn.init.constant_(layer.weight, value)
        average.update()
    assert average.averages[0].item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 5) + 0.25 * -3)


def test_accumulated_batches_make_the_step_of_one_large_batch() -> None:
    def weights(**settings: Any) -> list[Tensor]:
        torch.manual_seed(1)
        model = tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(6, 5, 2)))
        vk.fit(model, ELBO(), tiny_data(80), epochs=2, optimizer=partial(SGD, lr=0.1), **{**QUIET, **settings})
        return [p.detach() for p in model.parameters()]

    small, large = weights(batch_size=16, accumulate=2), weights(batch_size=32, accumulate=1)
    torch.testing.assert_close(small, large)


def test_the_clipped_gradient_moves_the_weights_by_no_more_than_its_norm() -> None:
    model = tiny_model()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    vk.fit(
        model, ELBO(), tiny_data(), epochs=1, clip=1e-3, optimizer=partial(SGD, lr=1.0), **{**QUIET, "batch_size": 64}
    )
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_the_schedule_sets_the_recorded_learning_rate(tmp_path: Path) -> None:
    schedule = partial(InverseTimeLR, rate=1.0)
    run = fitted(tmp_path / "run", 2, schedule=schedule, schedule_per_step=True, log_every=1)
    rates = run.history["train"]["learning_rate"]
    assert rates == pytest.approx([1e-3 / (1 + t) for t in range(1, 9)])


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


def test_mixed_precision_is_close_to_single_precision(tmp_path: Path) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        run = fitted(tmp_path / precision, 2, precision=precision)
        losses.append(run.history["validation"]["loss"][-1])
        assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_compiled_model_takes_the_same_steps() -> None:
    def weights(compile: bool) -> list[Tensor]:
        torch.manual_seed(1)
        model = tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(6, 5, 2)))
        vk.fit(model, ELBO(), tiny_data(), epochs=2, compile=compile, **QUIET)
        return [p.detach() for p in model.parameters()]

    torch.testing.assert_close(weights(True), weights(False), rtol=1e-4, atol=1e-5)


def test_another_run_is_not_written_over(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1)
    with pytest.raises(RunError, match=r"is not empty\. Resume the run in it"):
        fitted(tmp_path / "run", 1)


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run to resume"):
        fitted(tmp_path / "nothing", 1, resume=True)


def test_resuming_with_another_model_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1)
    other = tiny_model(posterior=vk.posteriors.DiagonalNormal(vk.networks.MLP(6, 9, 4)))
    with pytest.raises(RunError, match="was written by another model or optimiser"):
        vk.fit(other, ELBO(), tiny_data(), run=tmp_path / "run", resume=True, epochs=2, **QUIET)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    fitted(tmp_path / "run", 1)
    return tmp_path / "run"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "a pickle": lambda content: b"\x80\x04K\x01.",
    "a header that is no JSON": lambda content: content[:8] + b"x" * (len(content) - 8),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused(saved: Path, damage: str) -> None:
    path = saved / LAST
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(RunError, match="is damaged or not a checkpoint of vaekit"):
        vk.load(saved, checkpoint="last")


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "absent.safetensors"])
def test_a_checkpoint_outside_the_run_is_refused(saved: Path, name: str) -> None:
    with pytest.raises(RunError):
        vk.load(saved, checkpoint=name)


def test_a_full_disk_leaves_the_old_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (saved / LAST).read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RunError, match="No space left on device"):
        fitted(saved, 2, resume=True)
    assert (saved / LAST).read_bytes() == before
    assert not list((saved / "checkpoints").glob(".*"))


def test_a_checkpoint_is_a_tree_that_comes_back(tmp_path: Path) -> None:
    tree = {"a": [torch.arange(3), {"b": torch.tensor(2.0)}], 0: {"c": [0.1, math.inf, None, "x", True]}}
    assert same(checkpoint.load(checkpoint.save(tmp_path / "tree.safetensors", tree)), tree)


def test_a_checkpoint_refuses_what_would_need_a_pickle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot hold `a` of type object"):
        checkpoint.save(tmp_path / "x.safetensors", {"a": object()})


def test_a_run_fitted_in_python_is_resumed_from_the_command_line(tmp_path: Path) -> None:
    data = tmp_path / "rows.npy"
    np.save(data, tiny_data().train.x)
    vk.fit(tiny_model(), ELBO(), data, run=tmp_path / "run", epochs=1, **QUIET)
    assert main(["fit", "--resume", str(tmp_path / "run"), "--epochs", "2", "--samples", "0"]) == 0
    assert checkpoint.load(tmp_path / "run" / LAST)["progress"]["epoch"] == 2

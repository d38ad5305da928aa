"""Checkpoints: exact resumption, which ones are kept, and refusing what is damaged or another's."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from shell import LAST
from tiny import LATENT, QUIET, fitted, same, tiny_data, tiny_model
from torch import Tensor

import vaekit as vk
from vaekit.cli import main
from vaekit.errors import ConfigError, RunError
from vaekit.objectives import ELBO
from vaekit.training import InverseTimeLR, Settings, Trainer, checkpoint, saving
from vaekit.training.stop import Stop

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum, schedule by step": {
        "optimizer": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
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


def tables(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.csv"))}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_gives_the_bits_of_the_uninterrupted_run(tmp_path: Path, variant: str) -> None:
    fitted(tmp_path / "whole", 4, **VARIANTS[variant])
    fitted(tmp_path / "halves", 2, **VARIANTS[variant])
    fitted(tmp_path / "halves", 4, resume=True, **VARIANTS[variant])
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "halves")))
    assert tables(tmp_path / "whole") == tables(tmp_path / "halves")


NEVER = -1


class StopAt(vk.objectives.Objective):
    """Sends a signal to its own process, once, at a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number, self.sent = step, number, False

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        if model.training and model.step == self.step and not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.number)
        return ELBO()(model, x, *context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("step", "accumulate"), [(1, 1), (5, 1), (2, 2)])
def test_a_signal_leaves_a_run_that_resumes_exactly(tmp_path: Path, number: int, step: int, accumulate: int) -> None:
    fitted(tmp_path / "whole", 3, objective=ELBO(), accumulate=accumulate)
    stopped = fitted(tmp_path / "stopped", 3, objective=StopAt(step, number), accumulate=accumulate)
    assert stopped.progress is not None
    assert stopped.progress.interrupted == number
    assert checkpoint.load(tmp_path / "stopped" / LAST)["model"]["step"] == step + 1
    fitted(tmp_path / "stopped", 3, resume=True, objective=StopAt(NEVER, number), accumulate=accumulate)
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "stopped")))
    assert tables(tmp_path / "whole") == tables(tmp_path / "stopped")


class KilledInValidation(vk.objectives.Objective):
    """Fails, if at all, as soon as an epoch is over."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        if self.fails and not model.training:
            raise RuntimeError("killed")
        return ELBO()(model, x, *context)


def test_a_run_killed_between_its_last_batch_and_the_judgement_resumes_exactly(tmp_path: Path) -> None:
    fitted(tmp_path / "whole", 2, objective=ELBO())
    with pytest.raises(RuntimeError, match="killed"):
        fitted(tmp_path / "killed", 2, objective=KilledInValidation(True), save_minutes=0)
    assert checkpoint.load(tmp_path / "killed" / LAST)["progress"]["batch"] == 4
    fitted(tmp_path / "killed", 2, resume=True, objective=KilledInValidation(False))
    assert same(*(checkpoint.load(tmp_path / name / LAST) for name in ("whole", "killed")))
    assert tables(tmp_path / "whole") == tables(tmp_path / "killed")


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
        ([3.0, 3.0, 4.0, 3.0], 1, [1]),
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


@pytest.mark.parametrize("stop", [None, 2, 3])
def test_patience_counts_evaluations_since_the_best_also_across_a_resume(tmp_path: Path, stop: int | None) -> None:
    settings: dict[str, Any] = {"objective": Validates([5.0, 3.0, 4.0, 3.5, 9.0]), "patience": 2}
    if stop is not None:
        fitted(tmp_path / "run", stop, **settings)
    run = fitted(tmp_path / "run", 5, resume=stop is not None, **settings)
    assert run.progress is not None
    assert (run.progress.epoch, run.progress.finished) == (4, True)


def test_a_kill_while_the_best_changes_leaves_what_the_run_resumes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, objective = checkpoint.save, Validates([5.0, 3.0])

    def killed(path: Path, tree: Any) -> Path:
        if path.name == "last.safetensors" and tree["model"]["step"] == 8:
            raise KeyboardInterrupt
        return save(path, tree)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run", 2, objective=objective)
    monkeypatch.setattr(checkpoint, "save", save)
    best = checkpoint.load(tmp_path / "run" / LAST)["progress"]["best"]
    assert [name for _, name in best] == ["best-epoch0001.safetensors"]
    assert (tmp_path / "run" / "checkpoints" / "best-epoch0001.safetensors").exists()
    fitted(tmp_path / "run", 2, resume=True, objective=objective)
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"last.safetensors", "best-epoch0002.safetensors"}


def test_a_checkpoint_is_due_so_long_after_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = [0.0]
    monkeypatch.setattr(saving, "time", SimpleNamespace(monotonic=lambda: 60 * minutes[0]))
    trainer = Trainer(tiny_model(), ELBO(), tiny_data(), Settings(**QUIET, save_minutes=5.0), tmp_path)
    due = []
    for minutes[0] in (4.0, 6.0, 10.0, 12.0):
        due.append(trainer.saver.is_due())
        if due[-1]:
            trainer.saver.save_last()
    assert due == [False, True, False, True]


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (None, 4)])
def test_more_patience_goes_on_with_a_run_that_stopped_early(tmp_path: Path, patience: int | None, epochs: int) -> None:
    objective = Validates([5.0, 3.0, 4.0, 2.5])
    fitted(tmp_path / "run", 4, objective=objective, patience=1)
    run = fitted(tmp_path / "run", 4, resume=True, objective=objective, patience=patience)
    assert run.progress is not None
    assert (run.progress.epoch, run.progress.finished) == (epochs, epochs == 3)


def test_the_average_is_what_is_evaluated_and_returned(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 2, ema=0.5, keep_best=0)
    plain = fitted(tmp_path / "plain", 2, keep_best=0)
    judged = Trainer(deepcopy(run.model), run.objective, tiny_data(), Settings(**QUIET), None).judge("validation")
    assert run.history["validation"]["loss"][-1] == judged.values["loss"] != plain.history["validation"]["loss"][-1]
    saved = checkpoint.load(tmp_path / "run" / LAST)
    assert same([p.detach() for p in run.model.parameters()], saved["average"])
    assert same(saved["model"], checkpoint.load(tmp_path / "plain" / LAST)["model"])
    assert not same(saved["average"], [saved["model"][name] for name in saved["parameters"]])
    assert same(dict(vk.load(tmp_path / "run", checkpoint="last").model.state_dict()), dict(run.model.state_dict()))


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
    with pytest.raises(RunError, match=r"`model` is another .*: posterior\.network\.outputs was 5 and is 9\. Give"):
        vk.fit(other, vk.load(tmp_path / "run").objective, tiny_data(), run=tmp_path / "run", resume=True, **QUIET)


def test_resuming_with_another_objective_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 1)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    message = r"`objective` is ELBO\(beta=4.0, .*was fitted by ELBO\(beta=Linear\(start=0.0, stop=1.0, steps=10\), "
    with pytest.raises(RunError, match=message):
        fitted(tmp_path / "run", 2, resume=True, objective=ELBO(beta=4.0))
    assert {path: path.read_bytes() for path in before} == before
    fitted(tmp_path / "run", 2, resume=True)


def test_other_batches_within_an_epoch_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 3, objective=StopAt(5, signal.SIGTERM))
    with pytest.raises(RunError, match="after batch 2 of an epoch of 4, 1 a step; an epoch would now have 7, 1 a step"):
        fitted(tmp_path / "run", 3, resume=True, objective=StopAt(NEVER, 0), batch_size=8)
    fitted(tmp_path / "run", 2, resume=True, objective=StopAt(NEVER, 0))
    fitted(tmp_path / "run", 3, resume=True, objective=StopAt(NEVER, 0), batch_size=8)
    assert checkpoint.load(tmp_path / "run" / LAST)["model"]["step"] == 4 + 4 + 7


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


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_a_full_disk_leaves_the_old_checkpoint(error: Exception, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (saved / LAST).read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise error

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


def test_a_run_fitted_in_python_finds_its_data_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = tiny_data().train
    np.save("rows.npy", rows.x)
    np.save("labels.npy", rows.labels)
    data = vk.data.open("rows.npy", options=vk.data.ArrayFile(labels="labels.npy"))
    for folder in ("fitted", "loaded"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir("fitted")
    vk.fit(tiny_model(), ELBO(), data, run="run", epochs=1, **QUIET)
    monkeypatch.chdir("../loaded")
    again = vk.load("../fitted/run").needs_data()
    assert np.array_equal(again.train.x, data.train.x)
    assert main(["fit", "--config", "../fitted/run/config.yaml", "--epochs", "1", "--samples", "0"]) == 0


def test_a_network_of_named_arguments_alone_is_fitted_again_from_the_command_line(tmp_path: Path) -> None:
    network = vk.networks.ConvEncoder((1, 8, 8), 2 * LATENT, channels=(4,))
    decoder = vk.likelihoods.Bernoulli(vk.networks.MLP(LATENT, (1, 8, 8), hidden=(5,)), (1, 8, 8))
    model = tiny_model(posterior=vk.posteriors.DiagonalNormal(network), likelihood=decoder)
    run = vk.fit(model, data="digits", run=tmp_path / "run", epochs=1, **{**QUIET, "batch_size": 512})
    flags = ["--config", str(tmp_path / "run" / "config.yaml"), "--run", str(tmp_path / "again"), "--samples", "0"]
    assert main(["fit", *flags]) == 0
    assert repr(vk.load(tmp_path / "again").model) == repr(run.model)


def test_a_run_fitted_in_python_is_resumed_from_the_command_line(tmp_path: Path) -> None:
    data = tmp_path / "rows.npy"
    np.save(data, tiny_data().train.x)
    vk.fit(tiny_model(), ELBO(), data, run=tmp_path / "run", epochs=1, **QUIET)
    assert main(["fit", "--resume", str(tmp_path / "run"), "--epochs", "2", "--samples", "0"]) == 0
    assert checkpoint.load(tmp_path / "run" / LAST)["progress"]["epoch"] == 2

"""Recorded steps: bit for bit the trajectory of steps taken an operation at a time, and what cannot be recorded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from shell import LAST
from tape import Taping
from tiny import QUIET, WIDTH, same, tiny_model
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

import vaekit as vk
from vaekit.commands.flags import parse_fit
from vaekit.data import Binarize, Dataset
from vaekit.errors import ConfigError
from vaekit.objectives import ELBO, IWAE, L2, Linear, Objective
from vaekit.training import Settings, Trainer, checkpoint
from vaekit.training.graph import Capture, obstacle

EPOCHS = 12
EXACT = 2.0**-9
ADAM = partial(torch.optim.Adam, lr=EXACT)


def grey_data() -> Dataset:
    """Make 8-bit rows that are binarised anew for every batch: 56 to train on, three batches of 16 and one of 8."""
    x = np.random.default_rng(0).integers(0, 256, (70, WIDTH)).astype(np.uint8)
    return vk.data.open(x, transforms=(Binarize(),))


def halving(stop: int | None = None) -> Callable[[int], float]:
    """Make a schedule that halves the rate every 5 steps, and sends a signal to its own process at one."""

    def factor(step: int) -> float:
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.5 ** (step // 5)

    return factor


class Decaying(LRScheduler):
    """Changes the weight decay, and leaves the learning rate as it is."""

    def get_lr(self) -> list[float | Tensor]:
        for group in self.optimizer.param_groups:
            group["weight_decay"] = 0.5 if self.last_epoch >= 20 else 0.0
        return [group["lr"] for group in self.optimizer.param_groups]


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "AdamW, schedule by epoch": {
        "optimizer": partial(torch.optim.AdamW, lr=EXACT),
        "schedule": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
    },
    "schedule by step, average, clip": {
        "schedule": partial(LambdaLR, lr_lambda=halving()),
        "schedule_per_step": True,
        "ema": 0.9,
        "clip": 0.5,
    },
    "schedule of another option": {"schedule": Decaying, "schedule_per_step": True},
    "bfloat16": {"precision": "bf16-mixed"},
}
OBJECTIVES: dict[str, Objective] = {
    "annealed": ELBO(beta=Linear(steps=10)),
    "importance-weighted": L2(IWAE(samples=3)),
}


def trained(
    folder: Path | None,
    capture: Capture | None = None,
    objective: Objective = OBJECTIVES["annealed"],
    model: vk.VAE | None = None,
    resume: bool = False,
    **settings: Any,
) -> Trainer:
    """Train the model."""
    torch.manual_seed(1)
    chosen = Settings(**{**QUIET, "optimizer": ADAM, "epochs": EPOCHS, "accelerator": "cpu", **settings})
    trainer = Trainer(model or tiny_model(), objective, grey_data(), chosen, folder, resume, capture=capture)
    trainer.run()
    return trainer


def outcome(folder: Path) -> dict[str, Any]:
    """Return everything that a run left, but for whether its optimiser could be recorded."""
    state = checkpoint.load(folder / LAST)
    for group in state["optimizer"]["param_groups"]:
        group.pop("capturable")
    return {**state, "csv": {path.name: path.read_text() for path in sorted(folder.glob("*.csv"))}}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=list(OBJECTIVES))
@pytest.mark.parametrize("variant", VARIANTS)
def test_recorded_steps_have_the_bits_of_eager_ones(tmp_path: Path, variant: str, objective: Objective) -> None:
    capture, settings = Taping(), VARIANTS[variant]
    trained(tmp_path / "eager", objective=objective, **settings)
    trained(tmp_path / "recorded", capture, objective, **settings)
    assert capture.recorded >= 3
    assert capture.replayed >= 27
    assert capture.forgotten == 1 + (settings.get("schedule") is Decaying)
    assert same(*(outcome(tmp_path / name) for name in ("eager", "recorded")))


def test_options_that_change_in_every_step_are_not_waited_for() -> None:
    cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=EXACT, total_steps=4 * EPOCHS)
    settings: dict[str, Any] = {"schedule": cycle, "schedule_per_step": True}
    trainer = trained(None, Taping(), **settings)
    assert (trainer.graphed is not None and trainer.graphed.possible, trainer.taken) == (False, 4 * EPOCHS)
    with pytest.raises(ConfigError, match="a schedule changes more than the learning rate in every step"):
        trained(None, Taping(), cuda_graph=True, **settings)


def test_recorded_runs_resume_exactly(tmp_path: Path) -> None:
    variant = VARIANTS["schedule by step, average, clip"]
    trained(tmp_path / "whole", **variant)
    capture, stopping = Taping(), {**variant, "schedule": partial(LambdaLR, lr_lambda=halving(stop=21))}
    stopped = trained(tmp_path / "halves", capture, **stopping)
    assert (stopped.taken, stopped.progress.batch) == (21, 1)
    assert capture.replayed
    capture = Taping()
    trained(tmp_path / "halves", capture, resume=True, **variant)
    assert capture.replayed
    assert same(*(outcome(tmp_path / name) for name in ("whole", "halves")))


def test_a_recorded_run_continues_an_eager_one(tmp_path: Path) -> None:
    for name, first, second in (("eager", None, None), ("recorded", None, Taping()), ("back", Taping(), None)):
        trained(tmp_path / name, first, epochs=6)
        continued = trained(tmp_path / name, second, resume=True)
        assert continued.optimizer.param_groups[0]["capturable"] == (second is not None)
    assert same(*(outcome(tmp_path / name) for name in ("eager", "recorded")))
    assert same(*(outcome(tmp_path / name) for name in ("eager", "back")))


class Reading(nn.Module):
    """A network that looks at its input's values."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.network(x if x.sum() > 0 else -x)
        return output


def reading_model() -> vk.VAE:
    torch.manual_seed(1)
    return tiny_model(posterior=vk.posteriors.DiagonalNormal(Reading(vk.networks.MLP(WIDTH, 5, 4))))


UPDATE = torch.ops.aten._fused_adam_.tensor_lr
UNRECORDED: dict[str, tuple[tuple[Any, ...], Callable[[], vk.VAE | None], str]] = {
    "a value is read": ((), reading_model, "aten._local_scalar_dense.default makes the processor wait"),
    "the recording fails": ((UPDATE,), lambda: None, f"{UPDATE} is not permitted when stream is capturing"),
}


@pytest.mark.parametrize("case", UNRECORDED)
def test_what_cannot_be_recorded_is_trained_eagerly(tmp_path: Path, capsys: Any, case: str) -> None:
    refused, make, reason = UNRECORDED[case]
    trained(tmp_path / "eager", model=make())
    capture = Taping(refused)
    trained(tmp_path / "recorded", capture, model=make(), progress=True)
    assert capsys.readouterr().err.count(f"cannot be recorded as a CUDA graph: {reason}") == 1
    assert not capture.replayed
    assert same(*(outcome(tmp_path / name) for name in ("eager", "recorded")))
    with pytest.raises(ConfigError, match=r"`cuda_graph` is True, but a step cannot be recorded: .*Set it to None"):
        trained(None, Taping(refused), model=make(), cuda_graph=True)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "Adam": ({}, {}, None),
    "mixed bfloat16": ({"precision": "bf16-mixed"}, {}, None),
    "processes": ({}, {"world_size": 2}, "several processes"),
    "a strategy": ({"strategy": "ddp"}, {}, "`strategy` is 'ddp'"),
    "accumulation": ({"accumulate": 2}, {}, "`accumulate`"),
    "a scaled loss": ({"precision": "16-mixed"}, {}, "`precision` 16-mixed"),
    "statistics": ({"every_step": True}, {}, "`every_step`"),
    "compilation": ({"compile": True}, {}, "`compile`"),
    "another optimiser": ({"optimizer": torch.optim.SGD}, {}, "no option `capturable`"),
    "every default given": ({"optimizer": partial(torch.optim.Adam, capturable=False, fused=None)}, {}, None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_be_recorded_say_why(case: str) -> None:
    settings, fabric, reason = REFUSED[case]
    found = obstacle(Settings(**settings), SimpleNamespace(**{"world_size": 1, **fabric}))
    assert found is None if reason is None else reason in (found or "")


def test_the_optimisers_of_commands_are_recorded() -> None:
    flags, _ = parse_fit(["digits"])
    capture = Taping()
    trained(None, capture, epochs=6, optimizer=flags.optimizer)
    assert capture.replayed


@pytest.mark.parametrize("settings", [{"accumulate": 2}, {"cuda_graph": False}])
def test_steps_that_are_not_recorded_are_taken_eagerly(settings: dict[str, Any]) -> None:
    capture = Taping()
    assert trained(None, capture, epochs=6, **settings).graphed is None
    assert not capture.recorded


def test_asking_for_graphs_without_a_device_for_them_is_refused() -> None:
    with pytest.raises(ConfigError, match="`cuda_graph` is True, but the device is of the kind 'cpu'"):
        trained(None, cuda_graph=True)


class Precision(Objective):
    """Notes the precision of matrix products in training."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        self.seen.add(torch.get_float32_matmul_precision())
        return ELBO()(model, x, *context)


@pytest.mark.parametrize(("matmul", "seen"), [(None, "highest"), ("high", "high")])
def test_the_precision_of_products_is_set_in_training_alone(matmul: str | None, seen: str) -> None:
    objective = Precision()
    trained(None, objective=objective, matmul=matmul, epochs=1)
    assert objective.seen == {seen}
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=list(OBJECTIVES))
@pytest.mark.parametrize("variant", VARIANTS)
def test_cuda_graphs_have_the_trajectory_of_eager_steps(tmp_path: Path, variant: str, objective: Objective) -> None:
    settings = {**VARIANTS[variant], "accelerator": "cuda"}
    eager = trained(tmp_path / "eager", objective=objective, cuda_graph=False, **settings)
    recorded = trained(tmp_path / "recorded", objective=objective, cuda_graph=True, **settings)
    assert recorded.graphed is not None
    assert len(recorded.graphed.recorded) == 3
    torch.testing.assert_close(recorded.model.state_dict(), eager.model.state_dict())
    states = (checkpoint.load(tmp_path / name / LAST) for name in ("eager", "recorded"))
    first, second = ([state["optimizer"]["state"], state["average"], state["random"]] for state in states)
    torch.testing.assert_close(second, first)

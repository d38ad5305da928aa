"""Several processes: what they compute is what one process computes, and whatever happens to one, none is left waiting."""

from __future__ import annotations

import copy
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from jobs import PATIENCE, run_job
from tiny import LATENT, QUIET, WIDTH, tiny_data, tiny_model
from torch import Tensor
from user_parts import Constrained

import vaekit as vk
from vaekit.cli import main
from vaekit.commands.fit import fit as fit_command
from vaekit.errors import ConfigError, NonFiniteError, RunError
from vaekit.objectives import ELBO, L2, Linear
from vaekit.training import InverseTimeLR, checkpoint, processes
from vaekit.training.sharded import shard
from vaekit.training.step import Pass

LAST = Path("checkpoints/last.safetensors")
SGD = torch.optim.SGD
ANNEALED = ELBO(beta=Linear(steps=10))
ROUNDING, NOISE = 1e-7, "noise"
TABLES = ("metrics.csv", "rates.csv", "steps.csv")


class FixedNoise(vk.distributions.DiagonalNormal):
    """A normal law whose draws all lie one deviation above the mean, so that no noise tells two runs apart."""

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return (self.mean + self.stddev).expand(self._extended_shape(torch.Size(sample_shape)))


class FixedNormal(vk.posteriors.DiagonalNormal):
    """The mean-field posterior without noise."""

    def forward(self, *given: Tensor) -> FixedNoise:
        usual = super().forward(*given)
        return FixedNoise(usual.loc, usual.log_scale, validate_args=self.validate_args)


def point_model() -> vk.VAE:
    return tiny_model(posterior=vk.posteriors.Delta(vk.networks.MLP(WIDTH, 5, LATENT)))


def fixed_model() -> vk.VAE:
    return tiny_model(posterior=FixedNormal(vk.networks.MLP(WIDTH, 5, 2 * LATENT)))


def scaled_model() -> vk.VAE:
    scale = vk.likelihoods.OptimalScale(memory=3)
    return tiny_model(
        posterior=vk.posteriors.Delta(vk.networks.MLP(WIDTH, 5, LATENT)),
        likelihood=vk.likelihoods.Normal(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH, scale),
    )


@dataclass(frozen=True)
class Case:
    """One way to train."""

    model: Callable[[], vk.VAE] = point_model
    objective: vk.objectives.Objective = ANNEALED
    rows: int = 62
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


# 62 rows are 50 to train on, so the last batch of 16 has two rows, and the first of three processes has none of them.
CASES = {
    "plain": Case(),
    "a last batch of one row": Case(rows=61),
    "an uneven last batch": Case(rows=70),
    "momentum, clip, average, schedule": Case(
        settings={
            "optimizer": partial(SGD, lr=0.1, momentum=0.9),
            "clip": 0.2,
            "ema": 0.9,
            "schedule": InverseTimeLR,
            "schedule_per_step": True,
        }
    ),
    "accumulation": Case(rows=82, settings={"accumulate": 3}),
    "free bits": Case(fixed_model, ELBO(free_bits=0.107), settings={"optimizer": partial(SGD, lr=0.03)}),
    "capacity": Case(fixed_model, ELBO(beta=10.0, capacity=0.5)),
    "the best scale": Case(scaled_model, ELBO(), options={"transforms": ()}),
    "a penalty": Case(objective=L2(ELBO(), weight=0.1)),
    "what an objective learns": Case(fixed_model, Constrained(target=0.1)),
    "every step": Case(fixed_model, settings={"every_step": True}),
    "early stop": Case(settings={"optimizer": partial(SGD, lr=3.0), "patience": 1, "keep_best": 2, "epochs": 8}),
}
STATISTICS = replace(CASES["every step"], model=point_model)


def fit(case: Case, folder: Path, resume: bool = False, **settings: Any) -> vk.Run:
    torch.manual_seed(1)
    model, data = case.model(), tiny_data(case.rows, **case.options)
    chosen = {**QUIET, "epochs": 3, **case.settings, **settings}
    return vk.fit(model, case.objective, data, run=folder, resume=resume, **chosen)


def weights(run: vk.Run) -> list[Any]:
    return [p.tolist() for p in run.model.parameters()]


def differing(a: Any, b: Any, rounding: float = ROUNDING, where: str = "") -> list[str]:
    """Name the leaves in which two checkpoints differ by more than rounding."""
    if isinstance(a, Tensor):
        a, b = a.double(), b.double()
        return [] if a.shape == b.shape and (a - b).abs().max() <= rounding * b.abs().max() else [where]
    if isinstance(a, dict):
        return [w for k in a.keys() | b.keys() for w in differing(a.get(k), b.get(k), rounding, f"{where}/{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [w for i in range(len(a)) for w in differing(a[i], b[i], rounding, f"{where}/{i}")]
    return [] if a == b or (isinstance(a, float) and a == pytest.approx(b, rel=rounding)) else [where]


def compared(one: Path, several: Path, rounding: float = ROUNDING) -> list[str]:
    """Name what differs between two runs."""
    files = [{str(p.relative_to(folder)) for p in folder.rglob("*")} for folder in (one, several)]
    trees = [checkpoint.load(folder / LAST) for folder in (one, several)]
    for tree in trees:
        del tree["random"], tree["tables"], tree["optimizer"]["param_groups"][0]["fused"]
    found = [f"the file {name}" for name in files[0] ^ files[1]] + differing(*trees, rounding)
    for name in TABLES:
        tables = [np.genfromtxt(folder / name, delimiter=",") for folder in (one, several) if (folder / name).exists()]
        if tables and not np.allclose(*tables, rtol=rounding, atol=rounding / 100, equal_nan=True):
            found.append(name)
    return found


def several(strategy: str) -> dict[str, Any]:
    """Return the settings of a process of a job."""
    return {"accelerator": "cpu", "devices": int(os.environ["WORLD_SIZE"]), "strategy": strategy}


class Noisy(vk.objectives.Objective):
    """Draws a number in each training step, and keeps it."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        if model.training:
            self.drawn.append(torch.rand(()).item())
        return ANNEALED(model, x, *context)


def drawn(folder: Path, strategy: str) -> list[float]:
    """Fit as one of several processes, half of it in a resumed run; return the noise of each step."""
    noisy = Noisy()
    for epochs in (1, 2):
        fit(Case(objective=noisy), folder, resume=epochs > 1, epochs=epochs, **several(strategy))
    return noisy.drawn


def train_all(folder: Path, strategy: str) -> dict[str, list[Any]]:
    """Fit every case as one of several processes; return the weights, and the noise of another run."""
    torch.set_default_dtype(torch.float64)
    found = {}
    for name, case in copy.deepcopy(CASES).items():
        run = fit(case, folder / name, **several(strategy))
        found[name] = weights(run)
    return {**found, NOISE: drawn(folder / NOISE, strategy)}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("world", "strategy"), [(2, "ddp"), (3, "ddp"), (2, "fsdp")])
def test_processes_compute_what_one_computes(tmp_path: Path, world: int, strategy: str) -> None:
    others = run_job(world, train_all, tmp_path / "several", strategy)
    found = {}
    for name, case in copy.deepcopy(CASES).items():
        run = fit(case, tmp_path / "one" / name)
        found[name] = compared(tmp_path / "one" / name, tmp_path / "several" / name)
        for rank, there in enumerate(others):
            if differing(weights(run), there[name]):
                found[name].append(f"weights of process {rank}")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    noise = [number for there in others for number in there[NOISE]]
    assert len(set(noise)) == len(noise) == world * 2 * 4


class Disturbed(vk.objectives.Objective):
    """The ELBO, but the last process meets something at a step: it calls `happens` with the terms. It cannot be described."""

    def __init__(self, step: int, happens: Callable[[vk.objectives.Terms], vk.objectives.Terms]) -> None:
        self.step, self.happens = step, happens

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> vk.objectives.Terms:
        terms = ANNEALED(model, x, *context)
        if not model.training or model.step != self.step:
            return terms
        last = torch.distributed.get_rank() == torch.distributed.get_world_size() - 1
        return self.happens(terms) if last else terms


def terminated(terms: vk.objectives.Terms) -> vk.objectives.Terms:
    os.kill(os.getpid(), signal.SIGTERM)
    return terms


UNDISTURBED = replace(STATISTICS, objective=Disturbed(-1, terminated))


def poisoned(terms: vk.objectives.Terms) -> vk.objectives.Terms:
    return replace(terms, loss=terms.loss * math.nan)


def refused(case: Case, folder: Path, **settings: Any) -> str:
    """Return what a fit raises."""
    with pytest.raises((NonFiniteError, RunError)) as error:
        fit(case, folder, **settings)
    return f"{error.type.__name__}: {error.value}"


def meet_trouble(folder: Path, strategy: str) -> dict[str, Any]:
    """Stop, resume and fail as one of several processes; return what each of them saw."""
    torch.set_default_dtype(torch.float64)
    processes.SECONDS = 0.0
    shared = several(strategy)
    stops = replace(STATISTICS, objective=Disturbed(5, terminated))
    stopped, _ = (fit(stops, folder / name, save_minutes=0.0, **shared).progress for name in ("stopped", "paused"))
    assert stopped is not None
    fit(UNDISTURBED, folder / "paused", resume=True, **shared)
    resumed = fit(CASES["plain"], folder / "grown", resume=True, epochs=4, **shared)
    return {
        "stopped": (stopped.interrupted, stopped.epoch, stopped.batch),
        "resumed": weights(resumed),
        "occupied": refused(CASES["plain"], folder / "grown", **shared),
        "damaged": refused(CASES["plain"], folder / "damaged", resume=True, **shared),
        "not finite": refused(Case(objective=Disturbed(6, poisoned)), folder / "poisoned", log_every=2, **shared),
    }


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_trouble_of_one_process_is_met_by_all(tmp_path: Path, strategy: str) -> None:
    fit(CASES["plain"], tmp_path / "grown", epochs=2)
    fit(CASES["plain"], tmp_path / "damaged", epochs=1)
    (tmp_path / "damaged" / LAST).write_bytes(b"")
    seen, *others = run_job(2, meet_trouble, tmp_path, strategy)
    assert all(not differing(seen, other) for other in others)

    assert seen["stopped"] == (signal.SIGTERM, 1, 2)
    fit(UNDISTURBED, tmp_path / "stopped", resume=True)
    fit(STATISTICS, tmp_path / "whole")
    assert compared(tmp_path / "whole", tmp_path / "stopped") == []
    assert compared(tmp_path / "whole", tmp_path / "paused") == []

    whole = fit(CASES["plain"], tmp_path / "long", epochs=4)
    assert not differing(weights(whole), seen["resumed"])
    assert compared(tmp_path / "long", tmp_path / "grown") == []

    assert f"RunError: `{tmp_path}/grown`" in seen["occupied"]
    assert "is damaged" in seen["damaged"]
    assert "NonFiniteError: By step 8: the distortion is nan" in seen["not finite"]
    kept = checkpoint.load(tmp_path / "poisoned" / LAST)
    assert kept["model"]["step"] == 4
    assert all(w.isfinite().all() for w in kept["model"].values())


def test_a_weight_without_dimensions_is_not_split() -> None:
    likelihood = vk.likelihoods.Normal(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH, vk.likelihoods.SharedScale())
    with pytest.raises(ConfigError, match=r"`likelihood.scale.raw` is a single number.*SharedScale\(shape=\(1,\)\)"):
        shard(Pass(tiny_model(likelihood=likelihood), ELBO()), cast(Any, None))


class TestCommand:
    """`vaekit fit` under torchrun."""

    FLAGS = (
        "digits",
        "--posterior",
        "Delta",
        "--samples",
        "0",
        "--tensorboard",
        "false",
        "--log_every",
        "5",
        "--optimizer",
        "SGD",
    )
    EPOCHS = 12

    def started(self, folder: Path, epochs: int, *options: str) -> subprocess.Popen[str]:
        own = ("--devices", "2", "--accelerator", "cpu", "--save_minutes", "0", "--epochs", str(epochs))
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *options)
        command = (*torchrun, "-m", "--", "vaekit.cli", "fit", *self.FLAGS, *own)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        return subprocess.Popen(
            [*command, "--run", str(folder)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def once_it_trains(self, job: subprocess.Popen[str], folder: Path) -> list[int]:
        """Wait for some steps; return the ids of the job's processes."""
        metrics = folder / "metrics.csv"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 10:
            assert job.poll() is None, job.communicate()[0]
            time.sleep(0.05)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        return [int(child) for child in children]

    @pytest.mark.slow
    def test_a_killed_process_is_replaced_and_the_job_ends_as_if_it_had_not_been(self, tmp_path: Path) -> None:
        job = self.started(tmp_path / "killed", self.EPOCHS, "--max_restarts", "1")
        os.kill(self.once_it_trains(job, tmp_path / "killed")[-1], signal.SIGKILL)
        said, _ = job.communicate(timeout=PATIENCE)
        assert job.returncode == 0, said
        main(["fit", *self.FLAGS, "--epochs", str(self.EPOCHS), "--run", str(tmp_path / "whole")])
        assert compared(tmp_path / "whole", tmp_path / "killed", 1e-3) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_to_the_job_leaves_a_run_that_resumes(self, tmp_path: Path, number: int) -> None:
        job = self.started(tmp_path / "stopped", 10_000)
        self.once_it_trains(job, tmp_path / "stopped")
        job.send_signal(number)
        said, _ = job.communicate(timeout=PATIENCE)
        assert f"stopped; continue with: vaekit fit --resume {tmp_path / 'stopped'}" in said.replace("\n", "")
        taken = checkpoint.load(tmp_path / "stopped" / LAST)["model"]["step"]
        resume = ["fit", "--resume", str(tmp_path / "stopped"), "--devices", "1", "--strategy", "auto"]
        assert main([*resume, "--epochs", str(1 + taken.item() // 12)]) == 0

    def test_a_restartable_run_is_started_and_then_continued(self, tmp_path: Path) -> None:
        flags = ("fit", *self.FLAGS, "--run", str(tmp_path / "run"), "--restartable")
        assert [main([*flags, "--epochs", epochs]) for epochs in ("1", "2")] == [0, 0]
        main(["fit", *self.FLAGS, "--run", str(tmp_path / "whole"), "--epochs", "2"])
        assert compared(tmp_path / "whole", tmp_path / "run") == []

    @pytest.mark.parametrize(
        ("shared", "message"), [("True", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"), ("False", "Name it: `--run DIR`")]
    )
    def test_a_restart_that_could_not_work_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, shared: str, message: str
    ) -> None:
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", shared)
        with pytest.raises(ConfigError, match=message):
            fit_command(["digits"])

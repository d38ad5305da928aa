"""Going on with a run: after a signal, beside another process, in a folder that was used, and as what it was."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from shell import LAST, SMALL, done, fitted, flags_of, refused, same_weights, spawned

from vaekit.errors import RunError
from vaekit.runs.claim import Claim
from vaekit.training import checkpoint
from vaekit.training.loop import Trainer


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit a small model for an epoch, in a folder with its data."""
    folder = tmp_path_factory.mktemp("begun")
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(3.0, 2.0, (60, 5)))
    fitted(folder / "run", f"--data={folder / 'vectors.npy'}")
    return folder


def test_a_used_folder_is_refused_before_data_is_opened(begun: Path) -> None:
    assert "is not empty. Resume the run in it" in refused("fit", "--data=absent", "--run", begun / "run")


def test_a_run_that_wrote_no_checkpoint_is_begun_anew(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", "model.yaml"):
        shutil.copy(begun / "run" / name, tmp_path / "run")
    fitted(tmp_path / "run", f"--data={begun / 'vectors.npy'}")
    assert "is not empty" in refused("fit", f"--data={begun / 'vectors.npy'}", "--run", tmp_path / "run")


def test_a_recipe_beside_a_run_to_resume_is_refused(begun: Path) -> None:
    assert "Leave out `digits`" in refused("fit", "digits", "--resume", begun / "run")


def test_resuming_as_another_model_leaves_the_run_as_it_was(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    before = flags_of(tmp_path / "run")
    assert (
        "posterior.network.outputs was 4 and is 8, likelihood.network.inputs was 2 and is 4. Give a model"
        in refused("fit", "--resume", tmp_path / "run", "--latent=4")
    )
    assert flags_of(tmp_path / "run") == before
    done("fit", "--resume", tmp_path / "run", "--epochs=2")


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_has_its_epochs_says_so_and_stays_as_it_is(epochs: int, begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    words = ("fit", "--resume", tmp_path / "run", "--progress=false")
    done(*words, "--epochs=2")
    before = flags_of(tmp_path / "run")
    told = f"nothing was left to train after epoch 2; to go on: vaekit fit --resume {tmp_path / 'run'} --epochs 3\n"
    assert done(*words, f"--epochs={epochs}").out.endswith(told)
    assert flags_of(tmp_path / "run") == before


@pytest.mark.parametrize("started", [False, True])
def test_a_folder_is_fitted_by_one_process_at_a_time(started: bool, begun: Path, tmp_path: Path) -> None:
    flags = ("fit", *SMALL, f"--data={begun / 'vectors.npy'}", "--run", tmp_path / "run", "--restartable")
    if started:
        done(*flags)
    (tmp_path / "run").mkdir(exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    with FileLock(tmp_path / "run" / "fitting.lock"):
        assert "Another process is fitting the run in" in refused(*flags, "--epochs=2")
    (tmp_path / "run" / "fitting.lock").unlink()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
    done(*flags, "--epochs=2")
    assert not (tmp_path / "run" / "fitting.lock").exists()


def test_what_fails_at_its_first_step_leaves_what_others_keep_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(trainer: Trainer) -> None:
        (tmp_path / "runs" / "other").mkdir()
        raise RuntimeError

    monkeypatch.setattr(Trainer, "run", fail)
    assert "The first step failed" in refused("fit", "digits", *SMALL, "--run", tmp_path / "runs" / "failed")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_signal_leaves_a_run_that_resumes_to_the_same_bits(number: int, begun: Path, tmp_path: Path) -> None:
    flags = (*SMALL, f"--data={begun / 'vectors.npy'}", "--batch_size=3", "--log_every=1")
    job = spawned("fit", *flags, "--epochs=100000", "--run", tmp_path / "stopped")
    metrics = tmp_path / "stopped" / "metrics.csv"
    while job.poll() is None and not (metrics.exists() and metrics.read_text().count("epoch") > 2):
        time.sleep(0.01)
    assert "Another process is fitting" in refused("fit", "--resume", tmp_path / "stopped")
    done("evaluate", tmp_path / "stopped", "--checkpoint=last", "--samples=1")
    job.send_signal(number)
    out, err = job.communicate(timeout=60)
    stopped = number != signal.SIGKILL
    assert job.returncode == (128 + number if stopped else -number), err
    assert (f"stopped; continue with: vaekit fit --resume {tmp_path / 'stopped'}" in out) is stopped
    epochs = 2 + int(checkpoint.load(tmp_path / "stopped" / LAST)["model"]["step"]) // 16
    done("fit", "--resume", tmp_path / "stopped", f"--epochs={epochs}")
    fitted(tmp_path / "whole", *flags, f"--epochs={epochs}")
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")
    assert metrics.read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_a_folder_that_knows_no_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(lock: FileLock, **options: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(RunError, match=r"cannot be made, written or locked \(no flock here\)\. Name another folder"):
        Claim(tmp_path / "run").take(resume=False)

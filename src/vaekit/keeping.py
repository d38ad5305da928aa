"""A run's folder: who may write into it, what it says of the run, and which run goes on in it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import yaml
from filelock import FileLock, Timeout
from torch import Tensor

import vaekit
from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.data.describe import listed
from vaekit.describing import (
    MODEL,
    describe_data,
    describe_events,
    describe_model,
    describe_objective,
    describe_or_none,
    describe_setting,
    does_the_same,
    held_out,
    read_yaml,
    rebuilt_objective,
    telling_damage,
)
from vaekit.errors import RunError
from vaekit.files import write_text
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.report import LIVE, has_live_page, live, title_of
from vaekit.training import Settings
from vaekit.training.saving import CHECKPOINTS, LAST

CONFIG, LOCK = "config.yaml", "fitting.lock"


class Place(NamedTuple):
    """Where a run is kept.

    Attributes:
        resumes: whether there is a checkpoint to continue from.
        made: the folders that were made for it, the innermost first.
    """

    resumes: bool
    made: tuple[Path, ...]

    def give_back(self) -> None:
        """Remove what was made, but no folder in which others keep something."""
        for folder in self.made[:1]:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.made[1:]:
            with suppress(OSError):
                folder.rmdir()


def refuse_used(folder: Path | None, resume: bool | None) -> bool:
    """Refuse a folder that must not be written over, or that holds no run to continue; tell whether it holds a run.

    Arguments:
        folder: the folder; None keeps nothing.
        resume: whether there must be a run to continue; None for either.

    Raises:
        RunError: saying what is there.
    """
    started = folder is not None and (folder / CONFIG).is_file()
    if resume and not started:
        raise RunError(f"There is no run to resume in `{folder}`. Name the folder of a run that was started.")
    if folder is None or (started and resume is not False):
        return started
    if folder.exists() and (not folder.is_dir() or _is_used(folder)):
        wayout = "Resume the run in it, or name" if started else "Name"
        raise RunError(f"`{folder}` is {'not empty' if folder.is_dir() else 'a file'}. {wayout} another folder.")
    return started


def _is_used(folder: Path) -> bool:
    """Tell whether a folder holds more than what a run writes before its first checkpoint."""
    return any(path.name not in (CONFIG, MODEL, LIVE, LOCK) for path in folder.iterdir())


class Claim:
    """The right of one process to fit into a folder: a lock of the operating system, which dies with its holder.

    Arguments:
        folder: the run's folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.lock = None if folder is None else FileLock(folder / LOCK)

    def take(self, resume: bool | None) -> Place:
        """Make the folder and lock it.

        Arguments:
            resume: whether there must be a run to continue; None for either.

        Raises:
            RunError: if it is used, holds no run to continue, is locked by another process, or cannot be made.
        """
        refuse_used(self.folder, resume)
        if self.folder is None or self.lock is None:
            return Place(False, ())
        try:
            missing = tuple(path for path in (self.folder, *self.folder.parents) if not path.exists())
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(blocking=False)
        except Timeout as error:
            raise RunError(
                f"Another process is fitting the run in `{self.folder}`, and one at a time may. Wait for its end or stop it, or "
                f"name another folder."
            ) from error
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"`{self.folder}` cannot be made, written or locked ({reason}). Name another folder."
            ) from error
        refuse_used(self.folder, resume)
        return Place(bool(resume) or (self.folder / CHECKPOINTS / LAST).is_file(), missing)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the lock's file away, and let go; nothing happens in a process that did not take the folder."""
        if self.lock is not None and self.lock.is_locked:
            Path(self.lock.lock_file).unlink(missing_ok=True)
            self.lock.release()


def write_config(
    folder: Path | None,
    model: VAE,
    objective: Objective,
    data: Dataset,
    settings: Settings,
    config: Mapping[str, Any],
) -> None:
    """Write `model.yaml`, from which the run is loaded, and `config.yaml`, from which the same is run again.

    Beside them goes the page that follows the run's pictures. Nothing is written where there is no folder.
    """
    if folder is None:
        return
    built = {
        "vaekit": vaekit.__version__,
        "model": describe_model(model, _some(data)),
        "objective": describe_objective(objective),
        "data": describe_data(data.opened_by),
        "events": describe_events(data),
    }
    loop = {f.name: describe_setting(getattr(settings, f.name)) for f in fields(Settings)}
    flags = config or {**{name: built[name] for name in ("data", "model", "objective")}, **loop}
    for name, content in ((MODEL, built), (CONFIG, flags)):
        write_text(folder / name, yaml.safe_dump(dict(content), sort_keys=False, width=120))
    if has_live_page(data, settings.figures_every):
        live(folder / LIVE, title_of(data, folder), settings.figures_every)


def refuse_another(folder: Path | None, model: VAE, objective: Objective, data: Dataset) -> None:
    """Refuse to go on with a run by another model, objective or data: its losses, and its best checkpoints, would be of two.

    A model is another one if, with the same weights, it makes something else of a batch. A function of the same name is taken
    for the run's own. There is no folder where no run goes on.

    Raises:
        RunError: saying how they differ.
    """
    if folder is None:
        return
    kept, given = read_yaml(folder, MODEL), describe_or_none(model)
    before, now = kept.get("events") or {}, {"digest": data.about.digest, "splits": held_out(data)}
    if any(before.get(name, value) != value for name, value in now.items()):
        raise RunError(
            f"`data` is not what the run in `{folder}` was begun with, so other rows would be held out. Give the same, or fit "
            f"another run, from this one's model where its weights are wanted."
        )
    if kept.get("model") not in (None, given) and given is not None:
        with telling_damage(folder):
            other = spec.rebuilt(model, kept["model"])
        if other is None or not does_the_same(other, model, _some(data)):
            raise RunError(
                f"`model` is another one than that of the run in `{folder}`: "
                f"{listed(list(spec.differing(kept['model'], given)))}. Give a model like that, or fit another run."
            )
    if kept.get("objective") not in (None, describe_objective(objective)):
        raise RunError(
            f"`objective` is {objective}, and the run in `{folder}` was fitted by {rebuilt_objective(folder, kept)}, which its "
            f"losses and best checkpoints are of. Resume it by that, or fit another run, from this one's model where its weights "
            f"are wanted."
        )


def _some(data: Dataset) -> tuple[Tensor, ...]:
    """Return a few training examples (x, *context)."""
    return next(data.batches("train", 2))

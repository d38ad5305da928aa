"""What a run's folder says of the run: `model.yaml` rebuilds it, `config.yaml` runs the same again. Neither holds a pickle."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, cast

import yaml
from filelock import FileLock, Timeout
from torch import nn

import vaekit
from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.errors import ConfigError, RunError, VaekitError
from vaekit.files import write_text
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.objectives.named import Named
from vaekit.report import LIVE, has_live_page, live, title_of
from vaekit.training import Settings
from vaekit.training.saving import CHECKPOINTS, LAST

CONFIG, MODEL, LOCK = "config.yaml", "model.yaml", "fitting.lock"


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
        "model": describe_model(model),
        "objective": describe_objective(objective),
        "data": describe_data(data.opened_by),
        "events": describe_events(data),
    }
    loop = {f.name: _plain_setting(getattr(settings, f.name)) for f in fields(Settings)}
    flags = config or {**{name: built[name] for name in ("data", "model", "objective")}, **loop}
    for name, content in ((MODEL, built), (CONFIG, flags)):
        write_text(folder / name, yaml.safe_dump(dict(content), sort_keys=False, width=120))
    if has_live_page(data, settings.figures_every):
        live(folder / LIVE, title_of(data, folder), settings.figures_every)


def refuse_other_objective(folder: Path | None, objective: Objective) -> None:
    """Refuse to go on with a run by another objective: its losses, and its best checkpoints, would be of two.

    A function of the same name is taken for the run's own. There is no folder where no run goes on.

    Raises:
        RunError: naming both.
    """
    if folder is None:
        return
    kept = read_yaml(folder, MODEL)
    if kept.get("objective") not in (None, describe_objective(objective)):
        raise RunError(
            f"`objective` is {objective}, and the run in `{folder}` was fitted by {rebuilt_objective(folder, kept)}, which its "
            f"losses and best checkpoints are of. Resume it by that, or fit another run, from this one's model where its weights "
            f"are wanted."
        )


def describe_data(opened_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe how data was opened; data that was in memory has no source."""
    return describe_or_none(opened_by) or describe_or_none({**opened_by, "source": None})


def describe_events(data: Dataset) -> dict[str, Any]:
    """Describe what the model's numbers mean, for those who use it without its data."""
    labels = data.train.labels
    return {
        "shape": list(data.event_shape),
        "scale": data.facts.scale,
        "units": None if data.about.units is None else asdict(data.about.units),
        "decoding": spec.describe(data.about.decoding),
        "column_names": list(data.column_names),
        "label_names": list(data.label_names),
        "context": sum(c.shape[1] for c in data.train.context),
        "classes": labels is not None and labels.ndim == 1,
    }


def describe_model(model: nn.Module) -> dict[str, Any] | None:
    """Describe a model; return None, and warn, where its description would not rebuild it."""
    reason = "The arguments that its parts keep make a model of other weights."
    try:
        described: dict[str, Any] = spec.describe(model)
        if spec.rebuilds(model, described):
            return described
    except (ConfigError, TypeError) as error:
        reason = str(error)
    warnings.warn(f"vaekit.load will need a model like this one, as `model=`. {reason}", UserWarning, stacklevel=5)
    return None


def describe_objective(objective: Objective) -> dict[str, Any]:
    """Describe an objective, by its name alone where it is a function or keeps its arguments in no attributes."""
    described = describe_or_none(objective)
    return described if described and "factory" not in described else describe_or_none(Named.of(objective)) or {}


def rebuilt_objective(folder: Path, kept: Mapping[str, Any]) -> Objective:
    """Build the objective that a run's `model.yaml` describes; its name alone, where its class cannot be imported.

    Raises:
        RunError: if the description does not fit the class.
    """
    described = kept.get("objective") or spec.describe(Named("unknown"))
    try:
        return cast(Objective, rebuilt(folder, described))
    except ConfigError:
        return Named(str(described.get("class_path")))


def describe_or_none(value: object) -> dict[str, Any] | None:
    """Describe an object, or return None where it cannot be described."""
    try:
        described: dict[str, Any] = spec.describe(value)
    except ConfigError:
        return None
    return described


def _plain_setting(value: object) -> Any:
    return spec.describe_factory(value) if callable(value) else spec.describe(value)


def read_yaml(folder: Path, name: str) -> dict[str, Any]:
    """Read a file of a run.

    Raises:
        RunError: if the folder holds no run, or the file is damaged.
    """
    path = folder / name
    if not path.is_file():
        raise RunError(f"`{folder}` holds no run: there is no `{name}` in it. Name the folder given to `fit`.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"`{path}` is damaged: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"`{path}` is damaged: it does not hold a mapping.")
    return content


def rebuilt(folder: Path, described: Any) -> Any:
    """Build what a run's `model.yaml` describes.

    Raises:
        RunError: if the description does not fit the classes that it names.
        ConfigError: if it names what cannot be imported.
    """
    try:
        return spec.build(described)
    except VaekitError:
        raise
    except Exception as error:
        raise RunError(
            f"`{folder / MODEL}` is damaged, or was written for other classes ({type(error).__name__}: {error})."
        ) from error

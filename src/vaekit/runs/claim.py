"""Who may write into a run's folder: one process at a time, and none over what is there."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from filelock import FileLock, Timeout

from vaekit.errors import RunError
from vaekit.runs.description import CONFIG, MODEL
from vaekit.runs.report import LIVE
from vaekit.training.saving import CHECKPOINTS, LAST

LOCK = "fitting.lock"


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

"""Writing files so that a reader sees the old content or the new, never a part: a temporary name, fsync, rename."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vaekit.errors import RunError


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, and put it in the place of `path` once it is safely on the disk.

    Raises:
        RunError: if the disk is full or the folder cannot be written; the old file, if any, stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            write(temporary)
            temporary.chmod(mode)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file could not be written.

    Raises:
        RunError: if the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"`{path}` could not be written ({error.strerror or error}). Free space or choose another folder."
        ) from error


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically, as UTF-8."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

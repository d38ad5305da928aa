"""Memory that a pass through a model frees and the next pass takes again.

By its own settings glibc gives large blocks back to the system when they are freed. A pass frees all that it computed, so
every pass would ask for all of it anew, and wait while the system clears page after page; convolutions lose a third of
their time to that.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from mmap import PAGESIZE
from pathlib import Path
from threading import Lock

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
STATM = Path("/proc/self/statm")
MIB = 2**20
LEFT = 64 * MIB  # growth that is not worth the time of giving it back
ONE_AT_A_TIME = Lock()


class _Allocator:
    """The allocator of glibc, one for all threads, with a count of those who want freed memory kept.

    Arguments:
        library: the C library.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library, self.lock, self.users, self.resident = library, Lock(), 0, 0

    def keep(self) -> None:
        """Keep freed memory for one more user."""
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.resident = resident()
                self.library.mallopt(MMAP_MAX, 0)
                self.library.mallopt(TRIM_THRESHOLD, 2**31 - 1)

    def release(self) -> None:
        """Count one user less; after the last, set what glibc's own adjustment ends at, and give memory back."""
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.library.mallopt(MMAP_MAX, 2**16)
                self.library.mallopt(MMAP_THRESHOLD, 32 * MIB)
                self.library.mallopt(TRIM_THRESHOLD, 64 * MIB)
                held = resident()
                if not held or held - self.resident > LEFT:
                    self.library.malloc_trim(0)


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Have the C library keep freed memory for this process while a processor works, and give it back in the end.

    Nothing changes for other devices, where the C library is not glibc, where /proc is missing, or where the environment
    sets its allocator (`MALLOC_*_`, `GLIBC_TUNABLES`). Less than 64 MiB is not given back, so that a loop of short uses
    keeps what it needs. Of several uses at once, the last to end gives back.

    Example:
        >>> with kept_memory(torch.device("cpu")):
        ...     sums = [torch.ones(2**20).sum() for _ in range(3)]
    """
    with ONE_AT_A_TIME:
        allocator = _allocator() if device.type == "cpu" else None
    if allocator is None:
        yield
        return
    allocator.keep()
    try:
        yield
    finally:
        allocator.release()


def resident() -> int:
    """Return the memory that this process holds, in bytes, as Linux counts it; 0 while no file can be opened."""
    try:
        return int(STATM.read_text(encoding="utf-8").split()[1]) * PAGESIZE
    except OSError:
        return 0


@cache
def _allocator() -> _Allocator | None:
    """Return the allocator if it is glibc's on Linux, says what it holds, and the environment leaves it alone."""
    if not sys.platform.startswith("linux") or not STATM.is_file() or any(map(_tunes, os.environ)):
        return None
    library = ctypes.CDLL(None)
    known = hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version")
    return _Allocator(library) if known else None


def _tunes(variable: str) -> bool:
    """Tell whether an environment variable is one of the allocator's."""
    return variable == "GLIBC_TUNABLES" or (variable.startswith("MALLOC_") and variable.endswith("_"))


if hasattr(
    os, "register_at_fork"
):  # a forked child starts without its parent's uses, and without a lock that a thread held
    os.register_at_fork(after_in_child=_allocator.cache_clear)

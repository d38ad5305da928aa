"""Memory that a step frees and the next step takes again.

By its own settings glibc gives large blocks back to the system when they are freed. A step frees all that it computed, so
every step would ask for all of it anew, and wait while the system clears page after page; convolutions lose a third of
their time to that.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
MIB = 2**20


@contextmanager
def kept_memory() -> Iterator[None]:
    """Have the C library keep freed memory for this process, and give it back in the end.

    Nothing changes where the C library is not glibc, or where the environment sets its allocator (`MALLOC_*_`,
    `GLIBC_TUNABLES`). Afterwards the allocator has the settings that glibc's own adjustment ends at.

    Example:
        >>> with kept_memory():
        ...     sums = [sum(bytearray(2**20)) for _ in range(3)]
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(MMAP_MAX, 2**16)
        library.mallopt(MMAP_THRESHOLD, 32 * MIB)
        library.mallopt(TRIM_THRESHOLD, 64 * MIB)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc and the environment leaves its allocator alone."""
    if not sys.platform.startswith("linux") or any(map(_tunes, os.environ)):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None


def _tunes(variable: str) -> bool:
    """Tell whether an environment variable is one of the allocator's."""
    return variable == "GLIBC_TUNABLES" or (variable.startswith("MALLOC_") and variable.endswith("_"))

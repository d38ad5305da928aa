"""Processes that decode images, fed by threads of this one.

Threads alone gain 1.4-fold on two cores, because a good part of decoding a small image holds Python's lock; processes gain
1.9-fold. They are started as plain programs, so neither the user's main module nor the state of this process (locks, CUDA,
thread pools) is copied into them, and they end when this process ends, however it ends.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from vaekit.data import decoding
from vaekit.data.decoding import Failures, Geometry, Pixels, ask, decode_block
from vaekit.errors import DataError

Decoder: TypeAlias = Callable[[list[bytes], Geometry], tuple[Pixels, Failures]]
PROGRAM = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def decoders(count: int) -> Iterator[Decoder]:
    """Give a function that decodes a block of images in an idle one of `count` processes; for one, in this process.

    It is meant to be called by `count` threads. Raises a DataError, in use, if a process was ended from outside.
    """
    if count == 1:
        yield decode_block
        return
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def decode(blobs: list[bytes], geometry: Geometry) -> tuple[Pixels, Failures]:
        process = idle.get()
        try:
            if process.stdin is None or process.stdout is None:
                raise EOFError("its pipes are closed")
            return ask(blobs, geometry, process.stdin, process.stdout)
        except (OSError, EOFError) as error:
            raise DataError(
                f"A decoding process ended early ({error}), perhaps for want of memory. Lower `workers`; {count} ran."
            ) from error
        finally:
            idle.put(process)

    with ExitStack() as stack:
        for _ in range(count):
            idle.put(stack.enter_context(_started()))
        yield decode


@contextmanager
def _started() -> Iterator[subprocess.Popen[bytes]]:
    """Start a decoding process, and end it."""
    command = [sys.executable, "-c", PROGRAM, str(decoding.__file__)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()

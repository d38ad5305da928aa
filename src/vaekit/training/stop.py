"""Stopping on request: Ctrl-C and SIGTERM end the step in progress, save, and leave a run that can be resumed."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Stop:
    """While entered, remembers the first SIGINT or SIGTERM instead of dying of it; a second one acts at once.

    Attributes:
        signal: the number of the signal received, None if none was.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]

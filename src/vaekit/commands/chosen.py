"""Which rows and weights a command uses: flags that several commands share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chosen:
    """What a run is used on, and by which weights.

    Args:
        data: other data, or its own in another place, read and transformed as its own was.
        split: test, validation or train; or all, for every row in the order of the source. If absent, of the run's own
            data the first of these that has rows, and all of other data.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
    """

    data: str | None = None
    split: str | None = None
    checkpoint: str = "best"

"""How much is measured, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """How a table is measured.

    Attributes:
        rounds: pairs of alternating runs of each ratio.
        epochs: epochs of the runs whose final bound is compared.
        device: where everything runs.
        threads: threads of the processor.
    """

    rounds: int = 7
    epochs: int = 10
    device: str = "cpu"
    threads: int = 1

"""`vaekit evaluate` and `vaekit report`: what a run is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vaekit.commands.calling import call
from vaekit.run import load


def evaluate(arguments: Sequence[str]) -> None:
    """Judge a run."""
    call(_evaluate, arguments)


def report(arguments: Sequence[str]) -> None:
    """Write a run's figures and report."""
    call(_report, arguments)


def _evaluate(
    run: Path,
    *,
    data: str | None = None,
    split: str = "test",
    samples: int = 128,
    checkpoint: str = "best",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Judge a run on held-out data: nats per example, bits per dimension, active units.

    Args:
        run: the folder of the run.
        data: other data than the run's own.
        split: test, validation or train.
        samples: importance samples per example.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        seed: of all draws.
        json: print JSON, and nothing else.
    """
    console = Console(soft_wrap=True, highlight=False)
    fitted = load(run, data=data, checkpoint=checkpoint)
    if json:
        print(fitted.evaluate(split, samples=samples, seed=seed).to_json())
        return
    with Console(stderr=True).status("evaluating") as status:
        evaluation = fitted.evaluate(
            split, samples=samples, seed=seed, progress=lambda done: status.update(f"evaluated {done:,} examples")
        )
    console.print(f"{run}, weights: {fitted.checkpoint}", markup=False)
    console.print(evaluation)


def _report(run: Path, *, checkpoint: str = "best", samples: int = 128, limit: int = 2000) -> None:
    """Write a run's figures and its report, one HTML file.

    Args:
        run: the folder of the run.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        samples: importance samples per example.
        limit: how many examples the figures show at most.
    """
    fitted = load(run, checkpoint=checkpoint)
    for path in (*fitted.figures(limit), fitted.report(samples=samples, limit=limit)):
        print(f"wrote {path}")

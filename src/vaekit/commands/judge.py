"""`vaekit evaluate` and `vaekit report`: what a run is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import vaekit
from vaekit.commands.calling import call
from vaekit.commands.chosen import Chosen
from vaekit.commands.loading import judged, load
from vaekit.defaults import SAMPLES


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
    split: str | None = None,
    samples: int = SAMPLES,
    checkpoint: str = "best",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Judge a run on held-out data: nats per example, bits per dimension, active units.

    Args:
        run: the folder of the run.
        data: other data, or its own in another place, read and transformed as its own was.
        split: test, validation, train, or all. If absent, of the run's own data the first of these that has rows, and all of
            other data.
        samples: importance samples per example.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        seed: of the draws of latents; noise of the data is the same in every evaluation.
        json: print JSON, and nothing else.
    """
    fitted, judging = load(run, Chosen(data, split, checkpoint))
    with Console(stderr=True).status("evaluating") as status:
        evaluation = fitted.evaluate(
            judging, samples=samples, seed=seed, progress=lambda done: status.update(f"evaluated {done:,} examples")
        )
    if json:
        print(evaluation.to_json(run=str(run), **fitted.judged))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(judged(fitted), markup=False)
    console.print(evaluation)


def _report(run: Path, *, checkpoint: str = "best", samples: int | None = None, limit: int | None = None) -> None:
    """Write a run's figures and its report, one HTML file.

    Args:
        run: the folder of the run.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        samples: importance samples per example, where the newest judgement of these weights had fewer; any number, if absent.
        limit: how many examples the figures show at most; as `vaekit fit` was told if absent.
    """
    from vaekit.arguments import require_count

    if limit is not None:
        require_count("", "--limit", limit)
    fitted = vaekit.load(run, checkpoint=checkpoint)
    shown = figure_flags(run) | ({} if limit is None else {"limit": limit})
    for path in (*fitted.figures(**shown), fitted.report(samples=samples, **shown)):
        print(f"wrote {path}")


def figure_flags(folder: Path) -> dict[str, Any]:
    """Return what a run's configuration says of its figures: which examples they show, and the range of the manifold."""
    from vaekit.runs.description import CONFIG, read_yaml

    flags = read_yaml(folder, CONFIG)
    named = {
        name: flags.get(f"figure_{flag}")
        for name, flag in (("limit", "examples"), ("split", "split"), ("span", "span"))
    }
    return {name: value for name, value in named.items() if value is not None}

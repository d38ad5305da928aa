"""Saving and restoring the whole state of a run, of one moment, in one file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vaekit.errors import RunError
from vaekit.training import checkpoint
from vaekit.training.meter import Reading, Row

if TYPE_CHECKING:
    from vaekit.training.loop import Trainer

LAST = "last.safetensors"


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        epoch: whole epochs done.
        batch: batches done of the epoch in progress.
        sums: sums over the examples of the epoch in progress, by term, with their count under "examples".
        best: validation loss and file of the best checkpoints, best first.
        lowest: the lowest validation loss so far.
        waited: evaluations since the validation loss last improved.
        finished: whether training stopped early.
        interrupted: the signal that stopped the run, None if none did.
    """

    epoch: int = 0
    batch: int = 0
    sums: Row = field(default_factory=dict)
    best: list[tuple[float, str]] = field(default_factory=list)
    lowest: float = math.inf
    waited: int = 0
    finished: bool = False
    interrupted: int | None = None

    def collect(self, reading: Reading) -> None:
        """Add a reading to the epoch's sums."""
        for name, value in {**reading.values, "examples": 1.0}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * reading.examples

    def epoch_average(self) -> Row:
        """Return the averages of the epoch in progress."""
        return {name: total / self.sums["examples"] for name, total in self.sums.items() if name != "examples"}

    def judge(self, loss: float) -> None:
        """Take note of a validation loss; one that is not a number improves nothing."""
        self.waited = 0 if loss < self.lowest else self.waited + 1
        self.lowest = loss if loss < self.lowest else self.lowest

    def next_epoch(self) -> None:
        """Count an epoch as done."""
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}


class Saver:
    """Writes and reads a trainer's checkpoints.

    Arguments:
        trainer: whose state is saved.
        folder: the run's folder; None saves nothing.
    """

    def __init__(self, trainer: Trainer, folder: Path | None) -> None:
        self.trainer = trainer
        self.folder = folder / "checkpoints" if folder else None
        self.obsolete: list[str] = []
        self.saved_at = time.monotonic()

    def save_last(self) -> None:
        """Write the checkpoint from which the run resumes, and remove what it no longer refers to."""
        tree = self._tree()
        if self.folder is not None:
            checkpoint.save(self.folder / LAST, tree)
            for name in self.obsolete:
                (self.folder / name).unlink(missing_ok=True)
        self.obsolete.clear()
        self.saved_at = time.monotonic()

    def save_last_if_due(self) -> None:
        """Write it within an epoch if the last one is old."""
        if (
            self.trainer.fabric.world_size == 1
            and time.monotonic() - self.saved_at > 60 * self.trainer.settings.save_minutes
        ):
            self.save_last()

    def keep_if_best(self, loss: float, epoch: int) -> None:
        """Keep a checkpoint if its validation loss is among the best; a loss that is not a number never is."""
        best, keep = self.trainer.progress.best, self.trainer.settings.keep_best
        if math.isnan(loss) or not keep or (len(best) >= keep and loss >= best[-1][0]):
            return
        name = f"best-epoch{epoch:04d}.safetensors"
        best.append((loss, name))
        best.sort()
        self.obsolete += [old for _, old in best[keep:]]
        del best[keep:]
        tree = self._tree()
        if self.folder is not None:
            checkpoint.save(self.folder / name, tree)

    def last_known(self) -> str:
        """Say where the last good state is."""
        return f"in `{self.folder / LAST}`" if self.folder else "lost, because this run has no folder"

    def restore(self, path: Path) -> Mapping[str, int]:
        """Continue from a checkpoint; return the lengths of the tables at its moment."""
        trainer, tree = self.trainer, checkpoint.load(path)
        try:
            trainer.model.load_state_dict(tree["model"])
            trainer.optimizer.load_state_dict(tree["optimizer"])
            if trainer.schedule is not None:
                trainer.schedule.load_state_dict(tree["schedule"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(f"`{path}` was written by another model or optimiser: {error}") from error
        if trainer.step.average is not None:
            trainer.step.average.averages = [t.to(trainer.device) for t in tree["average"]]
        trainer.strategy.precision.load_state_dict(tree["precision"])
        trainer.meter.restore(tree["meter"])
        progress = {**tree["progress"], "interrupted": None}
        trainer.progress = Progress(**{**progress, "best": [(loss, name) for loss, name in progress["best"]]})
        _set_random_state(tree["random"][trainer.fabric.global_rank % len(tree["random"])])
        lengths: Mapping[str, int] = tree["tables"]
        return lengths

    def _tree(self) -> dict[str, Any]:
        trainer = self.trainer
        recorder = getattr(trainer, "recorder", None)
        return {
            "model": trainer.strategy.get_module_state_dict(trainer.model),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict() if trainer.schedule else None,
            "parameters": [name for name, _ in trainer.model.named_parameters()],
            "average": trainer.step.average.averages if trainer.step.average else None,
            "precision": trainer.strategy.precision.state_dict(),
            "meter": trainer.meter.state(),
            "progress": asdict(trainer.progress),
            "random": _random_states(trainer.fabric.world_size),
            "tables": recorder.state() if recorder else {},
        }


def weights(tree: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights that a checkpoint evaluates: the averaged ones where there is an average."""
    model: dict[str, torch.Tensor] = dict(tree["model"])
    if tree["average"]:
        model.update(zip(tree["parameters"], tree["average"], strict=True))
    return model


def _random_states(world: int) -> list[dict[str, Any]]:
    """Return the random state of every process."""
    state = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}
    if world == 1:
        return [state]
    states: list[Any] = [None] * world
    torch.distributed.all_gather_object(states, state)
    return states


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])

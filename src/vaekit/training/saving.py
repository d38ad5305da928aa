"""Saving and restoring the whole state of a run, of one moment, in one file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from vaekit.errors import RunError
from vaekit.objectives import Objective
from vaekit.text import listed
from vaekit.training import checkpoint
from vaekit.training.meter import Reading, Row
from vaekit.training.options import IMPLEMENTATION, refuse_other_options, take_up_options
from vaekit.training.processes import by_first
from vaekit.training.sharded import gathered, scattered

if TYPE_CHECKING:
    from vaekit.training.loop import Trainer

CHECKPOINTS, LAST = "checkpoints", "last.safetensors"


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        epoch: whole epochs done.
        batch: batches done of the epoch in progress.
        sums: sums over the examples of the epoch in progress, by term.
        counts: how many examples each sum is over.
        best: validation loss and file of the best checkpoints, best first.
        lowest: the lowest validation loss so far.
        waited: evaluations since the validation loss last improved.
        finished: whether training stopped early.
        interrupted: the signal that stopped the run, None if none did.
    """

    epoch: int = 0
    batch: int = 0
    sums: Row = field(default_factory=dict)
    counts: Row = field(default_factory=dict)
    best: list[tuple[float, str]] = field(default_factory=list)
    lowest: float = math.inf
    waited: int = 0
    finished: bool = False
    interrupted: int | None = None

    def collect(self, reading: Reading) -> None:
        """Add a reading to the epoch's sums."""
        for name, value in reading.values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * reading.counts[name]
            self.counts[name] = self.counts.get(name, 0.0) + reading.counts[name]

    def epoch_average(self) -> Row:
        """Return the averages of the epoch in progress."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def judge(self, loss: float) -> None:
        """Take note of a validation loss; one that is not a number improves nothing."""
        self.waited = 0 if loss < self.lowest else self.waited + 1
        self.lowest = loss if loss < self.lowest else self.lowest

    def next_epoch(self) -> None:
        """Count an epoch as done."""
        self.epoch, self.batch, self.sums, self.counts = self.epoch + 1, 0, {}, {}


class Saver:
    """Writes and reads a trainer's checkpoints; all processes take part in it, and the first one writes.

    Arguments:
        trainer: whose state is saved.
        folder: the run's folder; None writes nothing.

    Attributes:
        held: where there is no folder, the weights of the best checkpoints, by name.
    """

    def __init__(self, trainer: Trainer, folder: Path | None) -> None:
        self.trainer = trainer
        self.folder = folder / CHECKPOINTS if folder else None
        self.writes = bool(folder) and trainer.fabric.is_global_zero
        self.obsolete: list[str] = []
        self.held: dict[str, dict[str, torch.Tensor]] = {}
        self.saved_at = time.monotonic()

    def save_last(self) -> None:
        """Write the checkpoint from which the run resumes, and remove what it no longer refers to."""
        self._write(LAST)
        while self.obsolete:
            name = self.obsolete.pop()
            self.held.pop(name, None)
            if self.folder is not None and self.writes:
                (self.folder / name).unlink(missing_ok=True)
        self.saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the last checkpoint is so old that one is written within an epoch."""
        return time.monotonic() - self.saved_at > 60 * self.trainer.settings.save_minutes

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
        self._write(name)
        if self.folder is None:
            self.held[name] = {key: weight.cpu().clone() for key, weight in weights(self._tree()).items()}

    def last_known(self) -> str:
        """Say where the last good state is."""
        return f"in `{self.folder / LAST}`" if self.folder else "lost, because this run has no folder"

    def restore(self, path: Path) -> Mapping[str, int]:
        """Continue from a checkpoint; return how many rows each table had at its moment.

        Raises:
            RunError: if it is of another model, or lies within an epoch of other batches.
        """
        trainer = self.trainer
        tree = by_first(trainer.fabric, lambda: checkpoint.load(path))
        _refuse_other_batches(trainer, tree, path)
        refuse_other_weights(trainer.model, tree["model"], path)
        options = tree.get("options", trainer.options)
        refuse_other_options(options, trainer.options, path)
        try:
            _take_weights(trainer.model, tree["model"])
            take_learned(trainer.passing.objective, tree)
            _take_state(trainer.optimizer, tree["optimizer"])
            if trainer.schedule is not None:
                trainer.schedule.load_state_dict(tree["schedule"])
            take_up_options(trainer.optimizer, trainer.schedule, trainer.settings.optimizer, options)
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(f"`{path}` was written by another optimiser or schedule: {error}") from error
        if trainer.step.average is not None and tree["average"]:
            average = trainer.step.average
            average.averages = [
                scattered(t.to(trainer.device), w) for t, w in zip(tree["average"], average.weights, strict=True)
            ]
        trainer.strategy.precision.load_state_dict(tree["precision"])
        trainer.meter.restore(tree["meter"], trainer.device, counted=trainer.fabric.is_global_zero)
        trainer.progress = _taken_up(tree["progress"], trainer.settings.patience)
        _set_random_state(tree["random"], trainer)
        rows: Mapping[str, int] = tree["tables"]
        return rows

    def _write(self, name: str) -> None:
        tree = self._tree()
        if self.folder is not None and self.writes:
            checkpoint.save(self.folder / name, tree)

    def _tree(self) -> dict[str, Any]:
        trainer = self.trainer
        tree = {
            "model": trainer.strategy.get_module_state_dict(trainer.model),
            "objective": learned_by(trainer.passing.objective),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict() if trainer.schedule else None,
            "options": trainer.options,
            "parameters": [name for name, _ in trainer.model.named_parameters()],
            "shared": shared_names(trainer.model),
            "average": trainer.step.average.averages if trainer.step.average else None,
            "precision": trainer.strategy.precision.state_dict(),
            "meter": trainer.meter.state(),
            "progress": asdict(trainer.progress),
            "steps": trainer.loader.steps,
            "accumulate": trainer.settings.accumulate,
            "random": _random_states(trainer),
            "tables": dict(trainer.recorder.rows),
        }
        return {name: gathered(value) for name, value in tree.items()}


def weights(tree: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights that a checkpoint evaluates: the averaged ones where there is an average."""
    model: dict[str, torch.Tensor] = dict(tree["model"])
    if tree["average"]:
        model.update(zip(tree["parameters"], tree["average"], strict=True))
        model.update({other: model[name] for other, name in tree.get("shared", {}).items()})
    return model


def learned_by(objective: Objective) -> dict[str, torch.Tensor]:
    """Return the buffers of an objective that is a module; other objectives learn nothing."""
    return objective.state_dict() if isinstance(objective, nn.Module) else {}


def take_learned(objective: Objective, tree: Mapping[str, Any]) -> None:
    """Put what an objective had learned by the time of a checkpoint into one like it."""
    if isinstance(objective, nn.Module):
        objective.load_state_dict(tree.get("objective", {}))


def shared_names(model: nn.Module) -> dict[str, str]:
    """Return the further names of parameters that several modules share, each with the first name of the same."""
    first = {parameter: name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[parameter] for name, parameter in every if first[parameter] != name}


def _refuse_other_batches(trainer: Trainer, tree: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on within an epoch by other batches, or other groups of them, than it was begun with."""
    now = trainer.loader.steps, trainer.settings.accumulate
    batch, before = tree["progress"]["batch"], (tree.get("steps", now[0]), tree.get("accumulate", now[1]))
    if batch and before != now:
        raise RunError(
            f"`{path}` lies after batch {batch} of an epoch of {before[0]}, {before[1]} a step; an epoch would now have {now[0]}, "
            f"{now[1]} a step. Resume with the `batch_size`, `accumulate` and data that the run had; they can be changed between "
            f"epochs."
        )


def refuse_other_weights(model: nn.Module, kept: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse the weights of another model.

    Arguments:
        model: the model that they are for.
        kept: the weights, by name.
        path: the checkpoint that they are from.

    Raises:
        RunError: naming those that differ.
    """
    there, here = ({name: str(tuple(t.shape)) for name, t in its.items()} for its in (kept, model.state_dict()))
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if names:
        which = listed([f"{name} ({there.get(name, 'none')}, here {here.get(name, 'none')})" for name in names])
        raise RunError(
            f"`{path}` was written by another model: of other shapes are {which}. Give a model like the one that was fitted."
        )


def _take_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load weights, split where the model's are."""
    like = model.state_dict()
    model.load_state_dict({name: scattered(value, like.get(name)) for name, value in weights.items()})


def _take_state(optimizer: Optimizer, state: Any) -> None:
    """Load an optimiser's state, split where the weights that it belongs to are; its implementation stays its own."""
    own = [{name: group[name] for name in IMPLEMENTATION if name in group} for group in optimizer.param_groups]
    groups = [{**group, **kept} for group, kept in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for weight, values in optimizer.state.items():
        values.update({name: scattered(v, weight) for name, v in values.items() if isinstance(v, torch.Tensor)})


def _taken_up(progress: Mapping[str, Any], patience: int | None) -> Progress:
    """Make what a checkpoint tells of a run's progress into that of one which goes on, with a patience of its own."""
    known = Progress(**{**progress, "best": [(loss, name) for loss, name in progress["best"]]})
    return replace(known, interrupted=None, finished=patience is not None and known.waited >= patience)


def _random_states(trainer: Trainer) -> list[dict[str, Any]]:
    """Return the random state of every process."""
    state = {"cpu": torch.get_rng_state()}
    if trainer.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(trainer.device)
    states: list[Any] = [state] * trainer.fabric.world_size
    if len(states) > 1:
        torch.distributed.all_gather_object(states, state)
    return states


def _set_random_state(states: Sequence[Mapping[str, Any]], trainer: Trainer) -> None:
    """Take up this process's random state; a process that there was not before is seeded by itself and the step."""
    rank = trainer.fabric.global_rank
    if rank >= len(states):
        torch.manual_seed(torch.initial_seed() + trainer.taken)
        return
    torch.set_rng_state(states[rank]["cpu"])
    if "cuda" in states[rank] and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(states[rank]["cuda"], trainer.device)

"""Whether a run may go on with given parts: its losses and its best checkpoints would otherwise be of two."""

from __future__ import annotations

from pathlib import Path

from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.errors import RunError
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.runs.description import (
    MODEL,
    describe_objective,
    describe_or_none,
    does_the_same,
    held_out,
    read_yaml,
    rebuilt_objective,
    some_examples,
    telling_damage,
)
from vaekit.text import listed


def refuse_another(folder: Path | None, model: VAE, objective: Objective, data: Dataset) -> None:
    """Refuse to go on with a run by another model, objective or data: its losses, and its best checkpoints, would be of two.

    A model is another one if, with the same weights, it makes something else of a batch. A function of the same name is taken
    for the run's own. There is no folder where no run goes on.

    Raises:
        RunError: saying how they differ.
    """
    if folder is None:
        return
    kept, given = read_yaml(folder, MODEL), describe_or_none(model)
    before, now = kept.get("events") or {}, {"digest": data.about.digest, "splits": held_out(data)}
    if any(before.get(name, value) != value for name, value in now.items()):
        raise RunError(
            f"`data` is not what the run in `{folder}` was begun with, so other rows would be held out. Give the same, or fit "
            f"another run, from this one's model where its weights are wanted."
        )
    if kept.get("model") not in (None, given) and given is not None:
        with telling_damage(folder):
            other = spec.rebuilt(model, kept["model"])
        if other is None or not does_the_same(other, model, some_examples(data)):
            raise RunError(
                f"`model` is another one than that of the run in `{folder}`: "
                f"{listed(list(spec.differing(kept['model'], given)))}. Give a model like that, or fit another run."
            )
    if kept.get("objective") not in (None, describe_objective(objective)):
        raise RunError(
            f"`objective` is {objective}, and the run in `{folder}` was fitted by {rebuilt_objective(folder, kept)}, which its "
            f"losses and best checkpoints are of. Resume it by that, or fit another run, from this one's model where its weights "
            f"are wanted."
        )

"""A run: what was fitted, to what, and where it is kept. `vaekit.fit` makes one, `load` gives one back.

The folder of a run holds `config.yaml` (the flags to run the same again), `model.yaml` (the model, objective and data as they
were built), `metrics.csv`, `rates.csv`, TensorBoard events, `checkpoints/`, `figures/`, `evaluation.json` and `report.html`.
Loading imports the classes that `model.yaml` names, and unpickles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, cast

from vaekit import figures as drawing
from vaekit.data.dataset import Dataset
from vaekit.data.reading import Opened
from vaekit.data.splits import PARTS
from vaekit.runs.description import MODEL, read_yaml, rebuilt, rebuilt_objective
from vaekit.errors import RunError
from vaekit.evaluation import Evaluation, evaluate
from vaekit.files import write_text
from vaekit.runs.description import CONFIG
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.runs.reopening import reopen as reopen_data
from vaekit.runs.report import report as write_report
from vaekit.runs.report import title_of
from vaekit.evaluation.scorable import scorable
from vaekit.training import Progress
from vaekit.training.checkpoint import load as load_checkpoint
from vaekit.training.recorder import METRICS, RATES, History, read_table
from vaekit.training.saving import CHECKPOINTS, LAST, refuse_other_weights, weights

Span: TypeAlias = tuple[float, float]
EVALUATED_AT_ONCE, SUFFIX = 256, ".safetensors"


@dataclass(repr=False)
class Run:
    """A fitted model with its data, objective and folder.

    Attributes:
        model: the model, with the weights of the best checkpoint by validation loss where one was kept, else of the last step.
        objective: what it was fitted by; its name alone where the run was loaded and cannot rebuild it.
        data: the data it was fitted to; None where the run was loaded and its data was only in memory.
        folder: where the run is kept; None if it is not.
        progress: where training stands; None for a run that was loaded.
        steps: how many steps this fit took; 0 for a run that was loaded, or that was resumed after its last epoch.
        checkpoint: the name of the checkpoint that the weights were taken from.
        taken: the step of that checkpoint.
        evaluation: the newest judgement, None if there is none.
        judged: what that is of: the weights and their step, the data's name, and the splits.
    """

    model: VAE
    objective: Objective
    data: Dataset | None
    folder: Path | None
    progress: Progress | None = None
    steps: int = 0
    checkpoint: str = "last"
    taken: int = 0
    evaluation: Evaluation | None = None
    judged: dict[str, Any] = field(default_factory=dict)
    _drawn: tuple[object, list[drawing.Illustration]] | None = field(default=None)

    def __repr__(self) -> str:
        kept = "not kept" if self.folder is None else repr(str(self.folder))
        epochs = "" if self.progress is None else f", epochs={self.progress.epoch}"
        data = None if self.data is None else self.data.name
        return f"Run({kept}, data={data!r}{epochs}, step={self.step})"

    @property
    def step(self) -> int:
        """How many steps the weights were trained."""
        return int(self.model.step.item())

    @property
    def weights(self) -> str:
        """What the weights are, in words: those of a checkpoint, or, where they were trained further since, of a step."""
        return self.checkpoint if self.step == self.taken else f"step {self.step}"

    @property
    def history(self) -> History:
        """The recorded averages, from `metrics.csv`: split -> column -> numbers in order."""
        return read_table(self.needs_folder() / METRICS)

    @property
    def rates(self) -> History:
        """The recorded rate of each latent, from `rates.csv`: split -> column -> numbers in order."""
        return read_table(self.needs_folder() / RATES)

    def evaluate(
        self, split: str = "test", *, samples: int = 128, seed: int = 0, progress: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Judge the model on a split, and keep the result in `evaluation.json`.

        Arguments:
            split: "test", "validation" or "train", where it is empty the first of these that is not; or "all".
            samples: importance samples per example.
            seed: of the draws of latents; noise of the data is the same in every evaluation.
            progress: called with the number of examples done.
        """
        data, splits = self.needs_data(), self.parts(split)
        likelihood, device = self.model.likelihood, self.model.step.device
        parts = [scorable(data, likelihood, name, EVALUATED_AT_ONCE, device) for name in splits]
        evaluation = evaluate(
            self.model,
            chain.from_iterable(parts),
            samples=samples,
            bits_offset=data.bits_offset(likelihood),
            units_offset=data.units_offset(likelihood),
            seed=seed,
            progress=progress,
        )
        self.evaluation = evaluation
        told = [split] if split == "all" else splits
        self.judged = {"checkpoint": self.weights, "step": self.step, "data": data.name, "split": told}
        if self.folder is not None:
            written = json.dumps({**evaluation.as_dict(), **self.judged}, indent=2, allow_nan=False)
            write_text(self.folder / "evaluation.json", written + "\n")
        return evaluation

    def illustrate(
        self, limit: int = 2000, span: Span | None = None, split: str = "test"
    ) -> list[drawing.Illustration]:
        """Draw every figure that suits the model and the data, and the course of training.

        Figures that were drawn are kept until other weights are taken, these are trained further, or the arguments change.

        Arguments:
            limit: how many examples are shown at most.
            span: the range of both axes of the linear manifold; None takes the range of the codes.
            split: whose examples are shown; where it is empty, those of the first split that is not.
        """
        key = (self.weights, self.step, limit, span, split)
        if self._drawn is None or self._drawn[0] != key:
            finished = [i._replace(picture=drawing.shown(i.picture)) for i in self._illustrations(limit, span, split)]
            self._drawn = (key, finished)
        return self._drawn[1]

    def _illustrations(self, limit: int, span: Span | None, split: str) -> Iterator[drawing.Illustration]:
        data = self.needs_data()
        split = self.parts(split)[0]
        yield from drawing.illustrate(
            self.model,
            data.batches(split, EVALUATED_AT_ONCE, self.model.step.device),
            labels=data.split(split).labels,
            label_names=data.label_names,
            look=drawing.Look(data.column_names, data.in_units, data.column_words, data.shown),
            limit=limit,
            span=span,
        )
        if self.folder is not None and self.history:
            relaxed = not getattr(self.model.likelihood, "is_normalised", True)
            yield from drawing.training(self.history, self.rates, relaxed=relaxed)

    def figures(self, limit: int = 2000, span: Span | None = None, split: str = "test") -> list[Path]:
        """Save all figures, as `illustrate` draws them, in the folder `figures`, and return their paths."""
        folder = self.needs_folder() / "figures"
        return [drawing.save(i.picture, folder / f"{i.name}.png") for i in self.illustrate(limit, span, split)]

    def report(self, *, samples: int = 128, limit: int = 2000, span: Span | None = None, split: str = "test") -> Path:
        """Write `report.html`: the model, its newest numbers, all figures and the configuration, in one file.

        Arguments:
            samples: importance samples per example, where these weights were not judged yet; then they are on the test split.
            limit: how many examples the figures show at most.
            span: the range of both axes of the linear manifold.
            split: whose examples the figures show.
        """
        folder, data = self.needs_folder(), self.needs_data()
        of_these = (self.judged.get("checkpoint"), self.judged.get("step")) == (self.weights, self.step)
        evaluation = (self.evaluation if of_these else None) or self.evaluate(samples=samples)
        shown = f"weights: {self.weights}; figures: split {self.parts(split)[0]}"
        summary = "\n\n".join((data.describe(), shown, repr(self.model), repr(self.objective)))
        return write_report(
            folder / "report.html",
            title=title_of(data, folder),
            summary=summary,
            evaluation={", ".join(self.judged.get("split", ())): evaluation},
            figures=self.illustrate(limit, span, split),
            history=self.history,
            configuration=(folder / CONFIG).read_text(encoding="utf-8"),
        )

    def parts(self, split: str) -> list[str]:
        """Return the parts of the data that a split stands for.

        They are all that have rows for "all", else the split itself, or, if it has no rows, the first that has.
        """
        data = self.needs_data()
        order = PARTS if split == "all" else (split, *reversed(PARTS))
        filled = [name for name in order if len(data.split(name))]
        return filled if split == "all" else filled[:1]

    def needs_folder(self) -> Path:
        """Return the folder.

        Raises:
            RunError: if the run keeps none.
        """
        if self.folder is None:
            raise RunError("This run keeps no folder. Give `run=` to `fit`.")
        return self.folder

    def needs_data(self) -> Dataset:
        """Return the data.

        Raises:
            RunError: if the run's data was only in memory.
        """
        if self.data is None:
            raise RunError("The data of this run was only in memory. Give it to `vaekit.load(folder, data=...)`.")
        return self.data


def load(
    folder: str | Path,
    *,
    model: VAE | None = None,
    data: Opened | Dataset | None = None,
    checkpoint: str = "best",
    reopen: bool = True,
    whole: bool = False,
) -> Run:
    """Load a run from its folder, without unpickling anything.

    Arguments:
        folder: the run's folder.
        model: a model like the fitted one, needed only where the configuration could not describe it.
        data: the data, if it was only in memory or has moved, or other data; it is split and transformed as the run's own was.
            Absent, that is opened again.
        checkpoint: "best" (by validation loss; the last if none was kept), "last", or the name of one in `checkpoints/`.
        reopen: False leaves the data closed, for what needs the model alone.
        whole: cut no rows off for validation and test, but where the source itself sets them apart: `evaluate("all")` then
            judges every row, of data that has one row too.

    Raises:
        RunError: if there is no run, or it is damaged.
        ConfigError: if the configuration names what cannot be imported.
        DataError: if the data is no longer there, was changed, or is a table of other columns.
        ShapeError: if its events have another shape than the model's.
    """
    folder = Path(folder)
    kept = read_yaml(folder, MODEL)
    if model is None and not kept.get("model"):
        raise RunError(f"The run in `{folder}` holds a model that could not be described. Give one like it: `model=`.")
    restored = model or cast(VAE, rebuilt(folder, kept["model"]))
    run = Run(restored, rebuilt_objective(folder, kept), None, folder)
    load_weights(run, checkpoint)
    if reopen or data is not None:
        opened_by, events = (rebuilt(folder, kept.get(part) or {}) for part in ("data", "events"))
        run.data = reopen_data(opened_by, events, data, whole)
    restored.eval()
    return run


def load_weights(run: Run, checkpoint: str) -> None:
    """Put the weights of a checkpoint into a run's model.

    Raises:
        RunError: if there is no such checkpoint, or it is of another model.
    """
    folder = run.needs_folder() / CHECKPOINTS
    name = {"last": LAST, "best": _best_name(folder)}.get(checkpoint) or f"{checkpoint.removesuffix(SUFFIX)}{SUFFIX}"
    if Path(name).name != name:
        raise RunError(f"`checkpoint` is {checkpoint!r}; name a file of `{folder}`, or best, or last.")
    take_weights(run, load_checkpoint(folder / name), name)


def take_weights(run: Run, tree: Mapping[str, Any], name: str) -> None:
    """Put the weights of a checkpoint that was read from the file `name` into a run's model.

    Raises:
        RunError: if it is of another model.
    """
    kept = weights(tree)
    refuse_other_weights(run.model, kept, run.needs_folder() / CHECKPOINTS / name)
    run.model.load_state_dict(kept)
    run.checkpoint, run.taken = name.removesuffix(SUFFIX), run.step


def _best_name(folder: Path) -> str:
    best = load_checkpoint(folder / LAST)["progress"]["best"]
    return str(best[0][1]) if best else LAST

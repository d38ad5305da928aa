"""A run: what was fitted, to what, and where it is kept. `fit` makes one, `load` gives one back.

The folder of a run holds `config.yaml` (the flags to run the same again), `model.yaml` (the model, objective and data as they
were built), `metrics.csv`, `rates.csv`, TensorBoard events, `checkpoints/`, `figures/`, `evaluation.json` and `report.html`.
Loading imports the classes that `model.yaml` names, and unpickles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch

from vaekit import data as data_room
from vaekit import figures as drawing
from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.data.reading import Opened
from vaekit.errors import ConfigError, RunError
from vaekit.evaluation import Evaluation, evaluate
from vaekit.files import write_text
from vaekit.keeping import CONFIG, MODEL, read_yaml, write_config
from vaekit.model import VAE
from vaekit.objectives import ELBO, Objective
from vaekit.report import report as write_report
from vaekit.training import Progress, Settings, Trainer
from vaekit.training.checkpoint import load as load_checkpoint
from vaekit.training.processes import by_first, make_fabric
from vaekit.training.recorder import METRICS, RATES, History, read_table
from vaekit.training.saving import CHECKPOINTS, LAST, weights

Span: TypeAlias = tuple[float, float]
EVALUATED_AT_ONCE = 256


@dataclass
class Run:
    """A fitted model with its data, objective and folder.

    Attributes:
        model: the model, with the weights of the best checkpoint by validation loss where one was kept, else of the last step.
        objective: what it was fitted by.
        data: the data it was fitted to; None where the run was loaded and its data was only in memory.
        folder: where the run is kept; None if it is not.
        progress: where training stands; None for a run that was loaded.
        checkpoint: what the weights are, in words.
        evaluation: the newest judgement, None if there is none.
    """

    model: VAE
    objective: Objective
    data: Dataset | None
    folder: Path | None
    progress: Progress | None = None
    checkpoint: str = "last"
    evaluation: Evaluation | None = None
    _drawn: tuple[object, list[drawing.Illustration]] | None = field(default=None, repr=False)

    @property
    def history(self) -> History:
        """The recorded averages, from `metrics.csv`: split -> column -> numbers in order."""
        return read_table(self._folder() / METRICS)

    @property
    def rates(self) -> History:
        """The recorded rate of each latent, from `rates.csv`: split -> column -> numbers in order."""
        return read_table(self._folder() / RATES)

    def evaluate(
        self, split: str = "test", *, samples: int = 128, seed: int = 0, progress: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Judge the model on a split, and keep the result in `evaluation.json`.

        Arguments:
            split: "test", "validation" or "train"; where it is empty, the first of these that is not.
            samples: importance samples per example.
            seed: of all draws.
            progress: called with the number of examples done.
        """
        data = self.needs_data()
        batches = data.batches(_filled(data, split), EVALUATED_AT_ONCE, self.model.step.device)
        evaluation = evaluate(
            self.model,
            batches,
            samples=samples,
            bits_offset=data.bits_offset(self.model.likelihood),
            seed=seed,
            progress=progress,
        )
        self.evaluation = evaluation
        if self.folder is not None:
            write_text(self.folder / "evaluation.json", evaluation.to_json() + "\n")
        return evaluation

    def illustrate(self, limit: int = 2000, span: Span | None = None) -> list[drawing.Illustration]:
        """Draw every figure that suits the model and the data, and the course of training.

        Figures that were drawn are kept until the weights, or the arguments, change.

        Arguments:
            limit: how many test examples are shown at most.
            span: the range of both axes of the linear manifold; None takes the range of the codes.
        """
        key = (self.checkpoint, limit, span)
        if self._drawn is None or self._drawn[0] != key:
            finished = [i._replace(picture=drawing.shown(i.picture)) for i in self._illustrations(limit, span)]
            self._drawn = (key, finished)
        return self._drawn[1]

    def _illustrations(self, limit: int, span: Span | None) -> Iterator[drawing.Illustration]:
        data = self.needs_data()
        split = _filled(data, "test")
        yield from drawing.illustrate(
            self.model,
            data.batches(split, EVALUATED_AT_ONCE, self.model.step.device),
            labels=data.split(split).labels,
            label_names=data.label_names,
            column_names=data.column_names,
            limit=limit,
            span=span,
        )
        if self.folder is not None and self.history:
            yield from drawing.training(self.history, self.rates)

    def figures(self, limit: int = 2000, span: Span | None = None) -> list[Path]:
        """Save all figures, as `illustrate` draws them, in the folder `figures`, and return their paths."""
        folder = self._folder() / "figures"
        return [drawing.save(i.picture, folder / f"{i.name}.png") for i in self.illustrate(limit, span)]

    def report(self, *, samples: int = 128, limit: int = 2000, span: Span | None = None) -> Path:
        """Write `report.html`: the model, its numbers on the test split, all figures and the configuration, in one file.

        Arguments:
            samples: importance samples per example, where the run was not evaluated yet.
            limit: how many examples the figures show at most.
            span: the range of both axes of the linear manifold.
        """
        folder, data = self._folder(), self.needs_data()
        evaluation = self.evaluation or self.evaluate(samples=samples)
        summary = f"{data.describe()}\n\nweights: {self.checkpoint}\n\n{self.model!r}\n\n{self.objective!r}"
        return write_report(
            folder / "report.html",
            title=f"{data.name}: {folder.name}",
            summary=summary,
            evaluation=evaluation,
            figures=self.illustrate(limit, span),
            history=self.history,
            configuration=(folder / CONFIG).read_text(encoding="utf-8"),
        )

    def _folder(self) -> Path:
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


def fit(
    model: VAE,
    objective: Objective | None = None,
    data: Opened | Dataset = "digits",
    *,
    run: str | Path | None = None,
    resume: bool | None = False,
    config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Fit a model to data.

    Arguments:
        model: what is fitted, in place.
        objective: what is minimised; the ELBO if absent.
        data: anything that `vaekit.data.open` takes, or what it returned.
        run: the folder that keeps the run; None keeps nothing on disk.
        resume: continue the run in that folder from its last checkpoint, bit for bit as if it had not stopped; None does so
            if the folder holds a run, and else starts one.
        config: further entries of the run's `config.yaml`, as the flags of a command.
        settings: the fields of `vaekit.training.Settings`: epochs, batch_size, seed, optimizer, clip, precision, ...

    Returns:
        The run. Its model has the best weights by validation loss where a best checkpoint was kept, else the last.

    Raises:
        ConfigError: for a setting that does not exist or has no meaning.
        DataError: if the data cannot be opened, or the likelihood cannot score it.
        RunError: if the folder holds another run, or, to resume, none.
        NonFiniteError: if a NaN or an infinity appears.
    """
    objective, chosen = objective or ELBO(), make_settings(settings)
    dataset = (data if isinstance(data, Dataset) else data_room.open(data)).prepared_for(model.likelihood)
    check_fits(model, dataset)
    folder = Path(run) if run is not None else None
    with torch.random.fork_rng([]):
        fabric = make_fabric(chosen)
        resumes = by_first(fabric, partial(_prepare, model, objective, dataset, chosen, folder, resume, config or {}))
        trainer = Trainer(model, objective, dataset, chosen, folder, resumes, fabric)
        progress = trainer.run()
    result = Run(model, objective, dataset, folder, progress)
    if trainer.step.average is not None and trainer.step.average.averages:
        trainer.step.average.write()
    if folder is not None and progress.best and progress.interrupted is None:
        best = progress.best[0][1]
        take_weights(result, by_first(fabric, partial(load_checkpoint, folder / CHECKPOINTS / best)), best)
    model.eval()
    return result


def _prepare(
    model: VAE,
    objective: Objective,
    data: Dataset,
    settings: Settings,
    folder: Path | None,
    resume: bool | None,
    config: Mapping[str, Any],
) -> bool:
    """Make the run's folder, refusing to write over another run; return whether there is a run to resume."""
    started = folder is not None and (folder / CONFIG).is_file()
    if resume and not started:
        raise RunError(f"There is no run to resume in `{folder}`. Name the folder of a run that was started.")
    if folder is None:
        return False
    if not resume and not (resume is None and started) and folder.exists() and any(folder.iterdir()):
        raise RunError(f"`{folder}` is not empty. Resume the run in it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, model, objective, data, settings, config)
    return bool(resume) or (resume is None and (folder / CHECKPOINTS / LAST).is_file())


def make_settings(given: Mapping[str, Any]) -> Settings:
    """Make settings from keywords, refusing unknown ones by name."""
    known = [f.name for f in fields(Settings)]
    for name in given:
        if name not in known:
            raise ConfigError(f"`{name}` is not a setting of the training loop. There are: {', '.join(known)}.")
    return Settings(**given)


def check_fits(model: VAE, data: Dataset) -> None:
    """Refuse data that the model's likelihood cannot score, by one batch of every split.

    Raises:
        ShapeError: if the events have another shape.
        DataError: if values lie outside the likelihood's support.
    """
    check = getattr(model.likelihood, "check", None)
    for split in ("train", "validation", "test"):
        for given in data.batches(split, 1024):
            if check is not None:
                check(given[0])
            break


def load(
    folder: str | Path, *, model: VAE | None = None, data: Opened | Dataset | None = None, checkpoint: str = "best"
) -> Run:
    """Load a run from its folder, without unpickling anything.

    Arguments:
        folder: the run's folder.
        model: a model like the fitted one, needed only where the configuration could not describe it.
        data: the data, if it was only in memory or has moved; else it is opened again as the run did.
        checkpoint: "best" (by validation loss; the last if none was kept), "last", or the name of a file in `checkpoints/`.

    Raises:
        RunError: if there is no run, or it is damaged.
        ConfigError: if the configuration names what cannot be imported.
    """
    folder = Path(folder)
    kept = read_yaml(folder, MODEL)
    if model is None and not kept.get("model"):
        raise RunError(f"The run in `{folder}` holds a model that could not be described. Give one like it: `model=`.")
    restored = model or cast(VAE, spec.build(kept["model"]))
    objective = spec.build(kept["objective"]) if kept.get("objective") else ELBO()
    run = Run(restored, objective, _reopened(kept.get("data"), data), folder)
    load_weights(run, checkpoint)
    restored.eval()
    return run


def _reopened(settings: Mapping[str, Any] | None, data: Opened | Dataset | None) -> Dataset | None:
    if data is not None:
        return data if isinstance(data, Dataset) else data_room.open(data)
    return data_room.open(**spec.build(settings)) if settings else None


def _filled(data: Dataset, split: str) -> str:
    """Return the split if it has rows, else the first that has."""
    order = (split, "test", "validation", "train")
    return next(name for name in order if len(data.split(name)))


def load_weights(run: Run, checkpoint: str) -> None:
    """Put the weights of a checkpoint into a run's model.

    Raises:
        RunError: if there is no such checkpoint, or it is of another model.
    """
    folder = run._folder() / CHECKPOINTS
    name = {"last": LAST, "best": _best_name(folder)}.get(checkpoint, checkpoint)
    if Path(name).name != name:
        raise RunError(f"`checkpoint` is {checkpoint!r}; name a file of `{folder}`, or best, or last.")
    take_weights(run, load_checkpoint(folder / name), name)


def take_weights(run: Run, tree: Mapping[str, Any], name: str) -> None:
    """Put the weights of a checkpoint that was read from the file `name` into a run's model.

    Raises:
        RunError: if it is of another model.
    """
    try:
        run.model.load_state_dict(weights(tree))
    except (RuntimeError, KeyError) as error:
        raise RunError(f"`{name}` of `{run.folder}` was written by another model: {error}") from error
    run.checkpoint = name.removesuffix(".safetensors")


def _best_name(folder: Path) -> str:
    best = load_checkpoint(folder / LAST)["progress"]["best"]
    return str(best[0][1]) if best else LAST

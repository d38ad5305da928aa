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

import numpy as np
from torch import Tensor

from vaekit import figures as drawing
from vaekit.data.dataset import Dataset
from vaekit.data.reading import Openable
from vaekit.data.source import Array
from vaekit.defaults import SAMPLES
from vaekit.errors import RunError
from vaekit.evaluation import Evaluation, evaluate
from vaekit.evaluation.scorable import scorable
from vaekit.evaluation.scorer import scorer
from vaekit.files import write_text
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.runs.description import CONFIG, MODEL, read_yaml, rebuilt, rebuilt_objective
from vaekit.runs.reopening import reopen as reopen_data
from vaekit.runs.report import report as write_report
from vaekit.runs.report import title_of
from vaekit.runs.use import Use
from vaekit.training import Progress
from vaekit.training.checkpoint import load as load_checkpoint
from vaekit.training.recorder import METRICS, RATES, Recorded, read_table
from vaekit.training.saving import CHECKPOINTS, LAST, refuse_other_weights, take_learned, weights

Span: TypeAlias = tuple[float, float]
EVALUATED_AT_ONCE, SUFFIX, EVALUATION = 256, ".safetensors", "evaluation.json"
OF = ("checkpoint", "step", "data", "split")


@dataclass(repr=False)
class Run:
    """A fitted model with its data, objective and folder.

    Attributes:
        model: the model, with the weights of the best checkpoint by validation loss where one was kept, else of the last step.
        objective: what it was fitted by; its name alone where the run was loaded and cannot rebuild it.
        data: the data it was fitted to; None where the run was loaded and its data was only in memory.
        folder: where the run is kept; None if it is not.
        progress: where training stands; None for a run that was loaded.
        steps_this_fit: how many steps this fit took; 0 for a run that was loaded, or that was resumed after its last epoch.
        checkpoint: the name of the checkpoint that the weights were taken from.
        checkpoint_step: the step of that checkpoint.
        evaluation: the newest judgement, None if there is none.
        judged: what that is of: the weights and their step, the data's name, and the splits.
        held: what was recorded, by the name of its table, where there is no folder.

    Example:
        >>> import numpy as np
        >>> import vaekit as vk
        >>> x = np.random.default_rng(0).random((100, 5))
        >>> run = vk.fit(vk.compose(x, latent=2), data=x, epochs=1, progress=False)
        >>> run.encode("test").shape, run.sample(3).shape, run.evaluate("all", samples=10).examples
        (torch.Size([10, 2]), torch.Size([3, 5]), 100)
    """

    model: VAE
    objective: Objective
    data: Dataset | None
    folder: Path | None
    progress: Progress | None = None
    steps_this_fit: int = 0
    checkpoint: str = "last"
    checkpoint_step: int = 0
    evaluation: Evaluation | None = None
    judged: dict[str, Any] = field(default_factory=dict)
    held: dict[str, Recorded] = field(default_factory=dict, init=False)
    _drawn: tuple[object, list[drawing.Illustration]] | None = field(init=False, default=None)

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
        return self.checkpoint if self.step == self.checkpoint_step else f"step {self.step}"

    @property
    def history(self) -> Recorded:
        """The recorded averages, as in `metrics.csv`: split -> column -> numbers in order."""
        return self._recorded(METRICS)

    @property
    def rates(self) -> Recorded:
        """The recorded rate of each latent, as in `rates.csv`: split -> column -> numbers in order."""
        return self._recorded(RATES)

    def _recorded(self, table: str) -> Recorded:
        return self.held.get(table, {}) if self.folder is None else read_table(self.folder / table)

    def evaluate(
        self,
        split: str | None = None,
        *,
        samples: int = SAMPLES,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> Evaluation:
        """Judge the model on a split, and keep the result in `evaluation.json`.

        Arguments:
            split: "test", "validation", "train", or "all"; if absent, the first of these that has rows.
            samples: importance samples per example.
            seed: of the draws of latents; noise of the data is the same in every evaluation.
            progress: called with the number of examples done.
        """
        data = self.needs_data()
        splits = data.parts(split)
        likelihood, device = scorer(self.model, *data.train.first_context()), self.model.step.device
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
            write_text(self.folder / EVALUATION, evaluation.to_json(**self.judged) + "\n")
        return evaluation

    def sample(self, count: int = 64, *, label: str | None = None, mean: bool = False, seed: int = 0) -> Tensor:
        """Draw new data, or the means of p(x|z) at drawn latents, shape (count, *event).

        As with all that a run makes, images are in [0, 1] and vectors in the units of the data.

        Arguments:
            count: how many.
            label: for a conditional model, the class, by name or number, or the factors, as "0.5,1".
            mean: whether to return means.
            seed: of all draws.
        """
        return Use.of(self).sample(count, mean=mean, label=label, seed=seed)

    def encode(self, split: str | None = None, *, sample: bool = False, seed: int = 0) -> Tensor:
        """Map the rows of a split, as `evaluate` names it, in their order to codes, shape (N, D).

        Arguments:
            split: whose rows.
            sample: whether a code is a draw from its posterior rather than its mean, which a flow does not know.
            seed: of the draws.
        """
        return Use.of(self).encode(split, sample, seed)

    def decode(self, codes: Tensor | Array, *, label: str | None = None) -> Tensor:
        """Map codes, shape (N, D), to the means of p(x|z), shape (N, *event), with a label as in `sample`."""
        return Use.of(self).decode(np.asarray(codes), label)

    def reconstruct(self, split: str | None = None, *, sample: bool = False, seed: int = 0) -> Tensor:
        """Encode and decode the rows of a split, in their order, shape (N, *event), by means or by draws, as `encode`."""
        return Use.of(self).reconstruct(split, sample, seed)

    def score(self, split: str | None = None, *, samples: int = SAMPLES, seed: int = 0) -> dict[str, Any]:
        """Score each row of a split, in nats, by importance sampling: columns for a table, as pandas.DataFrame takes them.

        Arguments:
            split: whose rows, as `evaluate` names it.
            samples: importance samples per row.
            seed: of the draws of latents.

        Returns:
            `row`, the number of each in its source, `file` where it is one, and the scores, shape (N,): log_likelihood,
            distortion and rate, or distortion alone where there is no bound on log p(x).

        Example:
            >>> import numpy as np
            >>> import vaekit as vk
            >>> x = np.random.default_rng(0).random((100, 5))
            >>> run = vk.fit(vk.compose(x, latent=2), data=x, epochs=1, progress=False)
            >>> {column: len(values) for column, values in run.score("test", samples=10).items()}
            {'row': 10, 'log_likelihood': 10, 'distortion': 10, 'rate': 10}
        """
        use = Use.of(self)
        scores = dict(zip(use.scores, use.score(split, samples, seed).unbind(-1), strict=True))
        return {**use.index(split), **{name: values.numpy() for name, values in scores.items()}}

    def illustrate(
        self, limit: int = 2000, span: Span | None = None, split: str | None = None
    ) -> list[drawing.Illustration]:
        """Draw every figure that suits the model and the data, and the course of training.

        Figures that were drawn are kept until other weights are taken, these are trained further, or the arguments change.

        Arguments:
            limit: how many examples are shown at most.
            span: the range of both axes of the linear manifold; None takes the range of the codes.
            split: whose examples are shown; if absent, those of the first of test, validation and train that has rows.
        """
        key = (self.weights, self.step, limit, span, split)
        if self._drawn is None or self._drawn[0] != key:
            finished = [i._replace(picture=drawing.shown(i.picture)) for i in self._illustrations(limit, span, split)]
            self._drawn = (key, finished)
        return self._drawn[1]

    def _illustrations(self, limit: int, span: Span | None, split: str | None) -> Iterator[drawing.Illustration]:
        data = self.needs_data()
        shown = data.parts(split)[0]
        yield from drawing.illustrate(
            self.model,
            data.batches(shown, EVALUATED_AT_ONCE, self.model.step.device),
            labels=data.split(shown).labels,
            label_names=data.label_names,
            look=drawing.Look(data.column_names, data.in_units, data.column_words, data.shown),
            limit=limit,
            span=span,
        )
        if self.history:
            yield from drawing.training(self.history, self.rates)

    def figures(self, limit: int = 2000, span: Span | None = None, split: str | None = None) -> list[Path]:
        """Save all figures, as `illustrate` draws them, in the folder `figures`, and return their paths."""
        folder = self.needs_folder() / "figures"
        return [drawing.save(i.picture, folder / f"{i.name}.png") for i in self.illustrate(limit, span, split)]

    def report(
        self, *, samples: int | None = None, limit: int = 2000, span: Span | None = None, split: str | None = None
    ) -> Path:
        """Write `report.html`: the model, its newest numbers, all figures and the configuration, in one file.

        Arguments:
            samples: importance samples per example. Weights that were judged by fewer, or on other data, are judged again, as
                `evaluate` does; if absent, the newest judgement of these weights will do, by whatever number.
            limit: how many examples the figures show at most.
            span: the range of both axes of the linear manifold.
            split: whose examples the figures show.
        """
        folder, data = self.needs_folder(), self.needs_data()
        evaluation = self._judgement(samples or 1) or self.evaluate(samples=samples or SAMPLES)
        shown = f"weights: {self.weights}; figures: split {data.parts(split)[0]}"
        summary = "\n\n".join((data.describe(), shown, repr(self.model), repr(self.objective)))
        return write_report(
            folder / "report.html",
            title=title_of(data, folder),
            summary=summary,
            evaluations={", ".join(self.judged.get("split", ())): evaluation},
            figures=self.illustrate(limit, span, split),
            history=self.history,
            configuration=(folder / CONFIG).read_text(encoding="utf-8"),
        )

    def _judgement(self, samples: int) -> Evaluation | None:
        """Return the newest judgement, if it is of these weights and data, and by so many samples or more."""
        kept = self.evaluation
        of_these = {"checkpoint": self.weights, "step": self.step, "data": self.needs_data().name}
        suits = kept is not None and kept.samples >= samples and of_these.items() <= self.judged.items()
        return kept if suits else None

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
    data: Openable | Dataset | None = None,
    checkpoint: str = "best",
    reopen: bool = True,
    hold_out: bool | None = None,
) -> Run:
    """Load a run from its folder, without unpickling anything.

    Arguments:
        folder: the run's folder.
        model: a model like the fitted one, needed only where the configuration could not describe it.
        data: the data, if it was only in memory or has moved, or other data; it is transformed as the run's own was. Absent,
            that is opened again.
        checkpoint: "best" (by validation loss; the last if none was kept), "last", or the name of one in `checkpoints/`.
        reopen: False leaves the data closed, for what needs the model alone.
        hold_out: whether rows are cut off for validation and test. Absent, those of the run's own data are, as in the fit; other
            data, also the same rows in another order, is used whole, so that no row of training is judged as one of test.

    Raises:
        RunError: if there is no run, or it is damaged.
        ConfigError: if the configuration names what cannot be imported.
        DataError: if the data is no longer there, was changed, or is a table of other columns.
        ShapeError: if its events have another shape than the model's.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import vaekit as vk
        >>> x = np.random.default_rng(0).random((100, 5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = vk.fit(vk.compose(x, latent=2), data=x, run=folder, epochs=1, progress=False)
        ...     vk.load(folder, data=x).reconstruct("test").shape
        torch.Size([10, 5])
    """
    folder = Path(folder)
    kept = read_yaml(folder, MODEL)
    if model is None and not kept.get("model"):
        raise RunError(f"The run in `{folder}` holds a model that could not be described. Give one like it: `model=`.")
    restored = model or cast(VAE, rebuilt(folder, kept["model"]))
    run = Run(restored, rebuilt_objective(folder, kept), None, folder)
    load_weights(run, checkpoint)
    run.evaluation, run.judged = _judged_before(folder / EVALUATION)
    if reopen or data is not None:
        opened_by, events = (rebuilt(folder, kept.get(part) or {}) for part in ("data", "events"))
        run.data = reopen_data(opened_by, events, data, hold_out)
    restored.eval()
    return run


def _judged_before(path: Path) -> tuple[Evaluation | None, dict[str, Any]]:
    """Read the newest judgement of a run, and what it is of; none where there is none, or it is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Evaluation.from_dict(kept), {name: kept[name] for name in OF}
    except (OSError, ValueError, TypeError, KeyError):
        return None, {}


def load_weights(run: Run, checkpoint: str) -> None:
    """Put the weights of a checkpoint into a run's model.

    Raises:
        RunError: if there is no such checkpoint, or it is of another model.
    """
    folder = run.needs_folder() / CHECKPOINTS
    name = {"last": LAST, "best": _best_name(folder)}.get(checkpoint) or f"{checkpoint.removesuffix(SUFFIX)}{SUFFIX}"
    if Path(name).name != name:
        raise RunError(f"`checkpoint` is {checkpoint!r}; name a file of `{folder}`, or best, or last.")
    tree = load_checkpoint(folder / name)
    kept = weights(tree)
    refuse_other_weights(run.model, kept, folder / name)
    take_weights(run, kept, name)
    take_learned(run.objective, tree)


def take_weights(run: Run, kept: Mapping[str, Tensor], name: str) -> None:
    """Put the weights of the checkpoint of this name into a run's model."""
    run.model.load_state_dict(kept)
    run.checkpoint, run.checkpoint_step = name.removesuffix(SUFFIX), run.step


def _best_name(folder: Path) -> str:
    best = load_checkpoint(folder / LAST)["progress"]["best"]
    return str(best[0][1]) if best else LAST

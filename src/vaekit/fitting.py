"""Fitting: a model, an objective and data become a run.

What does not go together is refused before the first step, and a folder that was made for it is taken away again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from vaekit import data as data_room
from vaekit.arguments import require_object
from vaekit.data.dataset import Dataset
from vaekit.data.reading import Openable
from vaekit.data.splits import PARTS
from vaekit.errors import ConfigError, NonFiniteError, ShapeError, VaekitError
from vaekit.evaluation.batches import inference
from vaekit.evaluation.scorer import scorer
from vaekit.model import VAE
from vaekit.objectives import ELBO, Objective
from vaekit.runs.claim import Claim, Place
from vaekit.runs.config import write_config
from vaekit.runs.resuming import refuse_another
from vaekit.runs.run import Run, take_weights
from vaekit.shapes import numel
from vaekit.training import Settings
from vaekit.training.checkpoint import load as load_checkpoint
from vaekit.training.processes import by_first, is_first
from vaekit.training.recorder import history
from vaekit.training.saving import CHECKPOINTS, weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from vaekit.training.loop import AfterEpoch, Trainer


def fit(
    model: VAE,
    objective: Objective | None = None,
    data: Openable | Dataset | None = None,
    *,
    run: str | Path | None = None,
    resume: bool | None = False,
    config: Mapping[str, Any] | None = None,
    after_epoch: AfterEpoch | None = None,
    **settings: Any,
) -> Run:
    """Fit a model to data.

    Arguments:
        model: what is fitted, in place.
        objective: what is minimised; the ELBO if absent.
        data: anything that `vaekit.data.open` takes, as an array, a path or "digits", or what it returned.
        run: the folder that keeps the run; None keeps nothing on disk.
        resume: continue the run in that folder from its last checkpoint, bit for bit as if it had not stopped; None does so
            if the folder holds a run, and else starts one.
        config: what the run's `config.yaml` holds, as the flags of a command; if absent, the settings and the parts.
        after_epoch: called after every epoch, once it is saved, with its number from 1 and the averages of each split, as
            `{"train": {"loss": ..., "bound": ...}, "validation": ...}`; training stops where it returns True.
        settings: the fields of `vaekit.training.Settings`: epochs, batch_size, seed, optimizer, clip, precision, ...

    Returns:
        The run. Its model has the best weights by validation loss where a best checkpoint was kept, else the last.

    Raises:
        ConfigError: without data; for a setting that does not exist or has no meaning, or a class in the place of an object.
        DataError: if the data cannot be opened, or the likelihood cannot score it.
        RunError: if the folder holds another run, or, to resume, none; or if another process is fitting the run in it.
        NonFiniteError: if a NaN or an infinity appears.

    Example:
        >>> import numpy as np
        >>> import vaekit as vk
        >>> x = np.random.default_rng(0).random((100, 5))
        >>> run = vk.fit(vk.compose(x, latent=2), data=x, epochs=1, progress=False)
        >>> run
        Run(not kept, data='array', epochs=1, step=1)
    """
    from vaekit.training.engine import make_fabric

    refuse_classes(model, objective, after_epoch)
    objective, chosen = ELBO() if objective is None else objective, make_settings(settings)
    dataset = _opened(data, model)
    check_fits(model, objective, dataset, chosen)
    folder = Path(run) if run is not None else None
    with Claim(folder) as claim, torch.random.fork_rng([]):
        fabric = make_fabric(chosen)
        place = by_first(fabric, partial(claim.take, resume))
        by_first(fabric, partial(refuse_another, folder if place.resumes else None, model, objective, dataset))
        keep = partial(write_config, folder, model, objective, dataset, chosen, config or {})
        fitted = Run(model, objective, dataset, folder)
        return _trained(fitted, chosen, place, fabric, partial(by_first, fabric, keep), after_epoch)


def _trained(
    run: Run,
    settings: Settings,
    place: Place,
    fabric: Fabric,
    keep: Callable[[], object],
    after_epoch: AfterEpoch | None,
) -> Run:
    """Train a run in its place, where its configuration is kept as soon as it is known to begin or to go on."""
    from vaekit.training.loop import Trainer

    trainer = None
    try:
        if not place.resumes:
            keep()
        trainer = Trainer(run.model, run.objective, run.needs_data(), settings, run.folder, place.resumes, fabric)
        trainer.after_epoch, begun = after_epoch, trainer.taken
        if place.resumes and trainer.progress.epoch < settings.epochs:
            keep()
        run.progress = trainer.run()
    except Exception as error:
        _refuse_start(error, place, 0 if trainer is None else trainer.taken)
        raise
    run.steps_this_fit = trainer.taken - begun
    return _finished(trainer, run)


def _opened(data: Openable | Dataset | None, model: VAE) -> Dataset:
    """Open data, unless it is open, and prepare it for a model's likelihood."""
    if data is None:
        raise ConfigError(
            "`data` is not given. Give what the model is to be fitted to: data=..., an array, a path or a name."
        )
    opened = data if isinstance(data, Dataset) else data_room.open(data)
    return opened.prepared_for(scorer(model, *opened.train.first_context()))


def _finished(trainer: Trainer, run: Run) -> Run:
    """Leave the model in evaluation mode, with the best weights where training came to its end: from the folder, or held."""
    if run.folder is None:
        run.held = {name: history(rows) for name, rows in trainer.recorder.held.items()}
    trainer.finish()
    progress = trainer.progress
    if progress.best and progress.interrupted is None:
        best = progress.best[0][1]
        kept = trainer.saver.held[best] if run.folder is None else _read_best(run.folder, best, trainer.fabric)
        take_weights(run, kept, best)
    run.checkpoint_step = run.step
    run.model.eval()
    return run


def _read_best(folder: Path, name: str, fabric: Fabric) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, in all processes."""
    return weights(by_first(fabric, partial(load_checkpoint, folder / CHECKPOINTS / name)))


def _refuse_start(error: Exception, place: Place, taken: int) -> None:
    """Leave nothing of a run that failed before its first step, and say so where its parts do not go together.

    Raises:
        ConfigError: if the error is one of torch or of the parts.
    """
    if taken or place.resumes or isinstance(error, NonFiniteError):
        return
    if is_first():
        place.give_back()
    if not isinstance(error, VaekitError):
        raise ConfigError(
            f"The first step failed, so model, objective, data and settings do not go together. {type(error).__name__}: {error}"
        ) from error


def refuse_classes(model: VAE, objective: Objective | None, after_epoch: AfterEpoch | None) -> None:
    """Refuse a class where an object of it is needed, as the objective or the model, and what is no model or objective at all.

    Raises:
        ConfigError: naming the argument and its class.
    """
    require_object("objective", objective)
    require_object("model", model)
    if not hasattr(model, "trace"):
        raise ConfigError(
            f"`model` is a {type(model).__name__}, not a vaekit.VAE. The order is fit(model, objective, data)."
        )
    if after_epoch is not None and not callable(after_epoch):
        raise ConfigError(
            f"`after_epoch` is {after_epoch!r}; it must be a function of the epoch's number and the averages of each split."
        )
    if isinstance(objective, nn.Module) and any(True for _ in objective.parameters()):
        raise ConfigError(
            f"`objective` is a {type(objective).__name__} with parameters of its own, which `fit` would not train. Keep them in a "
            f"part of the model, or write the loop yourself."
        )
    if objective is not None and not callable(objective):
        raise ConfigError(
            f"`objective` is a {type(objective).__name__}, which is not called with a model and a batch, as ELBO() is. Data is "
            f"given by its name: data=..."
        )


def make_settings(given: Mapping[str, Any]) -> Settings:
    """Make settings from keywords, refusing unknown ones by name."""
    known = [f.name for f in fields(Settings)]
    for name in given:
        if name not in known:
            raise ConfigError(f"`{name}` is not a setting of the training loop. There are: {', '.join(known)}.")
    return Settings(**given)


def check_precision(model: VAE) -> None:
    """Refuse weights of another precision than that in which data is read.

    Raises:
        ConfigError: with both ways out.
    """
    usual = torch.get_default_dtype()
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and weight.dtype != usual:
            raise ConfigError(
                f"`{name}` of the model is {weight.dtype}, and data is read in torch's default, {usual}. Call "
                f"torch.set_default_dtype({weight.dtype}) first, or bring the model back: model.to({usual})."
            )


def check_fits(model: VAE, objective: Objective, data: Dataset, settings: Settings) -> None:
    """Refuse what does not go together: precision, values, several draws at once, the last batch, patience without validation."""
    if settings.patience is not None and not len(data.validation):
        raise ConfigError(
            f"`patience` is {settings.patience}, but there are no rows for validation. Hold some out, or leave it away."
        )
    check_precision(model)
    check_values(model, data)
    check_draws(model, data)
    check_last_batch(model, objective, data, settings.batch_size)


def check_values(model: VAE, data: Dataset) -> None:
    """Refuse data that the model's likelihood cannot score.

    Values in memory are looked at, up to 2**26 of a split; of 8-bit values, which are all on one grid, and of those on the
    disk, a batch.

    Raises:
        ShapeError: if the events have another shape.
        DataError: if values lie outside the likelihood's support.
    """
    if (check := getattr(scorer(model, *data.train.first_context()), "check", None)) is None:
        return
    size = max(1, min(1024, 2**20 // numel(data.event_shape)))
    for part in PARTS:
        x = data.split(part).x
        values = 2**26 if isinstance(x, np.ndarray) and x.dtype != np.uint8 else 1
        for given in islice(data.batches(part, size), max(1, values // (size * numel(data.event_shape)))):
            check(given[0])


def check_draws(model: VAE, data: Dataset) -> None:
    """Refuse a likelihood that scores one draw of the latents, but not two at once, as evaluation needs it to.

    Raises:
        ShapeError: saying what it made of them.
    """
    x, *context = (part.to(model.step.device) for part in next(data.batches("train", 3)))
    with inference(model, seed=0):
        try:
            model.trace(x, *context).log_likelihood(x)
        except Exception:  # the first step will say what is wrong
            return
        try:
            model.trace(x, *context, samples=(2,)).log_likelihood(x)
        except Exception as error:
            raise ShapeError(
                f"The model scores latents of shape (B, D), but not several draws of them, (S, B, D), as evaluation needs: {error} "
                f"Have the likelihood apply its network by vaekit.shapes.apply_to_latents, which folds draws into the batch."
            ) from error


def check_last_batch(model: VAE, objective: Objective, data: Dataset, batch_size: int) -> None:
    """Refuse a last batch of one row that cannot be normalised over the batch, tried on a copy of the model.

    Raises:
        ConfigError: with the way out.
    """
    rows = len(data.train)
    if rows % batch_size != 1 % batch_size or not any(isinstance(m, nn.BatchNorm1d) for m in model.modules()):
        return
    given = (part.to(model.step.device) for part in next(data.batches("train", 1)))
    try:
        with torch.random.fork_rng([]), torch.no_grad():
            copy.deepcopy(objective)(copy.deepcopy(model).train(), *given)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                f"`batch_size` is {batch_size}, and the last batch of an epoch, of {rows} rows, has 1, which BatchNorm1d cannot "
                f"normalise. Choose another."
            ) from error

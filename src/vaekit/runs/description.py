"""What a run's folder says of its parts as plain data, and the parts built from that again. No pickle is read or written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor

from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.data.splits import PARTS
from vaekit.errors import ConfigError, RunError, VaekitError
from vaekit.evaluation.batches import inference
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.objectives.named import Named

MODEL, CONFIG = "model.yaml", "config.yaml"


def describe_model(model: VAE, given: Sequence[Tensor]) -> dict[str, Any] | None:
    """Describe a model; return None, and warn, where its description would not rebuild it.

    Arguments:
        model: the model.
        given: a batch (x, *context), each of shape (B, ...), on which the rebuilt model must do the same.
    """
    reason = "The arguments that its parts keep make another model."
    try:
        described: dict[str, Any] = spec.describe(model)
        other = spec.rebuilt(model, described)
        if other is not None and does_the_same(other, model, given):
            return described
    except Exception as error:
        reason = str(error)
    warnings.warn(f"vaekit.load will need a model like this one, as `model=`. {reason}", UserWarning, stacklevel=6)
    return None


def does_the_same(other: VAE, model: VAE, given: Sequence[Tensor]) -> bool:
    """Tell whether a model that was built anew, with a model's weights, draws and scores as that does.

    What the model itself cannot be given, the first step of training will refuse; and one whose draws are not torch's cannot
    be compared.
    """
    try:
        expected, again = _passed(model, given), _passed(model, given)
    except Exception:
        return True
    if not all(map(_are_close, again, expected)):
        return True
    try:
        return all(map(_are_close, _passed(other.to(model.step.device), given), expected))
    except Exception:
        return False


def _passed(model: VAE, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return what a model makes of a batch: its latents, and how it scores them and the data."""
    x, *context = (part.to(model.step.device) for part in given)
    with inference(model, seed=0):
        trace = model.trace(x, *context)
        return trace.z, trace.prior.log_prob(trace.z), trace.log_likelihood(x)


def _are_close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, equal_nan=True)


def describe_objective(objective: Objective) -> dict[str, Any]:
    """Describe an objective, by its name alone where it is a function or keeps its arguments in no attributes."""
    described = describe_or_none(objective)
    return described if described and "factory" not in described else describe_or_none(Named.of(objective)) or {}


def describe_data(opened_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe how data was opened; data that was in memory has no source."""
    return describe_or_none(opened_by) or describe_or_none({**opened_by, "source": None})


def describe_events(data: Dataset) -> dict[str, Any]:
    """Describe what the model's numbers mean, for those who use it without its data."""
    labels = data.train.labels
    return {
        "shape": list(data.event_shape),
        "scale": data.facts.scale,
        "units": None if data.about.units is None else asdict(data.about.units),
        "decoding": spec.describe(data.about.decoding),
        "digest": data.about.digest,
        "splits": held_out(data),
        "column_names": list(data.column_names),
        "label_names": list(data.label_names),
        "context": sum(c.shape[1] for c in data.train.context),
        "classes": labels is not None and labels.ndim == 1,
    }


def held_out(data: Dataset) -> list[Any]:
    """Describe how rows were held out: how many each split has, and the seed by which they were drawn."""
    return [*(len(data.split(part)) for part in PARTS), int(data.opened_by.get("seed", 0))]


def describe_setting(value: object) -> Any:
    """Describe a setting; what makes an optimiser or a schedule by a function that has no name is told in words."""
    try:
        return spec.describe_factory(value) if callable(value) else spec.describe(value)
    except ConfigError as error:
        return f"not kept. {error}"


def describe_or_none(value: object) -> dict[str, Any] | None:
    """Describe an object, or return None where it cannot be described."""
    try:
        described: dict[str, Any] = spec.describe(value)
    except ConfigError:
        return None
    return described


def read_yaml(folder: Path, name: str) -> dict[str, Any]:
    """Read a file of a run.

    Raises:
        RunError: if the folder holds no run, or the file is damaged.
    """
    path = folder / name
    if not path.is_file():
        raise RunError(f"`{folder}` holds no run: there is no `{name}` in it. Name the folder given to `fit`.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"`{path}` is damaged: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"`{path}` is damaged: it does not hold a mapping.")
    return content


def rebuilt(folder: Path, described: Any) -> Any:
    """Build what a run's `model.yaml` describes.

    Raises:
        RunError: if the description does not fit the classes that it names.
        ConfigError: if it names what cannot be imported.
    """
    with telling_damage(folder):
        return spec.build(described)


@contextmanager
def telling_damage(folder: Path) -> Iterator[None]:
    """Say of a run's `model.yaml` that it is damaged, where building by it fails in another way than vaekit's own.

    Raises:
        RunError: naming the file.
    """
    try:
        yield
    except VaekitError:
        raise
    except Exception as error:
        raise RunError(
            f"`{folder / MODEL}` is damaged, or was written for other classes ({type(error).__name__}: {error})."
        ) from error


def rebuilt_objective(folder: Path, kept: Mapping[str, Any]) -> Objective:
    """Build the objective that a run's `model.yaml` describes; its name alone, where its class cannot be imported.

    Raises:
        RunError: if the description does not fit the class.
    """
    described = kept.get("objective") or spec.describe(Named("unknown"))
    try:
        return cast(Objective, rebuilt(folder, described))
    except ConfigError:
        return Named(str(described.get("class_path")))


def some_examples(data: Dataset) -> tuple[Tensor, ...]:
    """Return a few training examples (x, *context)."""
    return next(data.batches("train", 2))

"""What a run's folder says of the run: `model.yaml` rebuilds it, `config.yaml` runs the same again. Neither holds a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from torch import nn

import vaekit
from vaekit import spec
from vaekit.data.dataset import Dataset
from vaekit.errors import ConfigError, RunError
from vaekit.files import write_text
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.training import Settings

CONFIG, MODEL = "config.yaml", "model.yaml"


def write_config(
    folder: Path, model: VAE, objective: Objective, data: Dataset, settings: Settings, config: Mapping[str, Any]
) -> None:
    """Write `model.yaml`, from which the run is loaded, and `config.yaml`, from which the same is run again."""
    built = {
        "vaekit": vaekit.__version__,
        "model": describe_model(model),
        "objective": describe_or_none(objective),
        "data": describe_or_none(data.opened_by),
    }
    loop = {f.name: _plain_setting(getattr(settings, f.name)) for f in fields(Settings)}
    flags = config or {**{name: built[name] for name in ("data", "model", "objective")}, **loop}
    for name, content in ((MODEL, built), (CONFIG, flags)):
        write_text(folder / name, yaml.safe_dump(dict(content), sort_keys=False, width=120))


def describe_model(model: nn.Module) -> dict[str, Any] | None:
    """Describe a model, or return None where its description would not rebuild it."""
    described = describe_or_none(model)
    try:
        return described if described and spec.rebuilds(model, described) else None
    except (ConfigError, TypeError):
        return None


def describe_or_none(value: object) -> dict[str, Any] | None:
    """Describe an object, or return None where it cannot be described."""
    try:
        described: dict[str, Any] = spec.describe(value)
    except ConfigError:
        return None
    return described


def _plain_setting(value: object) -> Any:
    return spec.describe_factory(value) if callable(value) else spec.describe(value)


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

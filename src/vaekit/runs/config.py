"""What a run's folder says of the run: `model.yaml`, from which it is loaded, and `config.yaml`, from which it is run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

import vaekit
from vaekit.data.dataset import Dataset
from vaekit.files import write_text
from vaekit.model import VAE
from vaekit.objectives import Objective
from vaekit.runs.description import (
    CONFIG,
    MODEL,
    describe_data,
    describe_events,
    describe_model,
    describe_objective,
    describe_setting,
    some_examples,
)
from vaekit.runs.report import LIVE, has_live_page, live, title_of
from vaekit.training import Settings


def write_config(
    folder: Path | None,
    model: VAE,
    objective: Objective,
    data: Dataset,
    settings: Settings,
    config: Mapping[str, Any],
) -> None:
    """Write `model.yaml`, from which the run is loaded, and `config.yaml`, from which the same is run again.

    Beside them goes the page that follows the run's pictures. Nothing is written where there is no folder.
    """
    if folder is None:
        return
    built = {
        "vaekit": vaekit.__version__,
        "model": describe_model(model, some_examples(data)),
        "objective": describe_objective(objective),
        "data": describe_data(data.opened_by),
        "events": describe_events(data),
    }
    loop = {f.name: describe_setting(getattr(settings, f.name)) for f in fields(Settings)}
    flags = config or {**{name: built[name] for name in ("data", "model", "objective")}, **loop}
    for name, content in ((MODEL, built), (CONFIG, flags)):
        write_text(folder / name, yaml.safe_dump(dict(content), sort_keys=False, width=120))
    if has_live_page(data, settings.figures_every):
        live(folder / LIVE, title_of(data, folder), settings.figures_every)

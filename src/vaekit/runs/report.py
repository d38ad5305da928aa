"""The report: what was fitted, how good it is and what it looks like, in one HTML file that needs nothing else.

Beside it, a page that follows a run that trains: it shows the newest pictures as they come into the run's folder.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from jinja2 import Environment, StrictUndefined, Template

import vaekit
from vaekit.data.dataset import Dataset
from vaekit.evaluation import Evaluation
from vaekit.figures import Illustration, png, shown
from vaekit.figures.course import AXES, History
from vaekit.files import write_text

BROAD, LIVE = 1000, "live.html"


class Embedded(NamedTuple):
    """A figure inside the page: a PNG file in base64, its size in pixels, and whether it takes the page's whole width."""

    name: str
    caption: str
    content: str
    width: int
    height: int
    broad: bool


def report(
    path: Path,
    *,
    title: str,
    summary: str,
    evaluations: Mapping[str, Evaluation],
    figures: Iterable[Illustration],
    history: History,
    configuration: str,
) -> Path:
    """Write a report: the whole file, or none.

    Arguments:
        path: where.
        title: of the page.
        summary: the model card, such as `repr(model)`.
        evaluations: what was measured, by the name of the data.
        figures: as `vaekit.figures.illustrate` gives them.
        history: split -> column -> numbers in order; the last ones are shown.
        configuration: from which the run can be repeated.

    Returns:
        The path.

    Raises:
        RunError: if the file cannot be written.
    """
    rows, course = _last_rows(history)
    text = _template("report.html").render(
        title=title,
        summary=summary,
        evaluations=evaluations,
        figures=[_embedded(figure) for figure in figures],
        history=rows,
        course=course,
        columns=list(dict.fromkeys(name for row in rows.values() for name in row)),
        configuration=configuration,
        version=vaekit.__version__,
        torch=torch.__version__,
    )
    return write_text(path, text)


def has_live_page(data: Dataset, figures_every: int) -> bool:
    """Tell whether a run that takes pictures so often, in epochs, has a page that follows them."""
    return figures_every > 0 and len(data.event_shape) == 3


def live(path: Path, title: str, every: int) -> Path:
    """Write a page that shows the newest pictures of a run while it trains, taken every so many epochs."""
    return write_text(path, _template("live.html").render(title=title, every=every))


def _template(name: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("vaekit").joinpath("templates", name).read_text(encoding="utf-8"))


def title_of(data: Dataset, folder: Path) -> str:
    """Name a run by its data and its folder, by the folder alone where that says the data too.

    Example:
        >>> from vaekit.data import open
        >>> title_of(open("digits"), Path("runs/wide")), title_of(open("digits"), Path("runs/digits-1"))
        ('digits: wide', 'digits-1')
    """
    name = folder.resolve().name
    return name if name.startswith(data.name) else f"{data.name}: {name}"


def _last_rows(history: History) -> tuple[dict[str, dict[str, str]], str]:
    """Write the last record of every split, and say what that of training is a mean over.

    The mean over an epoch takes the place of the latest report's, where training stopped at the end of that epoch.
    """
    rows = {split: _last(columns) for split, columns in history.items()}
    if "epoch" not in rows:
        return rows, ""
    whole = rows.pop("epoch")
    latest = rows.get("train", whole)
    if latest.get("step") == whole.get("step"):
        return {**rows, "train": {**latest, **whole}}, "Those of train are means over the last epoch."
    return {"train, whole epoch": whole, **rows}, "Those of train are means since the report before."


def _last(columns: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Write the last number of every column, whole where it counts steps or epochs."""
    return {
        name: f"{values[-1]:.0f}" if name in AXES else f"{values[-1]:.5g}" for name, values in columns.items() if values
    }


def _embedded(figure: Illustration) -> Embedded:
    image = shown(figure.picture)
    height, width = image.shape[:2]
    content = base64.b64encode(png(image)).decode("ascii")
    return Embedded(figure.name, figure.caption, content, width, height, broad=width > BROAD)

"""vaekit: its trainer, with data resident on the device; an epoch includes the reports of the running averages."""

from __future__ import annotations

from functools import cache
from typing import Any

import vaekit.data
from benchmarks.cases import Case
from benchmarks.measure import Stopwatch
from benchmarks.rows import images
from vaekit.data.dataset import Dataset
from vaekit.objectives import ELBO, IWAE
from vaekit.shapes import Shape
from vaekit.training import Settings, Trainer


def epoch(case: Case) -> float:
    """Train for an epoch."""
    training = trainer(case)
    watch = Stopwatch(case.device)
    training.run()
    return watch.seconds()


def trainer(case: Case, **further: Any) -> Trainer:
    """Make a trainer that keeps nothing on disk and shows nothing, with further settings if wanted."""
    settings = Settings(
        **{"epochs": 1, **further},
        batch_size=case.batch,
        precision=case.precision,
        accelerator=case.device,
        compile=case.compiled,
        progress=False,
        tensorboard=False,
    )
    objective = ELBO() if case.samples is None else IWAE(case.samples)
    return Trainer(case.network.model(), objective, dataset(case.network.image, case.rows), settings, None)


@cache
def dataset(image: Shape, rows: int) -> Dataset:
    """Return images as vaekit's training data."""
    return vaekit.data.open(images(image, rows).numpy(), transforms=(), validation=0, test=0)

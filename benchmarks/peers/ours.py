"""vaekit: its trainer, with data resident on the device; an epoch includes the reports of the running averages."""

from __future__ import annotations

from functools import cache
from typing import Any

import vaekit.data
from benchmarks.cases import Case
from benchmarks.measure import EPOCHS, Stopwatch
from benchmarks.rows import images
from vaekit.data.dataset import Dataset
from vaekit.objectives import ELBO, IWAE
from vaekit.shapes import Shape
from vaekit.training import Settings, Trainer


class Timed(Trainer):
    """A trainer that times its epochs.

    Attributes:
        seconds: those of every epoch.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seconds: list[float] = []

    def _epoch(self) -> bool:
        watch = Stopwatch(self.device.type)
        finished = super()._epoch()
        self.seconds.append(watch.seconds())
        return finished


def epoch(case: Case) -> float:
    """Train, and time the last epoch."""
    return epochs(case)[-1]


def epochs(case: Case) -> list[float]:
    """Train, and time every epoch."""
    training = trainer(case)
    training.run()
    return training.seconds


def trainer(case: Case, **further: Any) -> Timed:
    """Make a trainer that keeps nothing on disk and shows nothing, with further settings if wanted."""
    settings = Settings(
        **{"epochs": EPOCHS, **further},
        batch_size=case.batch,
        precision=case.precision,
        accelerator=case.device,
        compile=case.compiled,
        progress=False,
        tensorboard=False,
    )
    objective = ELBO() if case.samples is None else IWAE(case.samples)
    return Timed(case.network.model(), objective, dataset(case.network.image, case.rows), settings, None)


@cache
def dataset(image: Shape, rows: int) -> Dataset:
    """Return images as vaekit's training data."""
    return vaekit.data.open(images(image, rows).numpy(), transforms=(), validation=0, test=0)

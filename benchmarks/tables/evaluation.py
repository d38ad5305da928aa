"""Evaluation: log p(x) by importance sampling, against a loop written by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from benchmarks.cases import MNIST, Case
from benchmarks.losses import Plain
from benchmarks.measure import Stopwatch, compare
from benchmarks.rows import images
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells
from vaekit.evaluation import log_likelihood

SAMPLES, CHUNK, IMAGES = 5000, 500, 64


@dataclass(frozen=True)
class Judgement:
    """What is evaluated: a vaekit model and a plain one, each on the same images."""

    case: Case

    def ours(self, _: Case) -> float:
        """Estimate with vaekit."""
        model = self.case.network.model().to(self.case.device)
        x = images(self.case.network.image, IMAGES, "test").to(self.case.device).float() / 255
        watch = Stopwatch(self.case.device)
        log_likelihood(model, x, samples=SAMPLES)
        return watch.seconds()

    @torch.no_grad()
    def theirs(self, _: Case) -> float:
        """Estimate an image at a time, as one writes it by hand."""
        model = Plain(self.case)
        x = images(self.case.network.image, IMAGES, "test").view(IMAGES, 1, -1).to(self.case.device).float() / 255
        watch = Stopwatch(self.case.device)
        for image in x:
            chunks = [model.log_weights(image, CHUNK) for _ in range(SAMPLES // CHUNK)]
            torch.cat(chunks).logsumexp(0).sub(math.log(SAMPLES)).item()
        return watch.seconds()


def table(setting: Setting) -> Table:
    """Measure importance sampling."""
    result = Table(f"Evaluation by {SAMPLES} importance samples", ("case", "ratio", "quartiles", "goal", "ms an image"))
    case = Case("MLP 784-400-50", MNIST, 1, IMAGES, device=setting.device)
    judgement = Judgement(case)
    ratio = compare(judgement.ours, judgement.theirs, case, max(2, setting.rounds // 2))
    result.add(f"{case.name}, {IMAGES} images", *ratio_cells(ratio, None), f"{1e3 * ratio.ours / IMAGES:.0f}")
    result.remarks = f"The loop written by hand takes an image at a time and {CHUNK} samples at once."
    return result

"""Pictures taken while a run trains: a batch beside its reconstructions, and samples, named by epoch."""

from __future__ import annotations

import torch

from vaekit import figures
from vaekit.data.dataset import Dataset
from vaekit.evaluation.batches import inference
from vaekit.model import VAE
from vaekit.training.recorder import Recorder

RECONSTRUCTED, SAMPLED, PER_ROW = 32, 144, 12


class Snapshots:
    """Takes the same pictures after every evaluation, so that they can be compared over time.

    Arguments:
        model: whose pictures are taken.
        data: gives the originals, of the test split, else of the validation or training split.
        recorder: keeps them in the run's folder and shows them in TensorBoard.
    """

    def __init__(self, model: VAE, data: Dataset, recorder: Recorder) -> None:
        self.model, self.data, self.recorder = model, data, recorder

    def take(self, epoch: int, step: int) -> None:
        """Save `reconstructions-epochNNNN.png` and `samples-epochNNNN.png`; data that is no image gives none."""
        if self.recorder.folder is None or len(self.data.event_shape) != 3:
            return
        given = self._originals()
        self._keep("reconstructions", figures.reconstructions(self.model, *given, shown=self.data.shown), epoch, step)
        if len(given) == 1:
            self._keep(
                "samples",
                figures.samples(self.model, count=SAMPLED, columns=PER_ROW, shown=self.data.shown),
                epoch,
                step,
            )

    def _originals(self) -> tuple[torch.Tensor, ...]:
        split = next(name for name in ("test", "validation", "train") if len(self.data.split(name)))
        with inference(self.model, seed=0):
            return next(iter(self.data.batches(split, RECONSTRUCTED, self.model.step.device)))

    def _keep(self, name: str, image: figures.Image, epoch: int, step: int) -> None:
        folder = self.recorder.folder
        if folder is not None:
            figures.save(image, folder / "figures" / f"{name}-epoch{epoch:04d}.png")
            self.recorder.image(name, image, step)

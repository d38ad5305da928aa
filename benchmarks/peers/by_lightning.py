"""Lightning's Trainer: the loss written by hand, its DataLoader, with logging, checkpoints and progress off."""

from __future__ import annotations

import logging
import warnings

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cases import Case
from benchmarks.losses import Plain
from benchmarks.measure import EPOCHS, Stopwatch
from benchmarks.rows import floats

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Module(LightningModule):
    """The loss and its optimiser, as Lightning wants them.

    Arguments:
        case: what is fitted.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.plain, self.fused = Plain(case), case.tuned

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Compute the loss of a batch."""
        loss: Tensor = self.plain(batch[0])
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=self.fused or None)


class Timer(Callback):
    """Times the last epoch, without what comes before and after it.

    Arguments:
        device: where it runs.
    """

    def __init__(self, device: str) -> None:
        self.device, self.seconds = device, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.watch = Stopwatch(self.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = self.watch.seconds()


def epoch(case: Case) -> float:
    """Train, and time the last epoch."""
    rows = floats(case.network.image, case.rows, case.network.event, "cpu")
    timer = Timer(case.device)
    trainer = Trainer(
        accelerator=case.device,
        devices=1,
        max_epochs=EPOCHS,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(case), DataLoader(TensorDataset(rows), case.batch, shuffle=True))
    return timer.seconds

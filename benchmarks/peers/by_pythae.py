"""pythae: its `BaseTrainer` on the identical network, without its progress bar and prints."""

from __future__ import annotations

import logging
import tempfile

from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn, zeros

from benchmarks.cases import Case
from benchmarks.measure import last_epoch
from benchmarks.rows import floats

logging.getLogger(BaseTrainer.__module__).setLevel(logging.ERROR)


class Encoder(BaseEncoder):  # type: ignore[misc]
    """A plain encoder with pythae's output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> ModelOutput:
        """Map a batch to location and log-variance."""
        loc, log_variance = self.network(x).chunk(2, -1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class Decoder(BaseDecoder):  # type: ignore[misc]
    """A plain decoder with pythae's output, which are probabilities where pixels are binary."""

    def __init__(self, network: nn.Module, binary: bool) -> None:
        super().__init__()
        self.network, self.binary = network, binary

    def forward(self, z: Tensor) -> ModelOutput:
        """Map latents to a reconstruction."""
        output = self.network(z)
        return ModelOutput(reconstruction=output.sigmoid() if self.binary else output)


def epoch(case: Case) -> float:
    """Train, and time the last epoch."""
    network = case.network
    config = VAEConfig(
        input_dim=network.event, latent_dim=network.latent, reconstruction_loss="bce" if network.binary else "mse"
    )
    model = VAE(config, Encoder(network.encoder()), Decoder(network.decoder(), network.binary))
    rows = BaseDataset(floats(network.image, case.rows, network.event, "cpu"), zeros(case.rows))
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=case.batch,
            optimizer_params={"fused": case.tuned or None},
            learning_rate=1e-3,
            no_cuda=case.device == "cpu",
        )
        trainer = BaseTrainer(model, rows, training_config=settings)
        trainer.prepare_training()
        trainer.callback_handler.callbacks = [TrainingCallback()]
        return last_epoch(lambda: [1], trainer.train_step, case.device)

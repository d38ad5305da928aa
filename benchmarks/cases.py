"""What is fitted when a peer is timed, as a table of cases."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.networks import Convolutional, Network, Perceptron

MNIST = Perceptron((1, 28, 28), 50, (400,))
RECTANGLES = Perceptron((1, 24, 24), 2, (1152, 1152))
FACES = Convolutional((3, 64, 64), 128, (32, 64, 128, 256, 512))


@dataclass(frozen=True)
class Case:
    """An epoch of training.

    Attributes:
        name: what it is called in a table.
        network: what is fitted.
        batch: examples a step.
        steps: steps of an epoch.
        samples: latents an example in the importance-weighted bound; None for the evidence lower bound.
        precision: vaekit's number format.
        compiled: whether vaekit compiles the step.
        tuned: whether peers are tuned as vaekit is unasked: the fused Adam, and logits where Pyro's tutorial has probabilities.
        device: where it runs.
    """

    name: str
    network: Network
    batch: int
    steps: int
    samples: int | None = None
    precision: str = "32-true"
    compiled: bool = False
    tuned: bool = False
    device: str = "cpu"

    @property
    def rows(self) -> int:
        """How many examples an epoch has."""
        return self.batch * self.steps


TRAINING = (
    Case("MLP 784-400-50, batch 16", MNIST, 16, 200),
    Case("MLP 784-400-50, batch 128", MNIST, 128, 60),
    Case("MLP 784-400-50, batch 256", MNIST, 256, 50),
    Case("MLP 784-400-50, batch 2048", MNIST, 2048, 6),
    Case("rectangles 576-1152-1152-2, batch 16", RECTANGLES, 16, 60),
    Case("faces, convolutions 32..512 of 64 x 64, batch 64", FACES, 64, 2),
)

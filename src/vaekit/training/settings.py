"""How a model is fitted: the numbers of the training loop, apart from what is fitted to what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaekit.arguments import require_count, require_number
from vaekit.errors import ConfigError
from vaekit.schedules import Schedule
from vaekit.spec import target_of

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
PRODUCTS = ("highest", "high", "medium")


@dataclass(frozen=True)
class Settings:
    """The settings of the training loop.

    Arguments:
        epochs: passes over the training split.
        batch_size: examples per step, over all processes.
        seed: seeds the order of the data and all noise.
        optimizer: makes the optimiser from the parameters; the fused implementation is used where there is one.
        schedule: makes a learning-rate schedule from the optimiser; None keeps the rate.
        schedule_per_step: advance the schedule after every step instead of after every epoch.
        clip: largest norm of the gradient; None does not clip.
        accumulate: batches that make one step of the optimiser, whose gradient is the average over all their examples.
        ema: decay of an exponential moving average of the weights, which then is what is evaluated; None for no average.
        precision: Lightning Fabric's name of the number format: "32-true", or "bf16-mixed" or "16-mixed", which keep weights
            in single precision.
        matmul: torch's name of the precision of products of single-precision matrices in training: "highest", or "high" or
            "medium", which let a CUDA device round to TF32 or bfloat16; None leaves torch's own choice.
        accelerator: Lightning Fabric's name of the kind of device, as "auto", "cpu", "cuda" or "mps".
        devices: how many devices of that kind each node uses.
        nodes: how many nodes take part.
        strategy: Lightning Fabric's name of the way several devices share the work, as "auto", "ddp" or "fsdp".
        compile: compile the objective with torch.compile.
        cuda_graph: record whole steps as CUDA graphs, in which what Python computes is computed once; None does so wherever
            it is possible, True refuses to train where it is not.
        log_every: steps between reports of the running averages.
        every_step: keep the terms of each single step, and the posterior's statistics, in `steps.csv`.
        evaluate_every: epochs between evaluations on the validation split.
        test_every: epochs between evaluations on the test split; 0 leaves it for the end.
        patience: evaluations without improvement of the validation loss after which training stops; None never stops early.
            It needs a validation split.
        keep_best: how many of the best checkpoints by validation loss are kept.
        save_minutes: save a checkpoint within an epoch that lasts longer than this.
        figures_every: epochs between grids of reconstructions and samples; 0 for none during training.
        progress: show one live line.
        tensorboard: write TensorBoard events.

    Example:
        >>> import vaekit as vk
        >>> settings = vk.training.Settings(epochs=3, clip=1.0)
        >>> settings.epochs, settings.batch_size
        (3, 128)
    """

    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = torch.optim.Adam
    schedule: Callable[[Optimizer], LRScheduler] | None = None
    schedule_per_step: bool = False
    clip: float | None = None
    accumulate: int = 1
    ema: float | None = None
    precision: str = "32-true"
    matmul: str | None = None
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compile: bool = False
    cuda_graph: bool | None = None
    log_every: int = 50
    every_step: bool = False
    evaluate_every: int = 1
    test_every: int = 0
    patience: int | None = None
    keep_best: int = 1
    save_minutes: float = 10.0
    figures_every: int = 0
    progress: bool = True
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())
        for name in ("epochs", "batch_size", "accumulate", "devices", "nodes", "log_every", "evaluate_every"):
            require_count("", name, getattr(self, name))
        for name in ("test_every", "keep_best", "figures_every"):
            require_count("", name, getattr(self, name), least=0)
        require_number("", "save_minutes", self.save_minutes, least=0)
        _require_factory("optimizer", self.optimizer, "torch.optim.Adam")
        _require_factory("schedule", self.schedule, "torch.optim.lr_scheduler.CosineAnnealingLR")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        _require(self.matmul in (None, *PRODUCTS), "matmul", self.matmul, f"one of {', '.join(PRODUCTS)}, or None")
        is_seed = isinstance(self.seed, Integral) and 0 <= int(self.seed) < 2**48
        _require(is_seed, "seed", self.seed, "a whole number from 0 to 2^48 - 1")
        _refuse_measuring(self.schedule)
        for name in ("clip", "ema"):
            if getattr(self, name) is not None:
                require_number("", name, getattr(self, name), above=0, otherwise=", or None")
        _require(self.ema is None or self.ema < 1, "ema", self.ema, "a decay between 0 and 1, or None")
        if self.patience is not None:
            require_count("", "patience", self.patience)


def _class_of(factory: Callable[..., object] | None) -> type:
    """Return the class that a factory makes objects of, as far as it says so."""
    target = None if factory is None else target_of(factory)
    return target if isinstance(target, type) else object


def _refuse_measuring(schedule: Callable[..., object] | None) -> None:
    """Refuse a schedule that is advanced by a measured value."""
    if issubclass(made := _class_of(schedule), torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ConfigError(
            f"`schedule` is {made.__name__}, which needs a measured value at each step; choose one that does not."
        )


def _require_factory(name: str, value: object, example: str) -> None:
    """Refuse an object in the place of what makes one; a schedule of an objective's weight makes no schedule of the loop."""
    if value is not None and (isinstance(value, Schedule) or not callable(value)):
        raise ConfigError(
            f"`{name}` is a {type(value).__name__} object; it must be what makes one, as {example}, or functools.partial of "
            f"that with its options."
        )


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"`{name}` is {value!r}; it must be {rule}.")


class InverseTimeLR(torch.optim.lr_scheduler.LambdaLR):
    r"""The learning rate :math:`\eta_t = \eta_0 / (1 + r t)`.

    Arguments:
        optimizer: whose learning rate is set.
        rate: r, the decay per step of the schedule.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> vk.training.InverseTimeLR(optimizer, rate=1.0).get_last_lr()
        [1.0]
    """

    def __init__(self, optimizer: Optimizer, rate: float = 1e-4) -> None:
        self.rate = rate
        super().__init__(optimizer, self._factor)

    def _factor(self, t: int) -> float:
        return 1 / (1 + self.rate * t)

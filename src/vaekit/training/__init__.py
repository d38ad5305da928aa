"""Fitting a model: the loop, its step, checkpoints, and what is recorded."""

from vaekit.training.loop import Trainer
from vaekit.training.saving import Progress
from vaekit.training.settings import InverseTimeLR, Settings

__all__ = ["InverseTimeLR", "Progress", "Settings", "Trainer"]

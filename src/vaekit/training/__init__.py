"""Fitting a model: the loop, its step, checkpoints, and what is recorded.

`Trainer` is imported when it is first used, because Lightning Fabric, which it brings along, takes seconds.
"""

from typing import TYPE_CHECKING, Any

from vaekit.training.saving import Progress
from vaekit.training.settings import InverseTimeLR, Settings

if TYPE_CHECKING:
    from vaekit.training.loop import Trainer

__all__ = ["InverseTimeLR", "Progress", "Settings", "Trainer"]


def __getattr__(name: str) -> Any:
    if name != "Trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vaekit.training.loop import Trainer

    return Trainer

"""An objective of which only the name is known: what stands for a function, or for a class that is no longer there, in a run."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vaekit.errors import ConfigError
from vaekit.model import VAE
from vaekit.objectives.terms import Objective, Terms


@dataclass(frozen=True)
class Named(Objective):
    """An objective that a run's folder can name but not rebuild.

    Attributes:
        name: its dotted path, or that of its class.

    Raises:
        ConfigError: when it is called.

    Example:
        >>> Named.of(len)
        Named(name='builtins.len')
    """

    name: str

    @classmethod
    def of(cls, objective: object) -> Named:
        """Name an objective, which may be any callable."""
        target = objective if hasattr(objective, "__qualname__") else type(objective)
        return cls(f"{target.__module__}.{target.__qualname__}")

    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        """Refuse to compute anything."""
        raise ConfigError(
            f"`objective` is {self.name}, of which the run keeps the name alone. Give the objective itself to `vaekit.fit`."
        )

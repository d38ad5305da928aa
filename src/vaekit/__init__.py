"""vaekit: a variational autoencoder is a prior, a posterior, a likelihood and an objective.

The names below are imported when they are first used, so that importing the package, and asking the command line for help,
costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit import (
        data,
        distributions,
        evaluation,
        figures,
        likelihoods,
        networks,
        objectives,
        posteriors,
        priors,
        recipes,
        training,
    )
    from vaekit.composition import compose
    from vaekit.conditional import Conditional
    from vaekit.divergences import divergence
    from vaekit.fitting import fit
    from vaekit.model import VAE, Trace
    from vaekit.runs.run import Run, load

__version__ = "0.1.0"

_HOMES = {
    "Conditional": "conditional",
    "Run": "runs.run",
    "Trace": "model",
    "VAE": "model",
    "compose": "composition",
    "divergence": "divergences",
    "fit": "fitting",
    "load": "runs.run",
}

__all__ = [
    "VAE",
    "Conditional",
    "Run",
    "Trace",
    "compose",
    "data",
    "distributions",
    "divergence",
    "evaluation",
    "figures",
    "fit",
    "likelihoods",
    "load",
    "networks",
    "objectives",
    "posteriors",
    "priors",
    "recipes",
    "training",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vaekit' has no attribute '{name}'")
    home = import_module(f"vaekit.{_HOMES.get(name, name)}")
    value = getattr(home, name) if name in _HOMES else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

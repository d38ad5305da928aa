"""Lightning Fabric, which starts a job's processes, moves things to their devices and casts them to their precision.

It takes seconds to import, so only what trains imports this module.
"""

from __future__ import annotations

from lightning_fabric import Fabric
from lightning_fabric.accelerators.accelerator import Accelerator
from lightning_fabric.accelerators.cuda import CUDAAccelerator
from lightning_fabric.accelerators.mps import MPSAccelerator
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy

from vaekit.errors import ConfigError
from vaekit.training.settings import Settings
from vaekit.training.sharded import shard

KINDS: dict[str, tuple[type[Accelerator], ...]] = {
    "cuda": (CUDAAccelerator,),
    "mps": (MPSAccelerator,),
    "gpu": (CUDAAccelerator, MPSAccelerator),
}


class ShardedStrategy(ModelParallelStrategy):
    """Lightning Fabric's strategy for sharded models, for a `Pass` of any vaekit model.

    Arguments:
        processes: how many processes take part, over all nodes.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(shard, data_parallel_size=processes, tensor_parallel_size=1)


def make_fabric(settings: Settings) -> Fabric:
    """Make and launch Lightning Fabric for the chosen devices and precision; from here on, all processes run.

    Raises:
        ConfigError: if there are no such devices, or their combination is not possible.
    """
    kinds = KINDS.get(settings.accelerator, ())
    if kinds and not any(kind.is_available() for kind in kinds):
        raise ConfigError(
            f"`accelerator` is {settings.accelerator!r}, and this machine has no such device that torch can use. Choose 'cpu', "
            f"or 'auto' for the best that there is."
        )
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            strategy=_strategy(settings),
            precision=settings.precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    except (ValueError, RuntimeError, TypeError, ModuleNotFoundError) as error:
        raise ConfigError(f"Lightning Fabric refuses {_chosen(settings)}: {error}") from error
    return fabric


def _chosen(settings: Settings) -> str:
    """Name the settings of devices, and their precision, that are not the defaults."""
    values = {name: getattr(settings, name) for name in ("accelerator", "devices", "nodes", "strategy", "precision")}
    told = (f"`{name}` {value!r}" for name, value in values.items() if value != getattr(Settings, name))
    return ", ".join(told) or "the default settings"


def _strategy(settings: Settings) -> str | Strategy:
    """Return Fabric's strategy by its name, or vaekit's own for sharded models, which takes the place of Fabric's older one."""
    return ShardedStrategy(settings.devices * settings.nodes) if settings.strategy == "fsdp" else settings.strategy

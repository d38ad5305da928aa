"""The processes of a job: doing once what only the first may do, and agreeing when to stop and to save."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import torch

from vaekit.errors import ConfigError, VaekitError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Result = TypeVar("Result")
SECONDS, MOST_STEPS = 0.5, 1000


def is_first() -> bool:
    """Tell whether this is the process that writes files and speaks."""
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)


def may_restart() -> bool:
    """Tell whether torchrun starts this job again if a process of it fails.

    Raises:
        ConfigError: if the processes that it starts would take the addresses of those before them for their own.
    """
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) == 0:
        return False
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise ConfigError(
            "torchrun would keep the addresses of failed processes, and a restarted job would wait for them. Set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for it, and use --standalone or --rdzv-backend c10d."
        )
    return True


def by_first(fabric: Fabric, make: Callable[[], Result]) -> Result:
    """Have the first process make something, and return it in all processes, or raise its error in all of them."""
    made: Result | VaekitError | None = None
    if fabric.is_global_zero:
        try:
            made = make()
        except VaekitError as error:
            made = error
    made = fabric.broadcast(made)
    if isinstance(made, VaekitError):
        raise made
    return cast(Result, made)


class Wish(NamedTuple):
    """What a process wants to happen before the next step.

    Attributes:
        stop: the number of a signal that asks to stop, None if there was none.
        save: whether a checkpoint is due.
    """

    stop: int | None = None
    save: bool = False


class Agreement:
    """Lets all processes stop and save after the same step, without a message in every step.

    They exchange their wishes after steps that are the same for all, as many apart as take about half a second.

    Arguments:
        fabric: connects the processes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.every, self.steps, self.since = 1, 0, time.perf_counter()

    def reach(self, wish: Wish) -> Wish:
        """Return what is done: any process's wish is everyone's, once they have exchanged them."""
        if self.fabric.world_size == 1:
            return wish
        self.steps += 1
        if self.steps < self.every:
            return Wish()
        passed = (time.perf_counter() - self.since) / self.steps
        mine = torch.tensor([wish.stop or 0, wish.save, passed], device=self.fabric.device)
        torch.distributed.all_reduce(mine, torch.distributed.ReduceOp.MAX)
        stop, save, seconds = mine.tolist()
        self.every = max(1, min(MOST_STEPS, int(SECONDS / max(seconds, SECONDS / MOST_STEPS))))
        self.steps, self.since = 0, time.perf_counter()
        return Wish(int(stop) or None, save > 0)

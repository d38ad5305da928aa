"""Jobs of several processes on this machine, as torchrun would start them, but from one server that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

PATIENCE = 100.0


def run_job(world: int, work: Callable[..., Any], *arguments: Any, patience: float = PATIENCE) -> list[Any]:
    """Call `work(*arguments)` in so many connected processes; return what each returned, or raise what one raised."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vaekit.training", "vaekit.recipes", "torch.distributed"])
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
    pipes = [context.Pipe(duplex=False) for _ in range(world)]
    processes = [
        context.Process(target=_process, args=(rank, environment, sender, work, arguments), daemon=True)
        for rank, (_, sender) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        return [_received(receiver, patience) for receiver, _ in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _received(receiver: Connection, patience: float) -> Any:
    if not receiver.poll(patience):
        raise TimeoutError(f"a process said nothing for {patience:g} s")
    error, result = receiver.recv()
    if error:
        raise AssertionError(error)
    return result


def _process(
    rank: int, environment: dict[str, str], sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({**environment, **own})
    torch.set_num_threads(1)
    try:
        sender.send((None, work(*arguments)))
    except BaseException:
        sender.send((f"process {rank}:\n{traceback.format_exc()}", None))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

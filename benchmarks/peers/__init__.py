"""Peers: each is a function `(case) -> seconds of the second epoch`, in a module that needs the peer installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.cases import Case

Peer = Callable[[Case], float]


def load(name: str) -> Peer | None:
    """Return a peer by its module and function, as "handwritten.eager"; None where its library is not installed."""
    module, _, function = name.partition(".")
    try:
        peer: Peer = getattr(import_module(f"benchmarks.peers.{module}"), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("benchmarks"):
            raise
        return None
    return peer

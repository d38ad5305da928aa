"""Tables: each module's `table(setting)` measures and returns one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.setting import Setting
from benchmarks.table import Table

NAMES = (
    "training",
    "precision",
    "arithmetic",
    "importance",
    "evaluation",
    "compilation",
    "streaming",
    "processes",
    "startup",
)


def load(name: str) -> Callable[[Setting], Table]:
    """Return the function that measures a table."""
    function: Callable[[Setting], Table] = import_module(f"benchmarks.tables.{name}").table
    return function

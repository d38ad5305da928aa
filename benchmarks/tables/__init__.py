"""Tables: each module's `table(setting)` measures and returns one.

Those in `BOUND` do arithmetic alone, and their threads stay on their cores: a thread that is moved to the core of the other one
makes every short operation wait, for seconds, and whose turn that is in is chance.
"""

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
BOUND = ("training", "precision", "arithmetic", "importance", "evaluation")


def load(name: str) -> Callable[[Setting], Table]:
    """Return the function that measures a table."""
    function: Callable[[Setting], Table] = import_module(f"benchmarks.tables.{name}").table
    return function

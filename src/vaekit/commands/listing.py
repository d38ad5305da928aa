"""`vaekit recipes` and `vaekit data`: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vaekit import recipes as recipe_room
from vaekit.commands.as_flags import as_flags
from vaekit.commands.calling import call


def recipes(arguments: Sequence[str]) -> None:
    """List the recipes."""
    call(_recipes, arguments)


def data(arguments: Sequence[str]) -> None:
    """Describe a data source, opened with the options that `vaekit fit` has for it."""
    from vaekit.commands.flags import data_parser, instantiated, source_flag

    parser = data_parser()
    named = [
        f"--data.source={a}" if i == 0 and not a.startswith("-") else source_flag(a) for i, a in enumerate(arguments)
    ]
    _data(**vars(instantiated(parser, parser.parse(named)).data))


def _recipes(*, show: str | None = None) -> None:
    """List the recipes with their sources, or show the numbers of one.

    Args:
        show: the name of the recipe to print whole.
    """
    if show is not None:
        print(recipe_room.find(show).read_text(encoding="utf-8"), end="")
        return
    table = Table(box=None, padding=(0, 2, 1, 0))
    for title in ("recipe", "what it fits", "source"):
        table.add_column(title, no_wrap=title == "recipe", overflow="fold")
    for name in recipe_room.names():
        table.add_row(*recipe_room.describe(name))
    Console(highlight=False).print(table)


def _data(**chosen: Any) -> None:
    """Say what data holds, and which likelihood suits it, given the arguments by which it is opened."""
    from vaekit.data import open

    opened = open(**chosen)
    print(as_flags(opened.describe(), "data"))
    if opened.propose().reason not in opened.describe():
        print(f"likelihood: {opened.propose().reason}")

"""What a user reaches: the public names of the package, of its rooms, and of what the pages import; and their examples."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import get_origin

from prose import PAGES, blocks

import vaekit as vk

FURTHER = ("likelihoods.columns",)
IMPORT = re.compile(r"^from vaekit\.([\w.]+) import (.+)$", re.MULTILINE)


def members(room: ModuleType) -> dict[str, object]:
    """Return what a room offers, by name: what it lists, or else what it defines."""
    own = [name for name, value in vars(room).items() if getattr(value, "__module__", None) == room.__name__]
    public = getattr(room, "__all__", [name for name in own if not name.startswith("_")])
    return {name: getattr(room, name) for name in public}


def public() -> dict[str, object]:
    """Return what a user reaches, by its name behind `vaekit.`."""
    found = members(vk)
    rooms = {name: value for name, value in found.items() if isinstance(value, ModuleType)}
    for path, room in (rooms | {path: import_module(f"vaekit.{path}") for path in FURTHER}).items():
        found |= {f"{path}.{name}": value for name, value in members(room).items()}
    return found | dict(imported())


def imported() -> Iterator[tuple[str, object]]:
    """Yield what the programs of the pages import."""
    for block in (block for page in PAGES for block in blocks(page)):
        for path, names in IMPORT.findall(block.text):
            home = import_module(f"vaekit.{path}")
            yield from ((f"{path}.{name}", getattr(home, name)) for name in names.split(", "))


def examples() -> list[doctest.DocTest]:
    """Return the examples of all that is public, and of its methods, each with an empty namespace."""
    found = public().items()
    return [example for name, value in found if get_origin(value) is None for example in examples_of(name, value)]


def examples_of(name: str, value: object) -> list[doctest.DocTest]:
    """Return the examples of an object and its methods; of a module, its own alone."""
    finder = doctest.DocTestFinder(recurse=inspect.isclass(value))
    found = finder.find(value, name, globs={})
    return [example for example in found if example.examples and "._" not in example.name]

"""Recipes: the numbers of one article or paper each, as a file of flags for `vaekit fit`. They hold no code.

A file opens with a comment: what is fitted to what, the source with its year, and what of the source was corrected.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

from vaekit.errors import ConfigError

FOLDER, SUFFIXES = Path(__file__).parent, (".yaml", ".yml")


class Recipe(NamedTuple):
    """A recipe's name, what it does, and where it comes from."""

    name: str
    summary: str
    source: str


def names() -> list[str]:
    """List the names of all recipes.

    Example:
        >>> import vaekit as vk
        >>> "mnist-bernoulli" in vk.recipes.names()
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def describe(name: str) -> Recipe:
    """Read what a recipe says of itself.

    Example:
        >>> import vaekit as vk
        >>> vk.recipes.describe("mnist-bernoulli").source
        'Pyro, "Variational Autoencoders" (tutorial, 2017).'
    """
    lines = []
    for line in find(name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# "))
    summary, _, source = " ".join(lines).partition(" Source: ")
    return Recipe(name, summary, source)


def find(name: str) -> Path:
    """Return the file of a recipe, or the file of flags at a path.

    Raises:
        ConfigError: if there is neither.

    Example:
        >>> import vaekit as vk
        >>> vk.recipes.find("mnist-bernoulli").name
        'mnist-bernoulli.yaml'
    """
    if name in names():
        return FOLDER / f"{name}.yaml"
    path = Path(name)
    if path.suffix in SUFFIXES and path.is_file():
        return path
    near = difflib.get_close_matches(name, names(), 1)
    raise ConfigError(
        f"There is no recipe `{name}`"
        + (f"; did you mean `{near[0]}`?" if near else ".")
        + f" There are: {', '.join(names())}."
    )

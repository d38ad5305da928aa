"""Commands from functions: arguments without a default are positional, the others flags, the help is the docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from vaekit.commands.parser import Parser


def call(function: Callable[..., None], arguments: Sequence[str]) -> None:
    """Call a function with what a command line gives for its arguments."""
    name = function.__name__.strip("_")
    summary = (function.__doc__ or "").strip().splitlines()[0]
    parameters = inspect.signature(function).parameters.values()
    places = "".join(f" {p.name.upper()}" for p in parameters if p.default is p.empty)
    parser = Parser(prog=f"vaekit {name}", usage=f"vaekit {name}{places} [options]", description=summary)
    parser.add_function_arguments(function, as_positional=True, as_group=False)
    function(**vars(parser.instantiate(parser.parse(arguments))))

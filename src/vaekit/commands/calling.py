"""Commands from functions: arguments without a default are positional, the others flags, the help is the docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from vaekit.commands.parser import Parser


def call(function: Callable[..., None], arguments: Sequence[str], **grouped: type) -> None:
    """Call a function with what a command line gives for its arguments.

    Arguments:
        function: what is called.
        arguments: of the command line.
        grouped: the dataclasses of those of its arguments whose fields are flags of their own.
    """
    name = function.__name__.strip("_")
    summary = (function.__doc__ or "").strip().splitlines()[0]
    parameters = inspect.signature(function).parameters.values()
    places = "".join(f" {p.name.upper()}" for p in parameters if p.default is p.empty and p.name not in grouped)
    parser = Parser(prog=f"vaekit {name}", usage=f"vaekit {name}{places} [options]", description=summary)
    parser.add_function_arguments(function, as_positional=True, as_group=False, skip=set(grouped))
    for kind in grouped.values():
        parser.add_class_arguments(kind, as_group=False)
    given = vars(parser.instantiate(parser.parse(arguments)))
    made = {
        key: kind(**{field: given.pop(field) for field in inspect.signature(kind).parameters})
        for key, kind in grouped.items()
    }
    function(**given, **made)

"""Commands from functions: arguments without a default are positional, the others flags, the help is the docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentParser


def call(function: Callable[..., None], arguments: Sequence[str]) -> None:
    """Call a function with what a command line gives for its arguments."""
    name = function.__name__.strip("_")
    summary = (function.__doc__ or "").strip().splitlines()[0]
    parser = ArgumentParser(prog=f"vaekit {name}", description=summary)
    parser.add_function_arguments(function, as_positional=True)
    flags = {f"--{p.name}" for p in inspect.signature(function).parameters.values() if p.default is False}
    given = [f"{a}=true" if a in flags else a for a in arguments]
    function(**vars(parser.instantiate(parser.parse_args(given))))

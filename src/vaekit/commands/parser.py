"""The parser that all commands share: help in short names, flags that need no value, and refusals in one sentence."""

from __future__ import annotations

import shutil
from argparse import Action
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from vaekit.commands.classes import known_classes, own_class, takes_module
from vaekit.commands.refusals import sentence
from vaekit.errors import ConfigError

WIDEST, COLUMN = 120, 30
ALIASES = {"--data.source": "--data"}
NO_TYPE = {"data.source", "data.options", "data.transforms", "model"}


class Formatter(DefaultHelpFormatter):
    """Help with the short names of classes, and without what only a program would ask for."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(WIDEST, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=COLUMN, width=width, **options)  # type: ignore[no-untyped-call]

    def add_argument(self, action: Action) -> None:
        """Leave out what is hidden."""
        if not is_hidden(action):
            super().add_argument(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings or not action.dest or action.nargs == 0:
            return super()._format_action_invocation(action)
        name = ALIASES.get(action.option_strings[-1], action.option_strings[0])
        return f"{name} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _expand_help(self, action: Action) -> str:
        """Return an option's help with its kind and its default."""
        if not hasattr(action, "extra_help"):
            return super()._expand_help(action)
        notes = [self._kind(action), "" if action.default is None else f"default: {_plain(action.default)}"]
        shown = "; ".join(note for note in notes if note and note != "default: ()")
        return f"{action.help or ''}{f' ({shown})' if shown else ''}"

    def _kind(self, action: Action) -> str:
        if names := known_classes(action):
            return f"{', '.join(names)}, or the path of a class of your own"
        if takes_module(action):
            return "the path of a module, as torch.nn.Tanh"
        kind = (self._get_type_str(action) or "").replace(" | null", "").replace("<class 'Path'>", "path")
        return "" if action.dest in NO_TYPE or kind == "bool" else kind


class Parser(ArgumentParser):
    """A parser whose refusals are `ConfigError`s of one sentence."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse what was given.

        Raises:
            ConfigError: saying what, why, and the way out.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        options = [name for action in self._actions if not is_hidden(action) for name in action.option_strings]
        names = {name for action in self._actions for name in known_classes(action)}
        raise ConfigError(sentence(message, [*options, *ALIASES.values()], sorted(names))) from ex

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse arguments, where an option that is false by default needs no value to be true."""
        switches = {f"--{a.dest}" for a in self._actions if a.default is False}
        pairs = pairwise([*self._with_paths(arguments), ""])
        given = [f"{a}=true" if a in switches and b not in ("true", "false") else a for a, b in pairs]
        parsed: Namespace = self.parse_args(given)
        return parsed

    def _with_paths(self, arguments: Sequence[str]) -> Iterator[str]:
        """Write the short names of vaekit's own classes as their paths: other libraries may have classes of these names."""
        before = ""
        for argument in arguments:
            option, equals, value = argument.partition("=") if argument.startswith("--") else (before, "", argument)
            action = self._option_string_actions.get(option.removesuffix(".help"))
            path = own_class(action, value) if action and value.isidentifier() else None
            yield argument if path is None else f"{option}={path}" if equals else path
            before = argument


def is_hidden(action: Action) -> bool:
    """Tell whether an option is left out of the help: the help of a class, and a file for a group of options."""
    return type(action).__name__ == "_ActionConfigLoad" or any(name.endswith(".help") for name in action.option_strings)


def _plain(default: Any) -> Any:
    """Write a default as one would type it."""
    if isinstance(default, dict | Namespace):
        return str(default.get("class_path", default)).rpartition(".")[2]
    return default

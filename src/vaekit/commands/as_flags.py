"""The ways out that messages name as arguments of Python, written as the flags of a command, where it has them."""

from __future__ import annotations

import ast
import re
import shlex

import yaml

OPENING = ("fit", "data")  # the commands that have the options of opening data
FLAGS = {
    "drop_missing=True": "--data.drop_missing",
    "clip=1.0": "--clip 1",
    "relaxed=True": "--likelihood.relaxed true",
    "sample=True": "--sample",
    "the transform Binarize": "--data.transforms '[{class_path: Binarize}]'",
}
TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
OPTION = rf"(Table|ArrayFile)\((\w+)=(True|\.\.\.|{TEXT}|\((?:{TEXT},? ?)+\))\)"
WITHOUT = re.compile(rf" with drop_missing=True|(?:, or name it)?: {OPTION}|; {OPTION} keeps it as data")
PLAIN = re.compile(r"[^\W\d](?:[\w -]*\w)?")


def as_flags(said: str, command: str = "") -> str:
    """Write the ways out that a message names as flags of a command, and leave out those that it does not have.

    Example:
        >>> as_flags("Leave it out: Table(ignore=('id', 'cost, €')).", "fit")
        'Leave it out: --data.options Table --data.options.ignore \\'[id, "cost, €"]\\'.'
        >>> as_flags("Leave these rows out with drop_missing=True, or fill them in before.", "score")
        'Leave these rows out, or fill them in before.'
    """
    said = re.sub(OPTION, _as_options, said) if command in OPENING else WITHOUT.sub("", said)
    for argument, flag in FLAGS.items():
        said = said.replace(argument, flag)
    return said


def _as_options(found: re.Match[str]) -> str:
    kind, name, value = found.groups()
    return f"--data.options {kind} --data.options.{name} {_as_word(ast.literal_eval(value))}"


def _as_word(value: object) -> str:
    """Write a value as one word of a shell; the ellipsis is a name that only the user knows."""
    if value is ...:
        return "NAME"
    if isinstance(value, tuple):
        return shlex.quote(f"[{', '.join(map(_as_yaml, value))}]")
    return "true" if value is True else shlex.quote(str(value))


def _as_yaml(name: str) -> str:
    """Write a name in a list of YAML: in double quotes where it would be read as anything else without."""
    plain = PLAIN.fullmatch(name) and yaml.safe_load(name) == name
    quoted: str = yaml.safe_dump(name, default_style='"', allow_unicode=True, width=float("inf"))
    return name if plain else quoted.rstrip("\n")

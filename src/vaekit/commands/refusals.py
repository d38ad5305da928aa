"""What a parser refuses, said in one sentence that names the option, the value, the rule and the way out.

jsonargparse explains a refusal as a tree: each key, each type that was tried, and why it did not fit. The sentence is made of
the keys on the way to the leaf, and of the leaf that says most.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from vaekit.errors import ConfigError

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "Path": "a path",
    "tuple": "a list, as '[1, 2]'",
    "Sequence": "a list, as '[1, 2]'",
    "dict": "a mapping, as '{name: value}'",
    "Mapping": "a mapping, as '{name: value}'",
}
BASES = ("Module", "Optimizer", "LRScheduler")
Reason = Callable[[str, str, "re.Match[str]"], str]


def sentence(message: str, options: Sequence[str], names: Sequence[str] = ()) -> str:
    """Say in one sentence what a parser's message says.

    Arguments:
        message: what the parser would print.
        options: the options that there are, as `--epochs`.
        names: the short names of classes that there are.
    """
    if unknown := re.match(r"unrecognized arguments: (.*)|Option '(\S+)' is not accepted$", message, re.DOTALL):
        return _no_such_option((unknown[1] or f"--{unknown[2]}").split()[0], options)
    if needed := re.match(r"the following arguments are required: (\S+)", message):
        return _needed(needed[1], options)
    if valueless := re.match(r"argument (--\S+): expected .*argument", message):
        return f"`{valueless[1]}` needs a value."
    option = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
    given = next(iter(re.findall(r"(?m)(?:Given|Got) value: (.*?)(?:\. Got value: .*)?$", message)), "")
    for pattern, reason in REASONS:
        if found := re.search(pattern, message):
            said = reason(option, _short(given), found)
            return said + _near(found[1], names) if reason is _no_such_class else said
    return _short(" ".join(message.split()), 300).removesuffix(".") + "."


def _no_such_option(given: str, options: Sequence[str]) -> str:
    name = given.partition("=")[0]
    if not name.startswith("-"):
        return f"`{name}` is one argument too many. Options start with --."
    near = [option for option in options if option.startswith(name)] or get_close_matches(name, options, 1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    return f"There is no option `{name}`{hint} --help lists what there is."


def _needed(name: str, options: Sequence[str]) -> str:
    if name == "data.source":
        recipe = " Or name a recipe; `vaekit recipes` lists them." if "--objective" in options else ""
        return f"`--data` is needed: a file, a folder or the name of a data set.{recipe}"
    return f"`{name}` is needed. --help says what it is."


def _no_such_argument(option: str, given: str, found: re.Match[str]) -> str:
    """Say that a class does not take an argument, and which ones it takes."""
    owner = re.findall(r"class_path[=:]? ?'([\w.]+)'", found.string)
    if not owner:
        return f"`{option}` has no option `{found[1]}`."
    name = owner[-1].rpartition(".")[2]
    if name in BASES:
        return f"`{option}.{found[1]}` needs a class first: {option} CLASS {option}.{found[1]} VALUE."
    taken = _arguments(owner[-1])
    near = get_close_matches(found[1], taken, 1)
    hint = f" Did you mean `{near[0]}`?" if near else f" It has {', '.join(taken) or 'none'}."
    return f"`{option}`: {name} has no option `{found[1]}`.{hint}"


def _arguments(path: str) -> list[str]:
    from vaekit.spec import import_object

    try:
        parameters = inspect.signature(import_object(path)).parameters.values()
    except (ConfigError, TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is not p.empty]


def _no_such_class(option: str, given: str, found: re.Match[str]) -> str:
    numeric = "Expected a <class 'float'>" in found.string
    what = "is neither a number nor the name of a class" if numeric else "names no class"
    return (
        f"`{option}` is {found[1]!r}, which {what}. Give a name that --help lists, or the dotted path of a class of your own, "
        f"as my_package.MyClass."
    )


def _not_importable(option: str, given: str, found: re.Match[str]) -> str:
    named = re.search(r"class_path[=:]? ?'([\w.]+)'", found.string)
    path = named[1] if named else given
    return f"`{option}` is {path!r}, which cannot be imported ({found[0]}). Put its module on the Python path."


def _wrong_maker(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {found[1]!r}, which does not make a {found[2]}."


def _ambiguous(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {found[1]!r}, the name of several classes. Write one of them whole: {found[2]}."


def _forbidden(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {found[1]!r}, which no flag may name. Give a class of a module."


def _abstract(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` needs a class first: {found[1].rpartition('.')[2]} is an abstract one."


def _incomplete(option: str, given: str, found: re.Match[str]) -> str:
    """Say that a class was named without an argument that it needs."""
    owner = re.findall(r"class_path[=:]? ?'([\w.]+)'", found.string)
    name = owner[-1].rpartition(".")[2] if owner else "its class"
    return f"`{option}`: {name} also needs `{found[1]}`. Add {option}.{found[1]} VALUE."


def _wrong_length(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {given}; it must be a list of {found[1]}."


def _no_list(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {given!r}, which is no list. Write '[{given}]'."


def _wrong_type(option: str, given: str, found: re.Match[str]) -> str:
    kinds = dict.fromkeys(re.findall(r"Expected an? <class '(?:\w+\.)*(\w+)'>", found.string))
    words = [WORDS.get(kind, kind) for kind in kinds if kind != "NoneType"]
    return f"`{option}` is {given!r}; it must be {' or '.join(words)}."


def _no_choice(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {given!r}; it must be one of {found[1]}."


def _no_file(option: str, given: str, found: re.Match[str]) -> str:
    return f"`{option}` is {found[1]}, which is no file."


def _no_yaml(option: str, given: str, found: re.Match[str]) -> str:
    return f"The file of flags is not YAML ({_short(' '.join(found[1].split()), 200)})."


def _no_flags(option: str, given: str, found: re.Match[str]) -> str:
    return f"The file of flags holds no flags, but {_short(found[1].strip())!r}. Write one `flag: value` a line."


def _near(word: str, names: Sequence[str]) -> str:
    near = get_close_matches(word, names, 1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


REASONS: tuple[tuple[str, Reason], ...] = (
    (r"Parser key \"config\": File does not exist: (.*)", _no_file),
    (r"(?s)Problems parsing config: (.*)", _no_yaml),
    (r"(?s)Unexpected config: (.*)", _no_flags),
    (r"Option '(\w+)' is not accepted", _no_such_argument),
    (r"(?:Expected a dot import path string: )(.+)", _no_such_class),
    (r"No module named '[\w.]+'|module '[\w.]+' has no attribute '\w+'|cannot import name '\w+'", _not_importable),
    (r"Multiple subclasses with name (\w+)\. .*?: ([\w., ]+)\.", _ambiguous),
    (r"Importing '([\w.]+)' is not allowed", _forbidden),
    (r"Expected '([\w.]+)' to be a function that returns <class '(\w+)'>", _wrong_maker),
    (r"Expected an instantiatable class, but ([\w.]+) is abstract", _abstract),
    (r"the following arguments are required: (\w+)", _incomplete),
    (r"Expected a tuple with (\d+) elements", _wrong_length),
    (r"Expected a <class 'collections.abc.Sequence'>", _no_list),
    (r"Expected a (?:typing\.)?Literal\[([^\]]+)\]", _no_choice),
    (r"Expected an? <class '[\w.]+'>", _wrong_type),
)

"""Describing objects as plain data, and building them again: how a run's configuration holds its model without a pickle.

An object is described by the dotted path of its class and by its constructor's arguments, which are read from attributes
of the same name (the convention of scikit-learn, which `torch.nn` follows too):

    class_path: vaekit.posteriors.DiagonalNormal
    init_args: {network: {class_path: vaekit.networks.MLP, init_args: {inputs: 784, outputs: 400}, args: [32]}}

Building imports the named classes and calls them. It builds modules and dataclasses, and nothing else. A module that two parts
share is described once: both hold the same mapping, which YAML writes as an anchor and an alias, and which is built once.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import ConfigError

Plain: TypeAlias = Any
Made = TypeVar("Made", bound=nn.Module)
_REMEMBERED = "_vaekit_spec"


def describe(value: object) -> Plain:
    """Describe a value as plain data: numbers, strings, lists, mappings, and mappings with a `class_path`.

    Raises:
        ConfigError: if a module keeps a constructor argument nowhere, or a value is of another kind.

    Example:
        >>> describe(nn.Linear(3, 2))
        {'class_path': 'torch.nn.Linear', 'init_args': {'in_features': 3, 'out_features': 2, 'bias': True}}
    """
    return _described(value, {})


def _described(value: object, known: dict[int, Plain]) -> Plain:
    """Describe a value, and a module that is known already by the mapping that describes it."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and not value.ndim):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_described(v, known) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _described(v, known) for k, v in value.items()}
    if isinstance(value, nn.Module):
        if id(value) not in known:
            known[id(value)] = _describe_object(value, known)
        return known[id(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return _describe_object(value, known)
    if callable(value):
        return {"factory": describe_factory(value)}
    raise ConfigError(
        f"A configuration cannot hold {value!r} of type {type(value).__name__}; give numbers, strings or modules."
    )


def describe_factory(factory: Callable[..., object]) -> dict[str, Plain]:
    """Describe a callable that makes objects: a class, a function, or a partial application of one.

    Raises:
        ConfigError: if it is of another kind, or has arguments that cannot be named.
    """
    factory, keywords = arguments_of(factory)
    if not hasattr(factory, "__qualname__"):
        raise ConfigError(
            f"A configuration cannot hold the callable {factory!r}; give a class or a function of a module."
        )
    return _with_arguments(_path_of(factory), {k: describe(v) for k, v in keywords.items()}, [])


def arguments_of(factory: Callable[..., object]) -> tuple[Callable[..., object], dict[str, object]]:
    """Return what a callable makes, and the arguments that it fixes, by name.

    Raises:
        ConfigError: if they cannot be named.

    Example:
        >>> arguments_of(functools.partial(nn.LeakyReLU, 0.2))
        (<class 'torch.nn.modules.activation.LeakyReLU'>, {'negative_slope': 0.2})
    """
    keywords: dict[str, object] = {}
    while isinstance(factory, functools.partial):
        keywords = {**_named(factory), **keywords}
        factory = _target_of(factory)
    return factory, keywords


def target_of(factory: Callable[..., object]) -> Callable[..., object]:
    """Return what a callable makes: a class, or the function that makes it.

    Example:
        >>> target_of(functools.partial(nn.LeakyReLU, 0.2))
        <class 'torch.nn.modules.activation.LeakyReLU'>
    """
    while isinstance(factory, functools.partial):
        factory = _target_of(factory)
    return factory


def _target_of(factory: functools.partial[object]) -> Callable[..., object]:
    """Return what a partial application makes: the class that its function, which makes one, is given, or its function."""
    made = None if isinstance(factory.func, type) else next((a for a in factory.args if isinstance(a, type)), None)
    return factory.func if made is None else made


def _named(factory: functools.partial[object]) -> dict[str, object]:
    """Return the arguments of a partial application by name."""
    target = _target_of(factory)
    if target is not factory.func or not factory.args:
        return factory.keywords
    parameters = inspect.signature(target).parameters.values()
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][: len(factory.args)]
    if len(names) < len(factory.args):
        raise ConfigError(f"A configuration cannot hold {factory!r}, some of whose arguments have no name.")
    return {**dict(zip(names, factory.args, strict=True)), **factory.keywords}


def call(factory: Callable[..., nn.Module], *args: object, **keywords: object) -> nn.Module:
    """Call a factory, and remember how where its product does not keep what describes it."""
    module = factory(*args, **keywords)
    described = describe_factory(factory)
    named = {**described.get("init_args", {}), **{k: describe(v) for k, v in keywords.items()}}
    _remember(module, _with_arguments(described["class_path"], named, [describe(a) for a in args]))
    return module


def _remember(module: nn.Module, spec: Mapping[str, Plain]) -> None:
    """Note how a module was made, if it does not keep what describes it."""
    try:
        describe(module)
    except ConfigError:
        module.__dict__[_REMEMBERED] = dict(spec)


def build(spec: Plain) -> Any:
    """Build what `describe` described.

    Raises:
        ConfigError: if a class cannot be imported, or is not one that a configuration may name.

    Example:
        >>> build({"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}})
        Linear(in_features=3, out_features=2, bias=True)
    """
    return _built(spec, {})


def _built(spec: Plain, made: dict[int, Any]) -> Any:
    """Build what a description describes, and a mapping from which something was made already as that."""
    if isinstance(spec, list):
        return [_built(v, made) for v in spec]
    if not isinstance(spec, Mapping):
        return spec
    if "factory" in spec:
        inner = spec["factory"]
        named = {k: _built(v, made) for k, v in inner.get("init_args", {}).items()}
        return functools.partial(_target(inner), **named) if named else _target(inner)
    if "class_path" not in spec:
        return {k: _built(v, made) for k, v in spec.items()}
    if id(spec) not in made:
        made[id(spec)] = _made(spec, made)
    return made[id(spec)]


def _made(spec: Mapping[str, Plain], made: dict[int, Any]) -> Any:
    """Call what a description names; where its signature has `*args`, what is named before them is passed by position too."""
    target, named = _target(spec), {k: _built(v, made) for k, v in spec.get("init_args", {}).items()}
    given, parameters = [_built(v, made) for v in spec.get("args", [])], inspect.signature(target).parameters.values()
    if given and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        leading = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        given = [named.pop(name) for name in leading if name in named] + given
    product = target(*given, **named)
    if isinstance(product, nn.Module):
        _remember(product, spec)
    return product


def rebuilt(module: Made, spec: Plain) -> Made | None:
    """Build a module like another, with its parameters and buffers; None if the description gives others, by name and shape."""
    with torch.random.fork_rng([]):
        other: Made = build(spec)
    shapes = {k: v.shape for k, v in module.state_dict().items()}
    sizes = [sum(p.numel() for p in m.parameters()) for m in (module, other)]
    if shapes != {k: v.shape for k, v in other.state_dict().items()} or sizes[0] != sizes[1]:
        return None
    other.load_state_dict(module.state_dict())
    return other


def differing(before: Plain, now: Plain, place: str = "") -> Iterator[str]:
    """Say where two descriptions differ.

    Example:
        >>> list(differing(describe(nn.Linear(3, 2)), describe(nn.Linear(3, 4))))
        ['out_features was 2 and is 4']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            within = (
                place if name in ("init_args", "factory") else f"{place}.{name}".removesuffix(".class_path").strip(".")
            )
            yield from differing(before.get(name), now.get(name), within)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, pair in enumerate(zip(before, now, strict=True)):
            yield from differing(*pair, f"{place}[{i}]")
    elif before != now:
        yield f"{place} was {before} and is {now}"


@contextmanager
def keeping_checks() -> Iterator[None]:
    """Leave torch's global switch of argument checks as it was, which importing zuko turns off.

    Example:
        >>> with keeping_checks():
        ...     Distribution.set_default_validate_args(False)
        >>> Distribution._validate_args
        True
    """
    checks = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


def import_object(path: str) -> Any:
    """Import what a dotted path names, leaving torch's switch of argument checks as it was.

    Raises:
        ConfigError: if there is no such module or attribute.
    """
    module, _, name = path.rpartition(".")
    try:
        with keeping_checks():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"The configuration names `{path}`, which cannot be imported ({error}). {_way_to_import(module)}"
        ) from error


def _way_to_import(module: str) -> str:
    """Say how what is in a module can be imported; that of a program or notebook that was run cannot by another."""
    if module != "__main__":
        return "Put its module on the Python path."
    return "Define it in a module that programs import, or give `vaekit.load` a model like the run's, as `model=`."


def _describe_object(value: object, known: dict[int, Plain]) -> dict[str, Plain]:
    if _REMEMBERED in vars(value):
        return dict(vars(value)[_REMEMBERED])
    parameters = list(inspect.signature(type(value)).parameters.values())
    extra = _rest(value, parameters)
    named = {p.name: _described(_argument(value, p), known) for p in parameters if _is_kept(value, p)}
    return _with_arguments(_path_of(type(value)), named, [_described(v, known) for v in extra])


def _rest(value: object, parameters: list[inspect.Parameter]) -> list[object]:
    """Read the arguments that a constructor takes as `*args`."""
    if isinstance(value, nn.Sequential):
        return list(value)
    names = [
        p.name for p in parameters if p.kind is p.VAR_POSITIONAL and type(value).__init__ is not nn.Module.__init__
    ]
    return list(getattr(value, names[0], ())) if names else []


def _is_kept(value: object, parameter: inspect.Parameter) -> bool:
    """Tell whether a constructor argument is an attribute; one that is not must have a default."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return False
    if hasattr(value, parameter.name):
        return True
    if parameter.default is parameter.empty:
        raise ConfigError(
            f"{type(value).__name__} keeps its constructor argument `{parameter.name}` in no attribute of that name, so the "
            f"run's configuration cannot describe it. Store it as `self.{parameter.name}`; a class that is not yours is made by "
            f"vaekit.spec.call({type(value).__name__}, ...), which remembers its arguments."
        )
    return False


def _argument(value: object, parameter: inspect.Parameter) -> object:
    """Read a constructor argument; torch's layers keep the parameter `bias` where they were given a flag."""
    kept = getattr(value, parameter.name)
    if isinstance(parameter.default, bool) and (kept is None or isinstance(kept, Tensor)):
        return kept is not None
    return kept.value if isinstance(kept, Enum) else kept


def _with_arguments(path: str, named: dict[str, Plain], positional: list[Plain]) -> dict[str, Plain]:
    return {"class_path": path} | ({"init_args": named} if named else {}) | ({"args": positional} if positional else {})


def _path_of(target: Any) -> str:
    """Return the dotted path of a class or function: its public one where it is of torch.nn or of a room of vaekit."""
    name, room = str(target.__name__), ".".join(str(target.__module__).split(".")[:2])
    if getattr(nn, name, None) is target:
        return f"torch.nn.{name}"
    if room.startswith("vaekit.") and getattr(importlib.import_module(room), name, None) is target:
        return f"{room}.{name}"
    if "<" in target.__qualname__:
        raise ConfigError(
            f"A configuration cannot name `{target.__qualname__}`, which is local. Define it in a module."
        )
    return f"{target.__module__}.{target.__qualname__}"


def _target(spec: Mapping[str, Plain]) -> Any:
    """Import a class or factory, and refuse what does not make modules or dataclasses."""
    path = str(spec["class_path"])
    target = import_object(path)
    makes = target if isinstance(target, type) else _return_type(target)
    if not (isinstance(makes, type) and (issubclass(makes, nn.Module) or is_dataclass(makes))):
        raise ConfigError(
            f"The configuration names `{path}`, which is neither a module, nor a dataclass, nor a function annotated to return one."
        )
    return target


def _return_type(function: object) -> object:
    try:
        return get_type_hints(function).get("return")
    except (TypeError, NameError):
        return None

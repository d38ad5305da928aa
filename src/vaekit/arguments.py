"""What an argument must be, told in one sentence where it is not: an object rather than its class, a number in its range."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import ConfigError


def require_object(name: str, value: object) -> None:
    """Refuse a class in the place of an object of it.

    Raises:
        ConfigError: saying what to write.

    Example:
        >>> require_object("objective", dict)
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `objective` is the class dict; write dict().
    """
    if isinstance(value, type):
        raise ConfigError(f"`{name}` is the class {value.__name__}; write {value.__name__}({_ellipsis(value)}).")


def require_factor(name: str, value: object) -> None:
    """Refuse what is no module in the place of a factor of a model.

    Arguments:
        name: prior, posterior or likelihood.
        value: what was given.

    Raises:
        ConfigError: saying what it is instead; also where its network is a class.

    Example:
        >>> import torch
        >>> require_factor("prior", torch.distributions.Normal(0.0, 1.0))
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `prior` is a Normal, not an nn.Module that returns a distribution. Choose one of vaekit.priors.
    """
    require_object(name, value)
    if not isinstance(value, nn.Module):
        raise ConfigError(
            f"`{name}` is a {type(value).__name__}, not an nn.Module that returns a distribution. Choose one of vaekit.{name}s."
        )
    require_object("network", getattr(value, "network", None))


def require_distribution(factor: str, value: object) -> Distribution:
    """Return what a factor of a model returned, and refuse what is no distribution.

    Arguments:
        factor: prior, posterior or likelihood.
        value: what it returned.

    Raises:
        ConfigError: saying what it is instead.

    Example:
        >>> require_distribution("posterior", torch.zeros(1))
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: The posterior returned a Tensor, not a distribution. Choose one of vaekit.posteriors.
    """
    if not isinstance(value, Distribution):
        raise ConfigError(
            f"The {factor} returned a {type(value).__name__}, not a distribution. Choose one of vaekit.{factor}s."
        )
    return value


def require_tensor(name: str, value: object) -> None:
    """Refuse what is no tensor, as an array.

    Raises:
        ConfigError: saying what to write.

    Example:
        >>> require_tensor("x", [0.0])
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `x` is a list; a model is given tensors: torch.as_tensor(x).
    """
    if not isinstance(value, Tensor):
        raise ConfigError(f"`{name}` is a {type(value).__name__}; a model is given tensors: torch.as_tensor({name}).")


def require_values(name: str, value: Tensor) -> None:
    """Refuse what a model cannot be given as data or latents: arrays, and whole numbers, which are on no model's scale.

    Raises:
        ConfigError: saying what to write.
    """
    require_tensor(name, value)
    if value.dtype in (torch.uint8, torch.bool):
        raise ConfigError(
            f"`{name}` has values of {value.dtype}; a model is given floats, on the scale on which it was fitted: a batch of "
            f"vaekit.data.open(...).batches, or of 8-bit images {name} / 255."
        )
    if not value.is_floating_point():
        raise ConfigError(f"`{name}` has values of {value.dtype}; a model is given floats: {name}.float().")


def require_generator(value: object) -> None:
    """Refuse what is no source of randomness, as a seed.

    Raises:
        ConfigError: saying what to write.

    Example:
        >>> require_generator(0)
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `generator` is 0; it must be a torch.Generator: torch.Generator().manual_seed(0).
    """
    if not isinstance(value, torch.Generator):
        raise ConfigError(
            f"`generator` is {_shown(value)}; it must be a torch.Generator: torch.Generator().manual_seed(0)."
        )


def require_maker(name: str, value: object, example: str, *given: object) -> None:
    """Refuse what makes no module: a module that is made, a name, a function of tensors.

    Arguments:
        name: of the argument.
        value: of the argument.
        example: a class that would do.
        given: what it is called with.

    Raises:
        ConfigError: saying what to write.

    Example:
        >>> require_maker("activation", nn.ReLU(), "nn.ReLU")
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `activation` is a ReLU object; it must be what makes one: the class, such as nn.ReLU.
    """
    if isinstance(value, nn.Module):
        found, rule = f"a {type(value).__name__} object", "what makes one: the class"
    elif not _takes(value, given):
        found, rule = _shown(value), "the class of a module"
    else:
        return
    raise ConfigError(f"`{name}` is {found}; it must be {rule}, such as {example}.")


def _takes(value: object, given: Sequence[object]) -> bool:
    """Tell whether something can be called with these arguments, as far as it says so."""
    if not callable(value) or inspect.isbuiltin(value):
        return False
    try:
        inspect.signature(value).bind(*given)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _ellipsis(kind: type) -> str:
    """Return "..." for a class that cannot be made without arguments."""
    try:
        inspect.signature(kind).bind()
    except TypeError:
        return "..."
    except ValueError:
        return ""
    return ""


def require_number(
    owner: object,
    name: str,
    value: object,
    least: float = -math.inf,
    unit: str = "",
    *,
    above: float = -math.inf,
    most: float = math.inf,
    otherwise: str = "",
) -> None:
    """Refuse what is no finite number, or out of its range.

    Arguments:
        owner: whose argument it is: an object, or the name of a function; "" for none that is named.
        name: of the argument.
        value: of the argument.
        least: the smallest number that has a meaning.
        unit: of the number, in words.
        above: what the number must exceed.
        most: the greatest number that has a meaning.
        otherwise: what else it may be, in words.

    Raises:
        ConfigError: naming owner, argument, value and rule.

    Example:
        >>> require_number("holes", "level", 2.0, above=0, most=1)
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `level` of holes is 2.0; it must be a finite number, above 0 and at most 1.
    """
    require_object(name, value)
    if not (
        hasattr(value, "__float__")
        and math.isfinite(number := float(value))
        and least <= number <= most
        and number > above
    ):
        of = f" of {unit}" if unit else ""
        rule = f"a finite number{of}{_range(least, above, most)}{otherwise}"
        raise ConfigError(f"`{name}`{_of(owner)} is {_shown(value)}; it must be {rule}.")


def require_count(owner: object, name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, or below the least.

    Arguments:
        owner: whose argument it is: an object, or the name of a function; "" for none that is named.
        name: of the argument.
        value: of the argument.
        least: the smallest number that has a meaning.

    Raises:
        ConfigError: naming owner, argument, value and rule.

    Example:
        >>> require_count("IWAE", "samples", 2.5)
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `samples` of IWAE is 2.5; it must be a whole number, at least 1.
    """
    require_object(name, value)
    if not isinstance(value, Integral) or int(value) < least:
        raise ConfigError(f"`{name}`{_of(owner)} is {_shown(value)}; it must be a whole number, at least {least}.")


def require_sizes(name: str, value: object) -> torch.Size:
    """Read how many are asked for: a number N, for (N,), or a shape.

    Raises:
        ConfigError: if a size is no whole number, or below 0.

    Example:
        >>> require_sizes("shape", 4), require_sizes("shape", (2, 3))
        (torch.Size([4]), torch.Size([2, 3]))
    """
    sizes = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(size, Integral) and int(size) >= 0 for size in sizes):
        raise ConfigError(f"`{name}` is {value}; it must be a whole number, or a tuple of them, as (64,).")
    return torch.Size(map(int, sizes))


def _of(owner: object) -> str:
    """Name an owner: a function by its name, an object by its class; "" is not named."""
    called = owner if isinstance(owner, str) else type(owner).__name__
    return f" of {called}" if called else ""


def _shown(value: object) -> str:
    """Show a value in a sentence; a function by that word."""
    if inspect.isroutine(value):
        return "a function"
    return repr(value) if isinstance(value, str) else str(value)


def _range(least: float, above: float, most: float) -> str:
    """Say in words which numbers have a meaning."""
    bounds = ((f"at least {least:g}", least), (f"above {above:g}", above), (f"at most {most:g}", most))
    told = [text for text, bound in bounds if math.isfinite(bound)]
    return f", {' and '.join(told)}" if told else ""

"""What an argument must be, told in one sentence where it is not: an object rather than its class, a number in its range."""

from __future__ import annotations

import inspect
import math
from numbers import Integral

import torch
from torch import Tensor, nn

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
        vaekit.errors.ConfigError: `prior` is a Normal, no nn.Module that returns a distribution. vaekit.priors has some.
    """
    require_object(name, value)
    if not isinstance(value, nn.Module):
        raise ConfigError(
            f"`{name}` is a {type(value).__name__}, no nn.Module that returns a distribution. vaekit.{name}s has some."
        )
    require_object("network", getattr(value, "network", None))


def require_values(name: str, value: object) -> None:
    """Refuse what a model cannot be given as data or latents: arrays, and 8-bit values, which are on no model's scale.

    Raises:
        ConfigError: saying what to write.

    Example:
        >>> require_values("x", [0.0])
        Traceback (most recent call last):
        ...
        vaekit.errors.ConfigError: `x` is a list; a model is given tensors: torch.as_tensor(x).
    """
    if not isinstance(value, Tensor):
        raise ConfigError(f"`{name}` is a {type(value).__name__}; a model is given tensors: torch.as_tensor({name}).")
    if value.dtype in (torch.uint8, torch.bool):
        raise ConfigError(
            f"`{name}` has values of {value.dtype}; a model is given floats, on the scale on which it was fitted: a batch of "
            f"vaekit.data.open(...).batches, or of 8-bit images {name} / 255."
        )


def _ellipsis(kind: type) -> str:
    """Return "..." for a class that cannot be made without arguments."""
    try:
        inspect.signature(kind).bind()
    except TypeError:
        return "..."
    except ValueError:
        return ""
    return ""


def require_number(owner: object, name: str, value: float, least: float = -math.inf, unit: str = "") -> None:
    """Refuse what is no finite number, or below the least.

    Arguments:
        owner: whose argument it is.
        name: of the argument.
        value: of the argument.
        least: the smallest number that has a meaning.
        unit: of the number, in words.

    Raises:
        ConfigError: naming owner, argument, value and rule.
    """
    require_object(name, value)
    if not (hasattr(value, "__float__") and math.isfinite(value) and value >= least):
        rule = "" if least == -math.inf else f", at least {least:g}"
        of = f" of {unit}" if unit else ""
        raise ConfigError(f"`{name}` of {type(owner).__name__} is {value}; it is a finite number{of}{rule}.")


def require_samples(owner: object, samples: int) -> None:
    """Refuse a number of latents that cannot be drawn per example.

    Raises:
        ConfigError: if it is below 1, or no whole number.
    """
    if not isinstance(samples, Integral) or samples < 1:
        raise ConfigError(
            f"`samples` of {type(owner).__name__} is {samples}; it is a whole number, as at least 1 latent is drawn per example."
        )

r"""A factor of the model: a module whose forward returns a distribution.

A variational autoencoder is three of them, told apart only by what they are given:

    prior       :math:`p(z)` or :math:`p(z \mid c)`          `forward()` or `forward(c)`
    posterior   :math:`q(z \mid x)` or :math:`q(z \mid x, c)`    `forward(x)` or `forward(x, c)`
    likelihood  :math:`p(x \mid z)` or :math:`p(x \mid z, c)`    `forward(z)` or `forward(z, c)`

`VAE` asks of a factor only that it is an `nn.Module` which returns a `torch.distributions.Distribution`, so a module of
another library (a zuko flow) serves unchanged. `Conditional` adds what vaekit's own factors share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import ShapeError

HALF = (torch.float16, torch.bfloat16)


class Conditional(nn.Module, ABC):
    """A distribution that depends on what is given.

    Required: `forward`. Assumed and not checked: the returned distribution treats the rows of its batch independently
    unless `couples_batch` is set, and constructor arguments stay readable as attributes of the same name, by which a
    run's configuration describes the object.

    Attributes:
        couples_batch: whether row i of the output may depend on row j of what is given.
        is_density: whether the distribution has a density or mass function, so that a bound on log p(x) exists.
        validate_args: whether returned distributions check their parameters and the values they score.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> class Laplace(vk.Conditional):
        ...     def __init__(self, network):
        ...         super().__init__()
        ...         self.network = network
        ...     def forward(self, *given):
        ...         loc, log_scale = self.network(*given).chunk(2, -1)
        ...         return torch.distributions.Independent(torch.distributions.Laplace(loc, log_scale.exp()), 1)
        >>> Laplace(torch.nn.Linear(784, 2 * 16))(torch.zeros(3, 784)).mean.shape
        torch.Size([3, 16])
    """

    couples_batch: bool = False
    is_density: bool = True
    validate_args: bool = True

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """Return the distribution given the conditions, whose first dimension is the batch."""


@contextmanager
def unvalidated(model: nn.Module) -> Iterator[None]:
    """Switch off the argument checks of every factor in a model, as the hot loop does after the data was checked once."""
    factors = [m for m in model.modules() if isinstance(m, Conditional)]
    before = [m.validate_args for m in factors]
    for factor in factors:
        factor.validate_args = False
    try:
        yield
    finally:
        for factor, flag in zip(factors, before, strict=True):
            factor.validate_args = flag


def widened(output: Tensor) -> Tensor:
    """Read what a network computed in half precision in single precision, so that densities and rates are not rounded to it.

    Example:
        >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return output.float() if output.dtype in HALF else output


def split(output: Tensor, parts: int, owner: str, meaning: str) -> tuple[Tensor, ...]:
    """Cut a network's output, shape (B, parts * D), into its parameters, in single precision at least.

    Raises:
        ShapeError: if the output is not a batch of vectors or its width is not a multiple of `parts`.

    Example:
        >>> import torch
        >>> from vaekit.conditional import split
        >>> loc, log_scale = split(torch.zeros(3, 2 * 16), 2, "Laplace", "location and log-scale of each latent")
        >>> loc.shape
        torch.Size([3, 16])
    """
    if not isinstance(output, Tensor):
        raise ShapeError(
            f"`network` returned a {type(output).__name__} for {owner}, which needs one tensor ({meaning}). Return them side by "
            f"side: torch.cat([...], -1)."
        )
    width = output.shape[-1]
    if output.ndim != 2 or width % parts:
        latents = max(1, width // parts)
        raise ShapeError(
            f"`network` returned shape {tuple(output.shape)} for {owner}, which needs (batch, {parts} D) for D latents "
            f"({meaning}). For {latents} latent{'s' * (latents > 1)}, end the network with {parts * latents}."
        )
    return widened(output).chunk(parts, -1)

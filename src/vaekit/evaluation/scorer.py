"""What is known of any likelihood: what it says of itself, as vaekit's do, or what the distribution that it returns says.

A likelihood of the user's own, or one that wraps another, has none of the attributes by which data is prepared and refused. The
distribution that it returns has a support, which says whether it is a mass function and which values it scores.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaekit.errors import DataError, ShapeError
from vaekit.evaluation.batches import inference
from vaekit.likelihoods.support import gaps
from vaekit.model import VAE


class Seen:
    """A likelihood as its distribution shows it, with the attributes of `vaekit.likelihoods.Likelihood`.

    Arguments:
        likelihood: the likelihood.
        law: what it returned for some latents; its event shape is that of the data.

    Example:
        >>> import torch
        >>> from torch.distributions import Bernoulli, Independent
        >>> Seen(nn.Identity(), Independent(Bernoulli(torch.full((1, 4), 0.5)), 1)).is_discrete
        True
    """

    def __init__(self, likelihood: nn.Module, law: Distribution) -> None:
        self.name = type(likelihood).__name__
        self.event_shape = tuple(law.event_shape)
        self.support = cast(Constraint, law.support)
        self.is_discrete = self.support.is_discrete or None
        self.is_normalised = is_normalised(likelihood)

    def problem(self, x: Tensor) -> str | None:
        """Say in one clause why these values, shape (N, *event), cannot be scored; None if they can."""
        if (told := gaps(x)) is not None or not self.is_normalised or self.support.check(x.cpu()).all():
            return told
        return f"values lie outside the support, {self.support}. Bring them into it."

    def check(self, x: Tensor) -> None:
        """Refuse data, shape (N, *event), that the likelihood cannot score.

        Raises:
            ShapeError: if the events have another shape.
            DataError: if a value lies outside the support.
        """
        if tuple(x.shape[1:]) != self.event_shape:
            raise ShapeError(
                f"{self.name} scores events of shape {self.event_shape}, but the data's have shape {tuple(x.shape[1:])}. Return "
                f"torch.distributions.Independent over all dimensions of an event, of the data's shape."
            )
        if (problem := self.problem(x)) is not None:
            raise DataError(f"{self.name} cannot score this data: {problem}")


def scorer(model: VAE, *context: Tensor) -> Any:
    """Return a model's likelihood, or, where it says nothing of itself, what its distribution shows.

    Arguments:
        model: the model.
        context: conditions of a few rows, each of shape (B, ...).
    """
    likelihood = model.likelihood
    if hasattr(likelihood, "is_discrete"):
        return likelihood
    try:
        with inference(model, seed=0):
            given = tuple(c[:1].to(model.step.device) for c in context)
            z = model.prior(*given).sample(() if given else (1,))
            return Seen(likelihood, likelihood(z, *given))
    except Exception:  # what is wrong with the parts is said where they are used
        return likelihood


def is_normalised(likelihood: nn.Module) -> bool:
    """Tell whether a likelihood, and those that it may wrap, are normalised as far as they say."""
    return all(getattr(module, "is_normalised", True) for module in likelihood.modules())

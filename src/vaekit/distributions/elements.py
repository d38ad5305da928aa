"""Events made of independent elements: an event's log-probability is the sum over its elements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

if TYPE_CHECKING:
    from typing import Self


class Elements(Distribution, ABC):
    """Independent elements of one family, in events of any shape.

    Required: a constructor that sets the parameters named in `arg_constraints` and calls this one, `element_support`,
    `_element_log_prob` and `_draw`. Derived: shapes, by broadcasting the parameters, so that one number can serve
    all elements without being copied; `log_prob`, `sample` and `expand`.

    Arguments:
        event_dim: how many of the last dimensions make one event.
        validate_args: whether to check parameters, and values against the support.

    Attributes:
        element_support: where an element's values lie.
    """

    element_support: constraints.Constraint

    def __init__(self, event_dim: int, validate_args: bool | None = None) -> None:
        shape, *others = [p.shape[: p.ndim - own] for _, p, own in self._parameters()]
        if any(other != shape for other in others):
            shape = torch.broadcast_shapes(shape, *others)
        cut = len(shape) - event_dim
        super().__init__(shape[:cut], shape[cut:], validate_args)

    @abstractmethod
    def _element_log_prob(self, value: Tensor) -> Tensor:
        """Return each element's log-probability in nats, shape (*B, *event)."""

    @abstractmethod
    def _draw(self, shape: torch.Size) -> Tensor:
        """Draw elements of the full shape (*S, *B, *event)."""

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self.element_support, len(self.event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        new = copy(self)
        new._batch_shape = torch.Size(batch_shape)
        for name, p, own in self._parameters():
            setattr(new, name, p.expand(*batch_shape, *self.event_shape, *p.shape[p.ndim - own :]))
        return new

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._draw(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._event_log_prob(value)

    def _event_log_prob(self, value: Tensor) -> Tensor:
        """Return each event's log-probability in nats, shape (*S, *B)."""
        return self._total(self._element_log_prob(value))

    def _total(self, terms: Tensor) -> Tensor:
        """Sum terms, shape (*B, *event), over the event."""
        return terms.sum(tuple(range(-len(self.event_shape), 0))) if self.event_shape else terms

    def _full(self, values: Tensor) -> Tensor:
        """Broadcast elementwise values to shape (*B, *event)."""
        return values.expand(self._extended_shape())

    def _parameters(self) -> list[tuple[str, Tensor, int]]:
        """List the parameters' names and values, and how many of their last dimensions belong to one element."""
        return [(name, getattr(self, name), c.event_dim) for name, c in self.arg_constraints.items()]

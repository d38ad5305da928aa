"""What distributions of vectors around one location share: shapes, mean and mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.distributions import Distribution, constraints

if TYPE_CHECKING:
    from typing import Self


class Located(Distribution):
    """A distribution over vectors whose mean and mode are its location.

    Required: `arg_constraints`, `variance`, `rsample` and `log_prob`. One with further parameters sets them before it calls
    this constructor, and has an `expand` of its own.

    Arguments:
        loc: the location, shape (*B, D).
        validate_args: whether to check parameters and values.
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, validate_args: bool | None = None) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return type(self)(self.loc.expand(*batch_shape, *self.event_shape), self._validate_args)

"""Elements that are categories, or levels of a grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from vaekit.distributions.elements import Elements


class Levels(constraints.Constraint):
    r"""The values :math:`k / t` for :math:`k = 0, \dots, K - 1`, up to rounding of floating-point numbers.

    Arguments:
        levels: K.
        top: t: 1 for the whole numbers, K - 1 for the grid of [0, 1].

    Example:
        >>> Levels(256, 255).check(torch.tensor([1.0, 0.2, 0.3, 2.0]))
        tensor([ True,  True, False, False])
    """

    is_discrete = True

    def __init__(self, levels: int, top: int) -> None:
        self.levels, self.top = levels, top

    def check(self, value: Tensor) -> Tensor:
        steps = value * self.top
        return ((steps - steps.round()).abs() < 1e-3) & (steps > -0.5) & (steps < self.levels - 0.5)

    def __repr__(self) -> str:
        return f"Levels(levels={self.levels}, top={self.top})"


class Categorical(Elements):
    r"""Independent elements with K categories or levels, :math:`\log p(x) = \sum_i \log \mathrm{softmax}(l_i)_{x_i}`.

    The mean is that of the values, which says something of ordered levels only; the mode is the most probable value.

    Arguments:
        logits: l, shape (*B, *event, K).
        event_dim: how many dimensions make one event, K not counted.
        grid: whether the values are the grid :math:`k / (K - 1)` of [0, 1] instead of :math:`k = 0, \dots, K - 1`.
        validate_args: whether to check parameters and values.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> p = vk.distributions.Categorical(torch.zeros(2, 5), event_dim=1)
        >>> p.log_prob(torch.tensor([0.0, 4.0])), p.mean
        (tensor(-3.2189), tensor([2., 2.]))
    """

    arg_constraints = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, event_dim: int, grid: bool = False, validate_args: bool | None = None) -> None:
        self.logits, self.levels = logits, logits.shape[-1]
        self.top = self.levels - 1 if grid else 1
        self.element_support = Levels(self.levels, self.top)
        super().__init__(event_dim, validate_args)

    @property
    def values(self) -> Tensor:
        """The K values that an element can take."""
        return torch.arange(self.levels, dtype=self.logits.dtype, device=self.logits.device) / self.top

    @property
    def probs(self) -> Tensor:
        return self.logits.softmax(-1)

    @property
    def mean(self) -> Tensor:
        return self.probs @ self.values

    @property
    def mode(self) -> Tensor:
        return self.values[self.logits.argmax(-1)]

    @property
    def variance(self) -> Tensor:
        deviation = self.values - self.mean.unsqueeze(-1)
        return (self.probs * deviation.square()).sum(-1)

    def _element_log_prob(self, value: Tensor) -> Tensor:
        level = (value * self.top).round().long()
        shape = torch.broadcast_shapes(level.shape, self._extended_shape())
        log_probs = self.logits.log_softmax(-1).expand(*shape, -1)
        return log_probs.gather(-1, level.expand(shape).unsqueeze(-1)).squeeze(-1)

    def _draw(self, shape: torch.Size) -> Tensor:
        return self.values[draw_categories(self.logits.expand(*shape, -1))]


def draw_categories(logits: Tensor, dim: int = -1) -> Tensor:
    """Draw from the softmax along a dimension: the largest logit after adding Gumbel noise."""
    return (logits - torch.empty_like(logits, memory_format=torch.contiguous_format).exponential_().log()).argmax(dim)

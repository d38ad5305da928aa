"""Likelihoods of categories, or of levels without an assumed order."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vaekit import distributions
from vaekit.errors import ConfigError
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.support import not_categories, off_grid


class Categorical(Likelihood):
    r"""Independent elements with K categories, :math:`p(x \mid z) = \prod_i \mathrm{softmax}(l_i(z))_{x_i}`.

    Arguments:
        network: maps z, shape (N, D), to K logits an element, all elements' first logit first.
        event_shape: the shape of one example.
        levels: K.
        grid: whether values are :math:`k / (K - 1)` in [0, 1], as those of images, instead of :math:`k = 0, \dots, K - 1`.

    Raises:
        ConfigError: for fewer than 2 levels.
        DataError: from `check`, for values that are no category.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.likelihoods.Categorical(torch.nn.Linear(2, 3 * 5), 3, levels=5)(torch.zeros(4, 2)).mode.shape
        torch.Size([4, 3])
    """

    is_discrete = True

    def __init__(self, network: nn.Module, event_shape: int | Sequence[int], levels: int, grid: bool = False) -> None:
        super().__init__(network, event_shape)
        if levels < 2:
            raise ConfigError(f"`levels` of Categorical is {levels}; an element has at least 2 categories.")
        self.levels, self.grid = levels, grid
        self.parameters_per_element = levels

    def forward(self, *given: Tensor) -> distributions.Categorical:
        output = self.output_given(*given).unflatten(-1, (self.levels, *self.event_shape))
        logits = output.movedim(-1 - len(self.event_shape), -1)
        return distributions.Categorical(logits, len(self.event_shape), self.grid, self.validate_args)

    def outside_support(self, x: Tensor) -> str | None:
        return off_grid(x, self.levels) if self.grid else not_categories(x, self.levels)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, levels={self.levels}, grid={self.grid}"

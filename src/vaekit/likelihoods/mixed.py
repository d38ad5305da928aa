"""The likelihood of a table whose columns are of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from vaekit import distributions
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.columns import Column
from vaekit.shapes import Shape


class Mixed(Likelihood):
    r"""Independent columns, each of its own kind, :math:`p(x \mid z) = \prod_c p_c(x_c \mid z)`.

    Arguments:
        network: maps z, shape (N, D), to the parameters of the first column, then those of the second, and so on.
        columns: the kind of each column, of `vaekit.likelihoods.columns`.

    Raises:
        DataError: from `check`, for values that their column's kind does not have.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> from vaekit.likelihoods.columns import Binary, Categorical, Real
        >>> vk.likelihoods.Mixed(torch.nn.Linear(2, 1 + 4 + 2), [Binary(), Categorical(4), Real()])(torch.zeros(5, 2)).mean.shape
        torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, columns: Sequence[Column]) -> None:
        super().__init__(network, len(columns))
        self.columns = tuple(columns)
        self.is_discrete = all(column.is_discrete for column in columns)
        starts = [0, *accumulate(column.parameters for column in columns)]
        for i, kind in enumerate(self._kinds):
            places = torch.tensor([place for place, column in enumerate(columns) if column == kind])
            first = torch.tensor([starts[place] for place in places])
            self.register_buffer(f"places{i}", places, persistent=False)
            self.register_buffer(f"parameters{i}", first[:, None] + torch.arange(kind.parameters), persistent=False)

    @property
    def features(self) -> Shape:
        """The shape that the network must return per example: one number for each parameter of each column."""
        return (sum(column.parameters for column in self.columns),)

    @property
    def _kinds(self) -> list[Column]:
        """The kinds that occur, each once."""
        return list(dict.fromkeys(self.columns))

    def forward(self, *given: Tensor) -> distributions.Mixed:
        output = self.output_given(*given)
        kinds = list(enumerate(self._kinds))
        groups = [k.distribution(output[..., self.get_buffer(f"parameters{i}")], self.validate_args) for i, k in kinds]
        return distributions.Mixed(groups, [self.get_buffer(f"places{i}") for i, _ in kinds], self.validate_args)

    def outside_support(self, x: Tensor) -> str | None:
        for place, column in enumerate(self.columns):
            if (problem := column.outside_support(x[:, place])) is not None:
                return f"in column {place} ({type(column).__name__.lower()}), {problem}"
        return None

    def extra_repr(self) -> str:
        return f"columns={list(self.columns)}"

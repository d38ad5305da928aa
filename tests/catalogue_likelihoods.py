"""Every likelihood once, in a small form: the laws are tests over this table.

A new likelihood is one line in `VARIANTS`: how it is made from a network and an event's shape, and the space of an
element's values, which says how to draw valid data and how to sum or integrate over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from vaekit import likelihoods
from vaekit.likelihoods import ElementScale, FixedScale, Likelihood, OptimalScale, SharedScale
from vaekit.likelihoods.columns import Binary, Categorical, Column, Count, Positive, Real
from vaekit.networks import MLP
from vaekit.shapes import Shape

LATENT = 2


@dataclass(frozen=True)
class Space:
    """The values of an element.

    Attributes:
        draw: makes valid values of any shape.
        measure: gives values and their weights, each of shape (M,), by which functions are summed or integrated.
    """

    draw: Callable[[Shape], Tensor]
    measure: Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Variant:
    """A likelihood in small.

    Attributes:
        make: `(network, event_shape) -> Likelihood`.
        space: the values of an element.
        event_shape: the shape of an example.
        unit: the least event that still has the whole law; None where other variants hold its parts.
        exact: which of its moments are exact.
    """

    make: Callable[[nn.Module, Shape], Likelihood]
    space: Space
    event_shape: Shape = (3,)
    unit: Shape | None = (1,)
    exact: tuple[str, ...] = field(default=("mean", "variance"))

    def build(self, event_shape: Shape | None = None, latent: int = LATENT) -> Likelihood:
        """Make the likelihood, its network a small perceptron that ends as the likelihood asks."""
        shape = self.event_shape if event_shape is None else event_shape
        features = self.make(nn.Identity(), shape).features
        return self.make(MLP(latent, 8, features), shape)

    def rows(self, n: int) -> Tensor:
        """Draw n valid examples, shape (n, *event_shape)."""
        return self.space.draw((n, *self.event_shape))

    def points(self) -> tuple[Tensor, Tensor]:
        """Give points of the least event, shape (M, 1, *unit), and their weights, shape (M, 1)."""
        values, weights = self.space.measure()
        size = int(np.prod(self.unit))
        points, masses = (torch.cartesian_prod(*[v] * size).reshape(-1, size) for v in (values, weights))
        return points.reshape(-1, 1, *self.unit), masses.prod(-1, keepdim=True)


class Constant(nn.Module):
    """A network that returns the same numbers for every latent."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, z: Tensor) -> Tensor:
        return self.output.expand(len(z), *self.output.shape)


def _steps(n: int, limit: float) -> Tensor:
    return torch.linspace(-limit, limit, n)


def _line() -> tuple[Tensor, Tensor]:
    """Integrate over the real line by the double-exponential substitution x = sinh(pi/2 sinh t)."""
    t = _steps(100_001, 4.0)
    inner = torch.pi / 2 * t.sinh()
    return inner.sinh(), inner.cosh() * torch.pi / 2 * t.cosh() * (t[1] - t[0])


def _half_line() -> tuple[Tensor, Tensor]:
    """Integrate over the positive numbers by x = exp(pi/2 sinh t)."""
    t = _steps(20_001, 3.5)
    x = (torch.pi / 2 * t.sinh()).exp()
    return x, x * torch.pi / 2 * t.cosh() * (t[1] - t[0])


def _interval() -> tuple[Tensor, Tensor]:
    """Integrate over [0, 1] by Gauss and Legendre's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(100)
    return torch.tensor(nodes / 2 + 0.5), torch.tensor(weights / 2)


def whole(levels: int, top: int = 1) -> Space:
    """Make the space of the values k / top for k = 0, ..., levels - 1."""
    return Space(
        lambda shape: torch.randint(levels, shape) / top,
        lambda: (torch.arange(levels) / top, torch.ones(levels)),
    )


LINE = Space(torch.randn, _line)
POSITIVE = Space(lambda shape: torch.randn(shape).exp(), _half_line)
INTERVAL = Space(torch.rand, _interval)
BITS = whole(2)
COUNTS = Space(lambda shape: torch.poisson(4 * torch.rand(shape)), lambda: (torch.arange(40_000.0), torch.ones(40_000)))

COLUMNS: dict[str, tuple[Column, Space]] = {
    "real": (Real(), LINE),
    "positive": (Positive(), POSITIVE),
    "binary": (Binary(), BITS),
    "categorical": (Categorical(4), whole(4)),
    "count": (Count(), COUNTS),
}
TABLE = [COLUMNS[kind] for kind in ("real", "binary", "count", "real", "categorical", "positive", "binary")]


def _rows_of_table(shape: Shape) -> Tensor:
    return torch.stack([space.draw(shape[:-1]) for _, space in TABLE], -1)


def _mixed(network: nn.Module, event_shape: Shape, columns: list[Column]) -> Likelihood:
    return likelihoods.Mixed(network, columns)


def _logistics(levels: int, components: int = 2) -> Callable[[nn.Module, Shape], Likelihood]:
    return partial(likelihoods.DiscretizedLogisticMixture, components=components, levels=levels)


def _normal(scale: Callable[[], likelihoods.Scale]) -> Callable[[nn.Module, Shape], Likelihood]:
    return lambda network, shape: likelihoods.Normal(network, shape, scale())


VARIANTS: dict[str, Variant] = {
    "Bernoulli": Variant(likelihoods.Bernoulli, BITS, (1, 2, 3)),
    "ContinuousBernoulli": Variant(likelihoods.ContinuousBernoulli, INTERVAL, (1, 2, 3)),
    "Normal": Variant(likelihoods.Normal, LINE, (2, 2, 1)),
    "Normal-fixed": Variant(_normal(partial(FixedScale, 0.3)), LINE),
    "Normal-columns": Variant(lambda n, shape: likelihoods.Normal(n, shape, SharedScale(0.5, shape)), LINE),
    "Normal-element": Variant(_normal(ElementScale), LINE, (1, 2, 2)),
    "Normal-optimal": Variant(_normal(OptimalScale), LINE),
    "Laplace": Variant(likelihoods.Laplace, LINE),
    "Laplace-element": Variant(lambda n, shape: likelihoods.Laplace(n, shape, ElementScale()), LINE),
    "StudentT": Variant(lambda n, shape: likelihoods.StudentT(n, shape, df=5.0), LINE),
    "StudentT-learned": Variant(
        lambda n, shape: likelihoods.StudentT(n, shape, ElementScale(), SharedScale(9.0)), LINE
    ),
    "Categorical": Variant(partial(likelihoods.Categorical, levels=4), whole(4), (2, 2)),
    "Categorical-grid": Variant(partial(likelihoods.Categorical, levels=5, grid=True), whole(5, 4), (1, 2, 2)),
    "Logistic-grey": Variant(_logistics(256), whole(256, 255), (1, 2, 2), (1, 1, 1), ("mean",)),
    "Logistic-vector": Variant(_logistics(16, 3), whole(16, 15), (3,), (1,), ("mean",)),
    "Logistic-colour": Variant(_logistics(7), whole(7, 6), (3, 2, 2), (3, 1, 1), ()),
    "Poisson": Variant(likelihoods.Poisson, COUNTS),
    "NegativeBinomial": Variant(likelihoods.NegativeBinomial, COUNTS),
    "NegativeBinomial-genes": Variant(
        lambda n, shape: likelihoods.NegativeBinomial(n, shape, SharedScale(2.0, shape)), COUNTS
    ),
    "ZeroInflatedNegativeBinomial": Variant(likelihoods.ZeroInflatedNegativeBinomial, COUNTS),
    "Mixed": Variant(
        partial(_mixed, columns=[column for column, _ in TABLE]), Space(_rows_of_table, _line), (len(TABLE),), None
    ),
    **{f"Mixed-{kind}": Variant(partial(_mixed, columns=[c]), space, (1,)) for kind, (c, space) in COLUMNS.items()},
}

"""Which likelihood suits the data, and which transforms suit a likelihood, each with its reason.

The rules, first that fits:

    columns of several kinds            Mixed, real columns standardised
    two levels                          Bernoulli
    a grid, mostly at its two ends,     Bernoulli on dynamic binarisation: a grey value is a share of ink
      or of at most 32 levels
    a grid                              DiscretizedLogisticMixture for images, Normal on dequantised values for vectors
    counts                              NegativeBinomial
    real images in [0, 1]               ContinuousBernoulli
    anything else                       Normal on standardised values, one learned scale for each element
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from vaekit import likelihoods
from vaekit.data.transforms import Binarize, Dequantize, Standardize, Transform
from vaekit.likelihoods.columns import Binary, Column, Count, Real
from vaekit.shapes import Shape

if TYPE_CHECKING:
    from vaekit.data.facts import Facts

LikelihoodFactory: TypeAlias = Callable[[nn.Module, Shape], likelihoods.Likelihood]


@dataclass(frozen=True)
class Proposal:
    """A likelihood for the data, with the transforms that it needs.

    Attributes:
        likelihood: makes it from a network and the shape of an event.
        transforms: what makes the data fit it.
        reason: why, in one sentence.
    """

    likelihood: LikelihoodFactory
    transforms: tuple[Transform, ...]
    reason: str


def propose(facts: Facts, columns: Sequence[Column] = ()) -> Proposal:
    """Propose a likelihood and transforms for data of which these facts, and kinds of columns, are known."""
    if (of_table := _for_kinds(columns)) is not None:
        return of_table
    if facts.levels is not None:
        return _for_grid(facts, facts.levels)
    if facts.are_counts:
        return Proposal(
            likelihoods.NegativeBinomial,
            (),
            "NegativeBinomial, because the values are counts, which vary more than a Poisson's.",
        )
    if facts.is_image and facts.is_unit:
        reason = "ContinuousBernoulli, because the values are real numbers in [0, 1], on no grid."
        return Proposal(likelihoods.ContinuousBernoulli, (), reason)
    reason = (
        "Normal with a learned scale for each element, on standardised values, because the values are real numbers."
    )
    return Proposal(normal, (Standardize(),), reason)


def _for_kinds(columns: Sequence[Column]) -> Proposal | None:
    """Propose for a table's columns; None where they are all of one real or countable kind, as any array."""
    kinds = {type(column) for column in columns}
    if not kinds or any(kinds <= {kind} for kind in (Real, Binary, Count)):
        return None
    names = ", ".join(sorted(kind.__name__.lower() for kind in kinds))
    transforms = (Standardize(),) if Real in kinds else ()
    reason = f"Mixed, because the table's columns are of the kinds {names}, and each needs its own distribution."
    return Proposal(partial(mixed, columns=tuple(columns)), transforms, reason)


def _for_grid(facts: Facts, levels: int) -> Proposal:
    if levels == 2:
        return Proposal(likelihoods.Bernoulli, (), "Bernoulli, because the values are 0 and 1.")
    grey = not facts.is_image or facts.event_shape[0] == 1
    if grey and (facts.extremes >= 0.75 or levels <= 32):
        mostly = f"{facts.extremes:.0%} of the values are almost 0 or 1"
        why = mostly if facts.extremes >= 0.75 else f"there are only {levels} levels"
        reason = (
            f"Bernoulli with dynamic binarisation (a grey value is the probability of a 1, drawn anew), because {why}."
        )
        return Proposal(likelihoods.Bernoulli, (Binarize(),), reason)
    if facts.is_image:
        reason = (
            f"DiscretizedLogisticMixture, which scores the {levels} grid values themselves, so that bits are exact."
        )
        return Proposal(partial(likelihoods.DiscretizedLogisticMixture, levels=levels), (), reason)
    reason = (
        f"Normal on dequantised values, because the values lie on a grid of {levels} levels, and bits are then bounded."
    )
    return Proposal(normal, (Dequantize(levels),), reason)


def suited(
    likelihood: nn.Module, facts: Facts, proposal: Proposal, prepare: Callable[[Sequence[Transform]], Tensor]
) -> tuple[tuple[Transform, ...], str]:
    """Choose the transforms after which a likelihood, which says itself what it accepts, can score the data.

    Arguments:
        likelihood: what will score the data. One that does not say whether it `is_discrete` gets the data as it is.
        facts: what is known of the data.
        proposal: what was proposed for the data without knowing the likelihood.
        prepare: returns some rows, shape (B, *event), after transforms.

    Returns:
        The transforms and the reason; none where nothing helps, so that the likelihood's own check says why.
    """
    problem = getattr(likelihood, "problem", lambda x: None)
    for transforms, reason in _candidates(likelihood, facts, proposal):
        x = prepare(transforms)
        if tuple(x.shape[1:]) == getattr(likelihood, "event_shape", x.shape[1:]) and problem(x) is None:
            return transforms, reason
    return (), ""


def _candidates(likelihood: nn.Module, facts: Facts, proposal: Proposal) -> list[tuple[tuple[Transform, ...], str]]:
    name, discrete = type(likelihood).__name__, getattr(likelihood, "is_discrete", None)
    if discrete is None:
        return []
    if discrete:
        return [((), ""), (proposal.transforms, f"{name} scores zeros and ones.")]
    if facts.levels is not None:
        return [
            (
                (Dequantize(facts.levels),),
                f"{name} is a density, and only of dequantised grid values does it bound bits.",
            )
        ]
    if not (facts.is_image and facts.is_unit):
        return [((Standardize(),), f"{name} is fitted best to values near 0 of deviation 1."), ((), "")]
    return [((), "")]


def normal(network: nn.Module, event_shape: Shape) -> likelihoods.Normal:
    """Make a normal likelihood with one learned scale for each element of an event."""
    return likelihoods.Normal(network, event_shape, likelihoods.SharedScale(shape=event_shape))


def mixed(network: nn.Module, event_shape: Shape, columns: Sequence[Column]) -> likelihoods.Mixed:
    """Make the likelihood of a table's columns; its event shape is their number."""
    return likelihoods.Mixed(network, columns)

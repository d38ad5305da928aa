"""What the figures of a model are made from, and what a figure is for its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaekit.evaluation.batches import Batches, inference, unpacked
from vaekit.evaluation.representation import groups_of, knows_mean, posterior_mean
from vaekit.figures.canvas import Image, Shown, as_given
from vaekit.figures.latent import by_rate
from vaekit.figures.plane import classes_of, named
from vaekit.model import VAE
from vaekit.objectives import ELBO

Labels: TypeAlias = npt.NDArray[np.generic]


class Illustration(NamedTuple):
    """A figure for a reader.

    Attributes:
        name: the stem of its file's name.
        picture: an image, or a figure.
        caption: what it shows and how to read it.
    """

    name: str
    picture: Image | Figure
    caption: str


class Look(NamedTuple):
    """How examples are shown: the columns of a table, or the values of an image.

    Attributes:
        names: what columns are called; their numbers where none is given.
        units: brings rows, shape (N, D), from what the model scores to the units in which they are shown.
        words: what the numbers 0, 1, ... of each column stand for; none for a column of numbers.
        shown: brings images to the range from black, 0, to white, 1.
    """

    names: Sequence[str] = ()
    units: Callable[[Tensor], Tensor] = as_given
    words: Sequence[Sequence[str]] = ()
    shown: Shown = as_given


class Exhibit(NamedTuple):
    """What the figures of a model are made from: N examples and their codes.

    Attributes:
        model: the model.
        x: data, shape (N, *event).
        context: conditions, each of shape (N, ...).
        codes: posterior means, or draws where a posterior does not know its mean, shape (N, D).
        drawn: draws from the posteriors, shape (N, D).
        rates: the mean rate of each latent or group, shape (G,).
        means: whether the codes are means.
        groups: how many groups of categories the latents are; none where they are numbers.
        labels: classes, shape (N,), or factors, shape (N, F), if any.
        label_names: the names of the classes, or of the factors.
    """

    model: VAE
    x: Tensor
    context: tuple[Tensor, ...]
    codes: Tensor
    drawn: Tensor
    rates: Tensor
    means: bool
    groups: int
    labels: Labels | None
    label_names: Sequence[str]

    @property
    def latents(self) -> list[int]:
        """The latents by falling rate, or by the falling variance of their means where there is no rate for each."""
        per_latent = len(self.rates) == self.codes.shape[1]
        return by_rate(self.rates if per_latent else self.codes.var(0, correction=0))

    @property
    def space(self) -> str:
        """How many latents, or groups of categories, there are, in words."""
        count, unit = (self.groups, "group") if self.groups else (self.codes.shape[1], "latent")
        return f"{count} {unit}{'' if count == 1 else 's'}"

    @property
    def codes_are(self) -> str:
        """What the codes are, in words."""
        return "posterior means" if self.means else "draws from posteriors, which do not know their means"

    @property
    def condition(self) -> tuple[Tensor, ...]:
        """The conditions of the first example."""
        return tuple(c[:1] for c in self.context)

    @property
    def under(self) -> str:
        """Say which condition the first example has, as the end of a title; nothing without conditions."""
        if not self.context:
            return ""
        if self.labels is None or self.labels.ndim != 1 or int(self.labels[0]) >= len(self.label_names):
            return ", condition of the first example"
        return f", class {self.label_names[int(self.labels[0])]}"

    @property
    def classes(self) -> dict[str, tuple[Tensor, ...]]:
        """The conditions of each class by its name, each of shape (1, ...), where classes are what the model is conditional on."""
        if not self.context or self.labels is None or self.labels.ndim != 1:
            return {}
        found = classes_of(self.labels)
        rows = torch.cat([c.flatten(1) for c in self.context], 1).cpu()
        _, first, which = np.unique(self.labels, return_index=True, return_inverse=True)
        if found is None or not torch.equal(rows, rows[torch.as_tensor(first)[torch.as_tensor(which)]]):
            return {}
        places = zip(named(found, self.label_names), first, strict=True)
        return {name: tuple(c[[int(place)]] for c in self.context) for (_, name), place in places}

    def rows(self, count: int) -> tuple[Tensor, ...]:
        """Return the first examples and their conditions."""
        return tuple(t[:count] for t in (self.x, *self.context))


def exhibited(
    model: VAE, batches: Batches, labels: Labels | None, label_names: Sequence[str], limit: int, seed: int
) -> Exhibit:
    """Pass the first examples, at most `limit`, through a model."""
    given, codes, drawn, rates = [], [], [], []
    with inference(model, seed):
        for rows in unpacked(model, batches, limit):
            terms = ELBO()(model, *rows)
            posterior = terms.trace.posterior
            given.append(rows)
            codes.append(posterior_mean(terms.trace))
            drawn.append(terms.trace.z)
            rates.append(terms.rates)
    x, *context = (torch.cat(parts) for parts in zip(*given, strict=True))
    return Exhibit(
        model,
        x,
        tuple(context),
        torch.cat(codes),
        torch.cat(drawn),
        torch.cat(rates).mean(0),
        knows_mean(posterior),
        groups_of(posterior),
        labels,
        label_names,
    )

"""What a fitted model does for those who use it: rows in order, on any data, in the units of the data.

Standardisation and dequantisation are undone, and vectors return to the scale of their source, so that what comes out can be
opened, and compared, as what went in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaekit import figures
from vaekit.data.dataset import Dataset
from vaekit.data.identity import index
from vaekit.data.labels import as_context
from vaekit.data.source import Array
from vaekit.data.transforms import Transform
from vaekit.data.units import Units
from vaekit.distributions import Mixed
from vaekit.errors import ConfigError, DataError, RunError
from vaekit.evaluation.batches import inference
from vaekit.evaluation.likelihood import estimate
from vaekit.evaluation.representation import has_bound
from vaekit.evaluation.scorable import scorable
from vaekit.evaluation.scorer import is_normalised, scorer
from vaekit.model import VAE
from vaekit.runs.description import MODEL, describe_events, read_yaml, rebuilt
from vaekit.text import RELAXED

if TYPE_CHECKING:
    from vaekit.runs.run import Run

AT_ONCE = 256


class Use:
    """The use of a fitted model.

    Arguments:
        model: the model.
        data: what it is used on; None for what needs no data.
        events: what its numbers mean, as `vaekit.runs.description.describe_events` says.
        transforms: what the data it was fitted to went through.
        words: the words of each column of words in that data.
    """

    def __init__(
        self,
        model: VAE,
        data: Dataset | None,
        events: Mapping[str, Any],
        transforms: Sequence[Transform],
        words: Mapping[str, Sequence[str]],
    ) -> None:
        self.model, self.data, self.events = model, data, events
        self.transforms, self.words = transforms, words

    @classmethod
    def of(cls, run: Run) -> Use:
        """Use the model of a run, which knows what it was fitted to from its folder, or, without one, from the data itself."""
        if run.folder is None:
            data = run.needs_data()
            words = dict(zip(data.column_names, data.column_words, strict=True))
            return cls(run.model, data, describe_events(data), data.transforms, words)
        kept = read_yaml(run.folder, MODEL)
        opened = rebuilt(run.folder, kept.get("data") or {})
        words = getattr(opened.get("options"), "words", None) or {}
        return cls(run.model, run.data, kept.get("events") or {}, opened.get("transforms") or (), words)

    @property
    def _known(self) -> Dataset:
        if self.data is None:
            raise RunError("The data of this run was only in memory. Give it to `vaekit.load(folder, data=...)`.")
        return self.data

    @property
    def _scorer(self) -> Any:
        return scorer(self.model, *self._known.train.first_context())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an event."""
        return tuple(self.events.get("shape", ()))

    @property
    def makes_images(self) -> bool:
        """Whether the model's events are images."""
        return figures.is_image(self.shape)

    def shown(self, x: Tensor) -> Tensor:
        """Bring images in the units of their data, shape (N, *event), to the range of a picture."""
        return Units(**self.events["units"]).shown(x) if self.events.get("units") else x

    @property
    def columns(self) -> dict[str, Sequence[str]]:
        """The columns of a table, by name, each with the words that its numbers stand for, if any."""
        return {name: self.words.get(name, ()) for name in self.events.get("column_names", ())}

    def sample(self, count: int, *, mean: bool, label: str | None, seed: int) -> Tensor:
        """Draw data, shape (count, *event), or the means of p(x|z) at drawn latents.

        Raises:
            ConfigError: if there is nothing to draw, or the label does not suit the model.
        """
        if count < 1:
            raise ConfigError(f"`count` is {count}; at least 1 is drawn.")
        context = self._context(label)
        with inference(self.model, seed):
            parts = [self._drawn(min(AT_ONCE, count - start), context, mean) for start in range(0, count, AT_ONCE)]
        return self._in_units(torch.cat(parts))

    def decode(self, codes: Array, label: str | None) -> Tensor:
        """Map codes, shape (N, D), to the means of p(x|z), shape (N, *event), and words of a table to the likeliest.

        Raises:
            DataError: if the codes have another shape, or are not finite.
            ConfigError: if the label does not suit the model.
        """
        context = self._context(label)
        z = torch.from_numpy(codes).to(self.model.step.device, torch.get_default_dtype())
        latent = self.model.prior(*context).event_shape[0]
        if z.ndim != 2 or z.shape[1] != latent or not len(z):
            raise DataError(f"The codes have shape {tuple(z.shape)}; the model needs rows of {latent} latents each.")
        if not z.isfinite().all():
            raise DataError("The codes have values that are NaN or infinite. Leave those rows out.")
        with inference(self.model, 0):
            parts = [self._decoded(part, *_repeated(context, len(part))) for part in z.split(AT_ONCE)]
        return self._in_units(torch.cat(parts))

    def encode(self, split: str | None, sample: bool, seed: int) -> Tensor:
        """Map the rows of a split, or of "all", to codes, shape (N, D): means of their posteriors, or draws."""
        return self._mapped(split, partial(self.model.encode, sample=sample), seed)

    def reconstruct(self, split: str | None, sample: bool, seed: int) -> Tensor:
        """Pass the rows of a split, or of "all", through the model and back, shape (N, *event), by such codes."""
        return self._in_units(self._mapped(split, partial(self._reconstructed, sample=sample), seed))

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the scores of a row: one where no bound on log p(x) exists; relaxed where they are no likelihoods."""
        relaxed = "" if is_normalised(self.model.likelihood) else RELAXED
        scores = (f"{relaxed}log_likelihood", f"{relaxed}distortion", "rate")
        return scores if has_bound(self.model) else scores[1:2]

    def score(self, split: str | None, samples: int, seed: int) -> Tensor:
        """Score the rows of a split, or of "all", shape (N, scores), in nats, by importance sampling."""

        def scored(x: Tensor, *context: Tensor) -> Tensor:
            found = estimate(self.model, x, *context, samples=samples, chunk=AT_ONCE)
            known = (found.log_likelihood, found.distortion, found.rates.sum(-1))
            return torch.stack(known if has_bound(self.model) else known[1:2], -1)

        return self._mapped(split, scored, seed)

    def index(self, split: str | None) -> dict[str, list[Any]]:
        """Say where the rows of a split, or of "all", are in their source, by columns of a table."""
        return index(self._known, self._known.parts(split))

    def pairs(self, split: str | None, most: int, sample: bool, seed: int) -> figures.Image:
        """Lay out the first images of a split above their reconstructions."""
        part = self._known.parts(split)[0]
        with inference(self.model, 0):
            given = next(scorable(self._known, self._scorer, part, most, self.model.step.device))
            return figures.reconstructions(self.model, *given, shown=self._known.shown, seed=seed, sample=sample)

    def _drawn(self, count: int, context: tuple[Tensor, ...], mean: bool) -> Tensor:
        if not context:
            return self.model.sample((count,), mean=mean)
        return self.model.sample((), *_repeated(context, count), mean=mean)

    def _reconstructed(self, x: Tensor, *context: Tensor, sample: bool) -> Tensor:
        return self._decoded(self.model.encode(x, *context, sample=sample), *context)

    def _decoded(self, z: Tensor, *context: Tensor) -> Tensor:
        """Return the means of p(x|z), and the modes in columns of words, whose numbers have no mean."""
        p = self.model.likelihood(z, *context)
        x: Tensor = p.mean
        worded = torch.tensor([bool(words) for words in self.columns.values()])
        if not isinstance(p, Mixed) or not worded.any():
            return x
        x = x.clone()
        for group, place in zip(p.groups, p.places, strict=True):
            chosen = worded[place.cpu()]
            if chosen.any():
                x[..., place[chosen]] = group.mode[..., chosen]
        return x

    def _mapped(self, split: str | None, function: Callable[..., Tensor], seed: int = 0) -> Tensor:
        parts = []
        with inference(self.model, seed):
            for name in self._known.parts(split):
                data, device = self._known, self.model.step.device
                for given in scorable(data, self._scorer, name, AT_ONCE, device):
                    parts.append(function(*given).cpu())
        return torch.cat(parts)

    def _context(self, label: str | None) -> tuple[Tensor, ...]:
        """Return the condition that a label stands for, shape (1, C); none for a model without."""
        if not self.events.get("context"):
            if label is not None:
                raise ConfigError(f"`label` is {label!r}, but the model is not conditional. Leave it out.")
            return ()
        names = [str(name) for name in self.events["label_names"]]
        rows = _class(label, names) if self.events["classes"] else _factors(label, names)
        return (torch.from_numpy(as_context(rows, len(names))).to(self.model.step.device),)

    def _in_units(self, x: Tensor) -> Tensor:
        """Bring what the model makes, shape (N, *event), back to the units of its data."""
        for transform in reversed(self.transforms):
            x = transform.undo(x)
        return x if self.makes_images else x * self.events.get("scale", 1.0)


def _repeated(context: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    return tuple(c.expand(count, -1) for c in context)


def _class(label: str | None, names: list[str]) -> Array:
    """Return the number of a class, shape (1,), by its name or number."""
    if label in names:
        return np.array([names.index(label)])
    if label is not None and label.isdecimal() and int(label) < len(names):
        return np.array([int(label)])
    near = get_close_matches(label or "", names, 1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    told = "The model is conditional, and `label` is not given." if label is None else f"`label` is {label!r}{hint}"
    raise ConfigError(f"{told} Give one of its classes: {', '.join(names)}.")


def _factors(label: str | None, names: list[str]) -> Array:
    """Return the values of factors, shape (1, F)."""
    try:
        values = [float(value) for value in (label or "").split(",")]
    except ValueError:
        values = []
    if len(values) != len(names) or not np.isfinite(values).all():
        raise ConfigError(
            f"`label` is {label!r}; the model is conditional on {len(names)} numbers: {', '.join(names)}. Give them in this order, "
            f"with commas between them, as in 0.5,1."
        )
    return np.array([values], np.float32)

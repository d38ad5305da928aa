"""A data set: three disjoint splits of rows as they are stored, what is known of them, and the transforms they go through.

Stored rows stay as they are (8-bit images are 8-bit); on their way to the model they are moved to the device, divided by
their scale, and transformed. Training reads them through a loader, in an order that depends on the seed and the epoch alone;
evaluation reads them in their own order, with the same random numbers every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaekit.data.batches import Loader
from vaekit.data.describe import tell
from vaekit.data.facts import Facts, chunks, sample
from vaekit.data.propose import Proposal, propose, suited
from vaekit.data.resident import ResidentLoader
from vaekit.data.source import Array, Decoding, Stored, Table
from vaekit.data.splits import PARTS, Split
from vaekit.data.transform_order import check_order
from vaekit.data.transforms import Transform
from vaekit.data.units import Units
from vaekit.errors import ConfigError
from vaekit.likelihoods.columns import Column
from vaekit.model import randomness
from vaekit.shapes import Shape

RESIDENT_BYTES = 2**32


@dataclass(frozen=True)
class About:
    """What is known of a data set besides its rows.

    Attributes:
        name: what the data is called in messages and reports.
        facts: shape, type, range and grid of the stored values.
        label_names: names of the classes, or of the factors.
        columns: for a table, the kind of each column.
        column_names: for a table, the name of each column.
        notes: what else the user is told.
        units: how the values were stored and read, before what is made once.
        decoding: how image files became arrays, with nothing left open.
        digest: what tells the source from other or reordered rows.
    """

    name: str
    facts: Facts
    label_names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    column_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    units: Units | None = None
    decoding: Decoding | None = None
    digest: str = ""


@dataclass(frozen=True, repr=False)
class Dataset:
    """Three splits, what is known of them, and their transforms. Made by `vaekit.data.open`.

    Attributes:
        about: names, kinds of columns, and facts, which are attributes of the data set too.
        train: what the model is fitted to.
        validation: what checkpoints are compared by.
        test: what results are stated for.
        transforms: what the values go through; those for training only are left out in evaluation.
        reason: why these transforms were chosen.
        automatic: whether the user left the choice of transforms open.
        opened_by: the arguments of `vaekit.data.open`, with the transforms as they are here, that give this data again.

    Example:
        >>> import vaekit as vk
        >>> vk.data.open("digits")
        Dataset('digits', event_shape=(1, 8, 8), train=1437, validation=180, test=180, transforms=[Binarize])
    """

    about: About
    train: Split
    validation: Split
    test: Split
    transforms: tuple[Transform, ...] = ()
    reason: str = ""
    automatic: bool = False
    opened_by: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}={len(self.split(name))}" for name in PARTS)
        names = ", ".join(type(transform).__name__ for transform in self.transforms)
        return f"Dataset({self.name!r}, event_shape={self.event_shape}, {rows}, transforms=[{names}])"

    @property
    def name(self) -> str:
        """What the data is called in messages and reports."""
        return self.about.name

    @property
    def facts(self) -> Facts:
        """Shape, type, range and grid of the stored values."""
        return self.about.facts

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes, or of the factors; empty where there are none."""
        return self.about.label_names

    @property
    def columns(self) -> tuple[Column, ...]:
        """For a table, the kind of each column."""
        return self.about.columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """For a table, the name of each column."""
        return self.about.column_names

    @property
    def column_words(self) -> tuple[tuple[str, ...], ...]:
        """For a table, the words of each column, in the order of their numbers; none for a column of numbers."""
        options = self.opened_by.get("options")
        words = (options.words if isinstance(options, Table) else None) or {}
        return tuple(words.get(name, ()) for name in self.column_names)

    @property
    def event_shape(self) -> Shape:
        """The shape of one row."""
        return self.facts.event_shape

    @property
    def levels(self) -> int | None:
        """How many equally spaced values the stored data takes; None where it is not on a grid."""
        return self.facts.levels

    def split(self, name: str) -> Split:
        """Return the split of this name: train, validation or test.

        Raises:
            ConfigError: if there is none of this name.

        Example:
            >>> import vaekit as vk
            >>> vk.data.open("digits").split("test")
            Split(x=uint8 (180, 1, 8, 8), labels=int64 (180,), context=[])
        """
        splits = dict(zip(PARTS, (self.train, self.validation, self.test), strict=True))
        if name not in splits:
            raise ConfigError(f"`split` is {name!r}; the splits are {', '.join(PARTS)}.")
        return splits[name]

    def parts(self, split: str | None) -> list[str]:
        """Return the names of the splits that are meant, all of which have rows.

        Arguments:
            split: one of them; "all", for all that have rows; or None, for the first that has of test, validation and train.

        Raises:
            ConfigError: if there is no such split, or it has no rows.
        """
        filled = [name for name in PARTS if len(self.split(name))]
        if split in (None, "all"):
            return filled if split == "all" else filled[-1:]
        if split not in filled:
            told = "which has no rows" if split in PARTS else "which is no split"
            raise ConfigError(f"`split` is {split!r}, {told}. Name another: {', '.join(filled)}, or all.")
        return [split]

    def describe(self) -> str:
        """Say in a few lines what the data is: rows, shape, type, range, grid, labels, and what was done to it."""
        return "\n".join(tell(self))

    def propose(self) -> Proposal:
        """Propose a likelihood, and the transforms that it needs, with the reason.

        Example:
            >>> import vaekit as vk
            >>> vk.data.open("digits").propose().likelihood.__name__
            'Bernoulli'
        """
        return self._proposal

    def prepared_for(self, likelihood: nn.Module) -> Dataset:
        """Return the data with the transforms that suit a likelihood, or as it is where the user chose transforms."""
        if not self.automatic:
            return self
        transforms, reason = suited(likelihood, self.facts, self._proposal, self._some)
        return self.with_transforms(transforms, reason)

    def with_transforms(self, transforms: Sequence[Transform], reason: str = "") -> Dataset:
        """Return the data with other transforms, whose statistics are measured on the training split.

        Raises:
            ConfigError: if they differ in what is made once, which needs the data to be opened anew, or if dequantisation
                meets no grid, or one of another size.
        """
        self._check(transforms)
        fitted = self._fitted(transforms)
        return replace(self, transforms=fitted, reason=reason, opened_by={**self.opened_by, "transforms": fitted})

    def bits_offset(self, likelihood: nn.Module | None = None) -> float | None:
        """Return the nats to add to minus the log-likelihood of an event for the code length of its stored grid values.

        Arguments:
            likelihood: what scores the events; absent, the one proposed.

        Returns:
            0 for mass functions; D log L, and log-scales, for densities of dequantised values; None where no code length
            exists: densities of other values, and cross-entropies that are not likelihoods.
        """
        scorer = self._proposal.likelihood(nn.Identity(), self.event_shape) if likelihood is None else likelihood
        if not getattr(scorer, "is_normalised", True):
            return None
        if getattr(scorer, "is_discrete", False):
            return 0.0
        if not any(t.dequantizes for t in self.transforms):
            return None
        return sum(t.log_volume(self.event_shape) for t in self.transforms)

    def units_offset(self, likelihood: nn.Module) -> float:
        """Return the nats to add to minus the log-density of an event, as it is scored, for that of the values as they are stored.

        It makes models comparable that scored the same data on other scales.

        Arguments:
            likelihood: what scores the events.

        Returns:
            D log-scales of what the values were divided by; 0 for mass functions, cross-entropies that are not likelihoods,
            values that were made binary, and dequantised ones, whose code length `bits_offset` gives.
        """
        no_density = getattr(likelihood, "is_discrete", False) or not getattr(likelihood, "is_normalised", True)
        if no_density or any(t.dequantizes or (t.binary and not t.once) for t in self.transforms):
            return 0.0
        read = math.prod(self.event_shape) * math.log(self.facts.scale)
        return read + sum(t.log_volume(self.event_shape) for t in self.transforms)

    def in_units(self, x: Tensor) -> Tensor:
        """Bring what a model scores or makes, shape (B, *event), back to the units of the stored values."""
        for transform in reversed(self.transforms):
            x = transform.undo(x)
        return x * self.facts.scale

    def shown(self, x: Tensor) -> Tensor:
        """Bring what a model scores or makes, shape (B, *event), to the range of a picture, from black, 0, to white, 1."""
        for transform in reversed(self.transforms):
            x = transform.undo(x)
        return x if self.about.units is None else self.about.units.shown(x)

    def batches(
        self, split: str, batch_size: int, device: torch.device | str | None = None
    ) -> Iterator[tuple[Tensor, ...]]:
        """Read a split front to back as the model is to be judged on it: no augmentation, the same noise every time.

        Arguments:
            split: train, validation or test.
            batch_size: rows of a batch; the last one is shorter where it must be.
            device: where the batches go.

        Yields:
            (x, *context), each of shape (B, ...).

        Example:
            >>> import vaekit as vk
            >>> [len(x) for (x,) in vk.data.open("digits").batches("test", batch_size=100)]
            [100, 80]
        """
        rows, where = self.split(split), torch.device(device or "cpu")
        steps = [t for t in self.transforms if not t.once and not t.training_only]
        generator = torch.Generator(where).manual_seed(_noise_seed(int(self.opened_by.get("seed", 0))))
        for start in range(0, len(rows), batch_size):
            here = slice(start, start + batch_size)
            with randomness(generator, where) if any(t.random for t in steps) else nullcontext():
                x = self._read(rows.x[here], steps, where)
            yield (x, *(_tensor(c[here]).to(where) for c in rows.context))

    def loader(
        self,
        batch_size: int,
        *,
        device: torch.device | str,
        seed: int,
        rank: int = 0,
        world: int = 1,
        resident: bool | None = None,
    ) -> Loader:
        """Return the loader of training batches.

        Arguments:
            batch_size: rows of a global batch, over all processes.
            device: where the batches go.
            seed: seeds the order of the rows.
            rank: which of the processes this one is.
            world: how many processes share each batch.
            resident: hold all rows on the device; None does so unless they are on the disk and more than 4 GiB.
        """
        x, context, where = self.train.x, self.train.context, torch.device(device)
        steps = tuple(t for t in self.transforms if not t.once)
        if resident is None:
            resident = isinstance(x, np.ndarray) or _bytes(x) <= RESIDENT_BYTES
        if not resident:
            from vaekit.data.streamed import StreamedLoader

            later = partial(prepare, scale=self.facts.scale, transforms=steps)
            return StreamedLoader(x, context, later, batch_size, device=where, seed=seed, rank=rank, world=world)
        fixed = () if x.dtype == np.uint8 else tuple(takewhile(lambda t: not (t.random or t.training_only), steps))
        scale = self.facts.scale if x.dtype == np.uint8 else 1.0
        held = _tensor(x[0 : len(x)])
        held = held.to(where) if x.dtype == np.uint8 else prepare(held, self.facts.scale, fixed).to(where)
        later = partial(prepare, scale=scale, transforms=steps[len(fixed) :])
        beside = [_tensor(c).to(where) for c in context]
        return ResidentLoader(held, beside, later, batch_size, seed=seed, rank=rank, world=world)

    @cached_property
    def _proposal(self) -> Proposal:
        return propose(self.facts, self.columns)

    def _read(self, rows: Array, transforms: Sequence[Transform], device: torch.device) -> Tensor:
        """Move 8-bit rows to the device before they become floats there, and others afterwards."""
        x = _tensor(rows)
        if x.dtype == torch.uint8:
            return prepare(x.to(device), self.facts.scale, transforms)
        return prepare(x, self.facts.scale, transforms).to(device)

    def _some(self, transforms: Sequence[Transform]) -> Tensor:
        """Return some training rows after transforms."""
        with torch.random.fork_rng([]):
            return prepare(_tensor(sample(self.train.x)), self.facts.scale, self._fitted(transforms))

    def _fitted(self, transforms: Sequence[Transform]) -> tuple[Transform, ...]:
        """Measure what transforms must learn, each on the training split after those before it."""
        done: list[Transform] = []
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            for transform in transforms:
                before = [t for t in done if not t.once and not t.training_only]
                fitted = transform.fit(_floats(_tensor(x), self.facts.scale, before) for _, x in chunks(self.train.x))
                measured = fitted is not transform and self.columns
                done.append(fitted.for_columns(self.columns) if measured else fitted)
        return tuple(done)

    def _check(self, transforms: Sequence[Transform]) -> None:
        if [t for t in transforms if t.once] != [t for t in self.transforms if t.once]:
            raise ConfigError(
                "`transforms` differ in what is made once, when data is opened. Open the data with them instead."
            )
        check_order(transforms, self.facts)


def _noise_seed(seed: int) -> int:
    """Return the seed of the data's noise, another than that by which latents are drawn, lest the two go together."""
    return int(np.random.SeedSequence((seed, *b"noise")).generate_state(1, np.uint64).item())


def prepare(x: Tensor, scale: float, transforms: Sequence[Transform]) -> Tensor:
    """Turn stored rows, shape (B, *event), into the floats that the model is given."""
    return _floats(x, scale, transforms).to(torch.get_default_dtype())


def _floats(x: Tensor, scale: float, transforms: Sequence[Transform]) -> Tensor:
    """Scale and transform stored rows; double precision is kept."""
    if scale != 1:
        x = x / scale
    elif x.dtype != torch.float64:
        x = x.to(torch.get_default_dtype())
    for transform in transforms:
        x = transform(x)
    return x


def _tensor(rows: Array) -> Tensor:
    """Share memory with an array, or copy it where it may not be written to."""
    return torch.from_numpy(np.require(rows, requirements=("C", "W")))


def _bytes(x: Stored) -> int:
    return math.prod(x.shape) * x.dtype.itemsize

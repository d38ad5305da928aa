"""Opening data by one argument: read, check, encode the labels, make what is made once, split, and choose the transforms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from vaekit.arguments import require_object
from vaekit.data.dataset import RESIDENT_BYTES, About, Dataset, prepare
from vaekit.data.describe import tell_missing
from vaekit.data.facts import Facts, Flags, chunks, inspect, missing, numeric, sample
from vaekit.data.identity import digest
from vaekit.data.labels import as_context, encode_labels, unlabelled
from vaekit.data.reading import Openable, read, settled
from vaekit.data.rows import Indices, stored
from vaekit.data.source import Array, Options, Source, Stored
from vaekit.data.splits import Split, plan
from vaekit.data.transforms import Transform
from vaekit.data.units import Units
from vaekit.errors import ConfigError, DataError


def open(
    source: Openable,
    *,
    options: Options | None = None,
    transforms: Sequence[Transform] | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    context: bool = False,
    drop_missing: bool = False,
) -> Dataset:
    """Open data: find out what it is, split it, and get it ready for training and evaluation.

    Arguments:
        source: an array, or a pair of data and labels, with rows first; the path of a file or folder; a built-in name (digits,
            rectangles, mnist, fashion-mnist); `hf:owner/name`; `Rectangles`; or a `Source`.
        options: what the reader should know: `Decoding` of images, `ArrayFile`, `Table`.
        transforms: what the values go through; None leaves it to the likelihood that will score them, () is none.
        validation: fraction of the rows for validation, where the source does not define it: a tenth, or a twelfth of official
            training rows, by default.
        test: fraction of the rows for test, likewise.
        seed: seeds the split.
        context: give the labels to the model as context: classes as one-hot vectors, factors as they are.
        drop_missing: leave out rows with missing or infinite values, and with context those without labels.

    Returns:
        The data.

    Raises:
        DataError: if there is no such source, it cannot be read, it is empty, or it has missing values or wrong labels.
        ConfigError: if options, transforms or fractions do not fit the source.

    Example:
        >>> import vaekit as vk
        >>> data = vk.data.open("digits")
        >>> print(data.describe().splitlines()[0])
        digits: 1,437 rows to train on, 180 to validate, 180 to test.
    """
    _require_objects(transforms)
    found = _without_missing(_checked(read(source, options)), drop_missing)
    found = with_labels(found, drop_missing) if context else _labelled_or_not(found)
    labels, names = encode_labels(found.labels, found.x, found.label_names, found.label_column)
    about = _about(found, names, context)
    once = tuple(t for t in transforms or () if t.once)
    for transform in once:
        found, facts = _made_once(found, about.facts, transform)
        about = replace(about, facts=facts)
    splits = _splits(found, labels, {"validation": validation, "test": test}, seed, len(names) if context else None)
    asked = {"validation": validation, "test": test, "seed": seed, "context": context, "drop_missing": drop_missing}
    opened_by = settled({"source": source, "options": found.options_like(options), **asked})
    parts = splits["train"], splits["validation"], splits["test"]
    data = Dataset(about, *parts, transforms=once, opened_by=opened_by)
    if transforms is not None:
        return data.with_transforms(transforms)
    proposal = data.propose()
    return replace(data.with_transforms(proposal.transforms, proposal.reason), automatic=True)


def _require_objects(transforms: Sequence[Transform] | None) -> None:
    """Refuse a class in the place of a transform, and one transform in the place of several."""
    if isinstance(transforms, Transform):
        raise ConfigError(f"`transforms` is one {type(transforms).__name__}; put it into a list.")
    for transform in transforms or ():
        require_object("transforms", transform)


def _checked(found: Source) -> Source:
    """Refuse what is empty, holds no numbers, or whose parts differ in shape."""
    x: dict[str, Stored] = {}
    for part, values in found.x.items():
        numbers = numeric(values, found.name) if isinstance(values, np.ndarray) else values
        x[part] = stored(numbers) if isinstance(numbers, np.memmap) else numbers
        if not math.prod(values.shape):
            which = "it" if part == "all" else f"its {part} part"
            raise DataError(
                f"`{found.name}` is empty: {which} has shape {values.shape}. Give at least one row and one value."
            )
    shapes = {part: values.shape[1:] for part, values in x.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"The parts of `{found.name}` differ in the shape of a row: {shapes}. Make them the same.")
    return replace(found, x=x)


def _inspected(found: Source) -> Facts:
    """Detect what the values are, or read them in the units that are given."""
    parts = list(found.x.values())
    facts = inspect(parts, found.levels)
    if found.units is None:
        return facts
    return found.units.read(facts, np.concatenate([sample(x) for x in parts]), found.name)


def _about(found: Source, names: tuple[str, ...], context: bool) -> About:
    """Say what is known of a source besides its rows, with the names of its labels."""
    facts = _inspected(found)
    return About(
        found.name,
        facts,
        label_names=names,
        columns=found.columns,
        column_names=found.column_names,
        notes=(found.report,),
        units=Units.of(facts),
        decoding=found.decoding,
        digest=digest(found, context),
    )


def _without_missing(found: Source, drop: bool) -> Source:
    """Drop rows with missing values if asked to, and refuse them otherwise."""
    flags = {part: flagged for part, values in found.x.items() if (flagged := missing(values)) is not None}
    if not flags:
        return found
    told = tell_missing(flags, sum(map(len, found.x.values())), found.column_names)
    if not drop:
        raise DataError(f"`{found.name}`: {told}. Leave these rows out with drop_missing=True, or fill them in before.")
    rows = {part: flagged for part, (flagged, _) in flags.items()}
    return _without(found, rows, told, "Leave out the columns that are missing instead.")


def with_labels(found: Source, drop: bool) -> Source:
    """Drop rows whose labels are no finite numbers, if asked to; where labels are read they are refused otherwise."""
    flags = _unlabelled(found)
    if not drop or any(len(rows) != len(found.x[part]) for part, rows in flags.items()):
        return found
    return _without(found, flags, _told_unlabelled(found, flags), "Give the data without labels.") if flags else found


def _labelled_or_not(found: Source) -> Source:
    """Leave labels out that some rows lack, where the model is not given them."""
    flags = _unlabelled(found)
    told = f"Labels are not used: {_told_unlabelled(found, flags)}."
    return replace(found, labels={}, label_names=(), report=f"{found.report} {told}".strip()) if flags else found


def _unlabelled(found: Source) -> dict[str, Flags]:
    """Flag the rows without a label of each part that has some."""
    return {part: rows for part, values in found.labels.items() if (rows := unlabelled(values)).any()}


def _told_unlabelled(found: Source, flags: Mapping[str, Flags]) -> str:
    return f"{sum(int(rows.sum()) for rows in flags.values()):,} of {sum(map(len, found.x.values())):,} rows without a label"


def _without(found: Source, flags: Mapping[str, Flags], told: str, wayout: str) -> Source:
    """Leave out flagged rows of some parts of a source.

    Raises:
        DataError: if that leaves none.
    """
    kept = {part: np.flatnonzero(~rows) for part, rows in flags.items()}
    if not all(map(len, kept.values())):
        raise DataError(f"`{found.name}`: {told}, which leaves none. {wayout}")
    x = {part: _take(values, kept.get(part)) for part, values in found.x.items()}
    numbers = {part: found.numbers.get(part, np.arange(len(values))) for part, values in found.x.items()}
    labels, files, numbers = (
        {part: values[kept[part]] if part in kept else values for part, values in of.items()}
        for of in (found.labels, found.files, numbers)
    )
    report = f"{found.report} Left out: {told}.".strip()
    return replace(found, x=x, labels=labels, files=files, numbers=numbers, report=report)


def _of(values: Mapping[str, Array], place: str, rows: Indices | None) -> Array | None:
    """Return what some rows of a place have, all of them where rows is None; None where that place has no such values."""
    its = values.get(place)
    return its if its is None or rows is None else its[rows]


def _take(x: Stored, rows: Indices | None) -> Stored:
    """Take rows, copying what is in memory and pointing into what is on the disk; None takes all as they are."""
    if rows is None:
        return x
    return x[rows] if isinstance(x, np.ndarray) else stored(x).subset(rows)


def _splits(
    found: Source, labels: Mapping[str, Array], wanted: Mapping[str, float | None], seed: int, classes: int | None
) -> dict[str, Split]:
    """Cut a source into splits, with labels as context if the number of classes (or factors) is given."""
    if classes is not None and set(labels) != set(found.x):
        raise ConfigError("`context` is set, but not all of the data has labels. Give labels, or leave `context` out.")
    splits = {}
    for part, (place, rows) in plan({place: len(x) for place, x in found.x.items()}, wanted, seed).items():
        mine = _of(labels, place, rows)
        splits[part] = Split(
            x=_take(found.x[place], rows),
            labels=mine,
            context=() if mine is None or classes is None else (as_context(mine, classes),),
            rows=_of(found.numbers, place, rows) if place in found.numbers else rows,
            files=_of(found.files, place, rows),
        )
    return splits


def _made_once(found: Source, facts: Facts, transform: Transform) -> tuple[Source, Facts]:
    """Make a transform on the stored data, with a draw of its own for each part, and say what the data then is.

    Raises:
        ConfigError: if it needs images, or values in [0, 1], and the data is something else.
        DataError: if the data is too large to be held in memory.
    """
    name = type(transform).__name__
    if transform.for_images and not facts.is_image:
        raise ConfigError(
            f"{name} is for images, (channels, height, width), but an event has shape {facts.event_shape}."
        )
    if transform.random and not facts.is_unit:
        raise ConfigError(
            f"{name} needs values in [0, 1]; they run from {facts.low:g} to {facts.high:g}. Scale the data."
        )
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in found.x.values())
    if size > RESIDENT_BYTES and not all(isinstance(x, np.ndarray) for x in found.x.values()):
        raise DataError(
            f"{name} is made once in memory, but `{found.name}` has {size / 2**30:.1f} GiB. Make it beforehand."
        )
    levels = 2 if transform.binary else facts.levels
    x = {part: _apply(transform, values, facts.scale, levels, i) for i, (part, values) in enumerate(found.x.items())}
    after = inspect(list(x.values()), levels)
    return replace(found, x=x, levels=levels), after


def _apply(transform: Transform, x: Stored, scale: float, levels: int | None, part: int) -> Array:
    """Transform all rows; values on a grid of L levels are stored as 0, ..., L - 1."""
    seed = np.random.SeedSequence((getattr(transform, "seed", 0), part)).generate_state(1).item()
    pieces: list[Array] = []
    with torch.random.fork_rng([]):
        torch.manual_seed(int(seed))
        for _, rows in chunks(x):
            values = prepare(torch.from_numpy(np.array(rows)), scale, (transform,)).numpy()
            if levels is not None:
                values = np.round(values * (levels - 1)).astype(np.uint8 if levels <= 256 else np.int32)
            pieces.append(values)
    return np.concatenate(pieces)

"""The data of a run, opened again; or other data, read and transformed as the run's own was, but cut into splits only if asked.

Data that a model was not fitted to has no training rows, so nothing is held out of it: it is opened whole. Image files of any
size are decoded to the model's images, by the crop by which its own were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from vaekit import data as data_room
from vaekit.data.dataset import Dataset
from vaekit.data.labels import encode_labels, numbered
from vaekit.data.opening import with_labels
from vaekit.data.reading import Openable, read, settled
from vaekit.data.source import Decoding, Options, Source
from vaekit.data.units import Units
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.text import listed

UNCUT: tuple[dict[str, float], ...] = ({"validation": 0.0, "test": 0.0}, {"validation": 0.0}, {"test": 0.0}, {})


def reopen(
    settings: Mapping[str, Any], events: Mapping[str, Any], data: Openable | Dataset | None, hold_out: bool | None
) -> Dataset | None:
    """Open a run's data, or other data in the same way.

    Arguments:
        settings: the arguments of `vaekit.data.open` by which the run's own data was opened.
        events: what the run tells of an event.
        data: other data, or the run's own from another place; absent, the run's own from where it was.
        hold_out: whether rows are cut off for validation and test, rather than only where the source itself sets them apart;
            None cuts the run's own data alone, as it was cut in the fit.

    Returns:
        The data; None where it was only in memory.

    Raises:
        ShapeError: if its events have another shape than the model's.
        DataError: if it cannot be read, is a table of other columns, has other labels than a conditional model, or is the run's
            own and has changed.
    """
    if isinstance(data, Dataset):
        found = data
    elif data is None and settings.get("source") is None:
        return None
    elif data is None:
        found = _first_that_suits(_ways(settings, events, None, hold_out is not False), None)
    else:
        found = _given(settings, events, data, hold_out)
    _refuse_other_events(found, events)
    if data is None:
        _refuse_changed(found, events)
    return found


def _given(settings: Mapping[str, Any], events: Mapping[str, Any], data: Openable, hold_out: bool | None) -> Dataset:
    """Open data that is given: whole, unless a cut is asked for, or it is the run's own, whose training rows are known."""
    known = events if events.get("units") else None
    found = _first_that_suits(_ways(settings, events, data, bool(hold_out)), known)
    if hold_out is None and _is_own(found, events):
        return _first_that_suits(_ways(settings, events, data, True), known)
    return found


def _is_own(data: Dataset, events: Mapping[str, Any]) -> bool:
    """Tell whether data has the rows, in their order, that a run was fitted to, as far as the run says which these were."""
    return events.get("digest") in (None, data.about.digest)


def _refuse_changed(data: Dataset, events: Mapping[str, Any]) -> None:
    """Refuse the run's own data if it is not what it was: other rows would be held out than in the fit."""
    if not _is_own(data, events):
        raise DataError(
            f"`{data.name}` is not what it was when the run was fitted, so other rows would be held out, and some that were "
            f"trained on be judged. Bring it back, or give it as other data, which is used whole."
        )


def _ways(
    settings: Mapping[str, Any], events: Mapping[str, Any], data: Openable | None, hold_out: bool
) -> Iterator[dict[str, Any]]:
    """Yield the arguments by which to open data, those to be tried first at first.

    Other data may be of a kind that does not take the run's options, and a source may set parts apart itself.
    """
    asked = dict(settings) if data is None else {**settings, "source": data}
    if not hold_out:
        asked |= {"validation": None, "test": None}
    for chosen in _options(settings.get("options"), events, data):
        for uncut in ({},) if hold_out else UNCUT:
            yield {**asked, "options": chosen, **uncut}


def _options(own: Options | None, events: Mapping[str, Any], data: Openable | None) -> list[Options | None]:
    """Return the options by which to read data: the run's own, and for other data those by which its images become the model's."""
    if data is None:
        return [own]
    decoding, shape = events.get("decoding"), tuple(events.get("shape") or ())
    if decoding is None and len(shape) == 3 and shape[0] in (1, 3):
        decoding = Decoding().settled(shape)
    options = [decoding or own] if own is None or isinstance(own, Decoding) else [own, decoding]
    return [*(option for option in options if option is not None), None]


def _first_that_suits(ways: Iterator[dict[str, Any]], known: Mapping[str, Any] | None) -> Dataset:
    *others, last = ways
    for way in others:
        with suppress(ConfigError):
            return _opened(way, known)
    return _opened(last, known)


def _opened(way: Mapping[str, Any], known: Mapping[str, Any] | None) -> Dataset:
    """Open data, other than a run's own in the units of that, and with the classes that its model is conditional on."""
    if known is None:
        return data_room.open(**way)
    source = replace(read(way["source"], way["options"]), units=Units(**known["units"]))
    if known.get("context") and set(source.labels) != set(source.x):
        names = listed([str(name) for name in known["label_names"]])
        raise DataError(
            f"`{source.name}` has no labels, and the model is conditional on {names}. Give data with labels."
        )
    if known.get("context") and known.get("classes") and source.labels:
        labelled = with_labels(source, bool(way.get("drop_missing")))
        source = _by_known_classes(labelled, tuple(map(str, known["label_names"])))
    data = data_room.open(**{**way, "source": source, "options": None})
    return replace(data, opened_by=settled({**data.opened_by, "source": way["source"], "options": way["options"]}))


def _by_known_classes(source: Source, names: tuple[str, ...]) -> Source:
    """Number the classes of a source as a model's are numbered.

    Raises:
        DataError: naming a class that the model does not have.
    """
    codes, found = encode_labels(source.labels, source.x, source.label_names)
    if any(values.ndim != 1 for values in codes.values()):
        raise DataError(f"The labels of `{source.name}` are numbers; the model is conditional on {', '.join(names)}.")
    used = [found[code] for code in np.unique(np.concatenate(list(codes.values())))]
    if unknown := [name for name in used if name not in names]:
        raise DataError(
            f"`{source.name}` has the labels {listed(unknown)}; the model is conditional on {', '.join(names)}. Leave out "
            f"those rows."
        )
    number = np.array([names.index(name) if name in used else 0 for name in found], np.int64)
    return replace(source, labels={part: number[values] for part, values in codes.items()}, label_names=names)


def _refuse_other_events(data: Dataset, events: Mapping[str, Any]) -> None:
    """Refuse data of another shape than a model was fitted to, of other columns, or of other labels where they are context."""
    columns, shape = tuple(events.get("column_names") or ()), events.get("shape")
    if columns and data.column_names and data.column_names != columns:
        raise DataError(
            f"The columns of `{data.name}` are {', '.join(data.column_names)}; the model's are {', '.join(columns)}. Give a table "
            f"that has these columns in this order."
        )
    names = tuple(map(str, events.get("label_names") or ())) if events.get("context") else None
    if names is not None and not _are_alike(tuple(map(str, data.label_names)), names):
        raise DataError(
            f"The labels of `{data.name}` are {', '.join(map(str, data.label_names)) or 'none'}; the model is conditional on "
            f"{', '.join(names)}. Give data with all of these labels, and no others."
        )
    if shape is not None and data.event_shape != tuple(shape):
        raise ShapeError(
            f"The events of `{data.name}` have shape {data.event_shape}, but the model's have {tuple(shape)}. Give rows "
            f"of that shape."
        )


def _are_alike(names: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Tell whether labels have the same names, or are as many factors, which arrays do not name."""
    return names == others or (len(names) == len(others) and numbered(len(names)) in (names, others))

"""Tables: `.csv` by the standard library, `.parquet` by pyarrow. The kind of each column is detected from its values.

Columns of numbers:

    0 and 1                                          Binary
    whole, not negative, below 10,000                Count
    above 0, with a long right tail                  Positive (skewness above 1, and less of it in the logarithm)
    other                                            Real

Columns of words: two different ones are Binary, few are Categorical, and both are encoded as 0, 1, ... in sorted order. A
column with about as many words as rows is free text, which no distribution here describes: it is refused by name. The index
that pandas writes beside a table's columns is none of them: it is left out, and that is said.

The user may say otherwise: the kind that is asked for is taken, if the values fit it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch

from vaekit.data.arrays import reading
from vaekit.data.source import INDEX, Array, Kind, Source, Table
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Binary, Categorical, Column, Count, Positive, Real
from vaekit.text import listed

Floats: TypeAlias = npt.NDArray[np.float64]
Values: TypeAlias = Floats | list[str | None]
Raw = TypeVar("Raw")
BLANK = ("", "na", "n/a", "nan", "null", "none", "?")
LABELS = ("label", "class", "target")
WITH_COMMAS = re.compile(r"[+-]?\d[\d.,]*")
NUMBERED = (
    "The first line, 0, 1, ..., was read as the columns' names; if it holds values, put a line of names before it."
)
LARGEST_COUNT, FEW_WORDS = 10_000, 20
KINDS: dict[Kind, Column] = {"real": Real(), "positive": Positive(), "binary": Binary(), "count": Count()}


def read_csv(path: Path, options: Table) -> Source:
    """Read a table of values that commas, semicolons, tabs or bars separate.

    The first line names the columns, unless it is all numbers other than 0, 1, 2, ..., by which pandas names columns. Empty
    fields, NA, NaN, null and ? are missing values.
    """
    with reading(path, "a table of comma-separated values"), path.open(newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        file.seek(0)
        delimiter = max(",;\t|", key=head.count)
        lines = [(number, line) for number, line in enumerate(csv.reader(file, delimiter=delimiter), 1) if line]
        if not lines:
            raise DataError(f"`{path}` is empty. Give a table with a line of names and lines of values.")
        width = len(lines[0][1])
        if wrong := [(number, len(line)) for number, line in lines if len(line) != width]:
            raise DataError(
                f"Line {wrong[0][0]} of `{path}` has {wrong[0][1]} fields, but the first has {width}. Mend the file."
            )
        first = [name.strip() for name in lines[0][1]]
        counted = width > 1 and first == [str(i) for i in range(width)]
        named = counted or not all(map(_is_number, first))
        names = first if named else [f"column {i + 1}" for i in range(width)]
        fields = list(zip(*(line for _, line in lines[named:]), strict=True)) or [()] * width
    source = _from_columns(path, _by_name(path, names, fields), _parsed, options)
    return replace(source, report=f"{source.report} {NUMBERED}".strip()) if counted else source


def read_parquet(path: Path, options: Table) -> Source:
    """Read a table in the Parquet format.

    Raises:
        DataError: if pyarrow is not installed, the file cannot be read, or a column is nested.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"`{path}` needs pyarrow to be read. Install it: pip install 'vaekit[tables]'.") from error
    with reading(path, "a Parquet table"):
        table = parquet.ParquetFile(path).read()
    return from_arrow(path, table, options)


def from_arrow(path: Path, table: Any, options: Table) -> Source:
    """Read the columns of a pyarrow.Table, which messages call by a path.

    Raises:
        DataError: if two columns have one name, or a column is nested.
    """
    return _from_columns(path, _by_name(path, table.column_names, table.columns), _from_arrow, options)


def encode(words: Sequence[str | None], names: Sequence[str] | None = None) -> tuple[Floats, tuple[str, ...]]:
    """Number words, with NaN where one is missing; and return the different words.

    Arguments:
        words: one a row.
        names: the different words in the order of their numbers, among which all are; None takes those there are, sorted.

    Example:
        >>> encode(["b", "a", None, "b"])
        (array([ 1.,  0., nan,  1.]), ('a', 'b'))
    """
    names = _sorted({word for word in words if word is not None}) if names is None else names
    codes = {word: float(code) for code, word in enumerate(names)}
    return np.array([np.nan if word is None else codes[word] for word in words], np.float64), tuple(names)


def kind_of(values: Floats) -> Column:
    """Detect the kind of a column of numbers, shape (N,), which may have missing ones.

    Example:
        >>> kind_of(np.array([0.0, 3.0, 1.0]))
        Count()
    """
    present = values[np.isfinite(values)]
    whole = bool((present == np.floor(present)).all())
    if len(present) and np.isin(present, (0, 1)).all():
        return Binary()
    if len(present) and whole and present.min() >= 0 and present.max() < LARGEST_COUNT:
        return Count()
    if len(present) and present.min() > 0 and _skewness(present) > max(1.0, abs(_skewness(np.log(present)))):
        return Positive()
    return Real()


def _from_columns(
    path: Path, columns: Mapping[str, Raw], parse: Callable[[str, Raw], Values], options: Table
) -> Source:
    """Turn named columns into a source.

    Raises:
        DataError: if a column asked for is not there, one is no numbers and no category, or none is left.
    """
    _refuse_absent(path, columns, options)
    label = _label(columns, options)
    index = _index(columns, options)
    unused = (*options.ignore, *index, label)
    chosen = [n for n in columns if n not in unused] if options.columns is None else options.columns
    used = _as_asked(path, {name: parse(name, columns[name]) for name in chosen}, options)
    known = {} if options.words is None else options.words
    if options.words is not None:
        _refuse_other_words(path, used, options.words)
    _refuse_texts(path, {name: values for name, values in used.items() if name not in {**known, **options.kinds}})
    if not used:
        raise DataError(f"`{path}` has no columns of data left. Its columns are: {', '.join(columns)}.")
    encoded = {name: _column(values, known.get(name), options.kinds.get(name)) for name, values in used.items()}
    x = np.stack([values for values, _, _ in encoded.values()], 1)
    labels, label_names = _labels(parse(label, columns[label])) if label else (None, ())
    return Source(
        path.stem,
        {"all": x},
        {} if labels is None else {"all": labels},
        label_names=label_names,
        label_column=label or "",
        columns=tuple(kind for _, kind, _ in encoded.values()),
        column_names=tuple(encoded),
        words={name: words for name, (_, _, words) in encoded.items() if words},
        report=_told(None if options.label else label, index),
    )


def _by_name(path: Path, names: Sequence[str], columns: Sequence[Raw]) -> dict[str, Raw]:
    """Put columns under their names.

    Raises:
        DataError: if two have one name.
    """
    if twice := [repr(name) for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"`{path}` names a column twice: {listed(twice)}. Give each its own name.")
    return dict(zip(names, columns, strict=True))


def _refuse_absent(path: Path, columns: Mapping[str, object], options: Table) -> None:
    """Refuse a table that lacks columns: those of data, and, but in other data than a model was fitted to, all that are named."""
    asked = (*options.ignore, *([options.label] if options.label else [])) if options.words is None else ()
    for name in (*(options.columns or ()), *asked):
        if name not in columns:
            raise DataError(f"`{path}` has no column {name!r}. Its columns are: {', '.join(columns)}.")


def _refuse_texts(path: Path, columns: Mapping[str, Values]) -> None:
    """Refuse words that are no category: numbers with commas or with a word among them, and free text."""
    words = {name: values for name, values in columns.items() if isinstance(values, list)}
    for name, values in words.items():
        present = [word for word in values if word is not None]
        if (word := _among_numbers(present)) is not None:
            raise DataError(
                f"The column {name!r} of `{path}` holds numbers, and {word!r} among them. Leave that field empty if it is missing, "
                f"or give the column's kind: Table(kinds={{{name!r}: 'categorical'}})."
            )
        commas = [word for word in present if "," in word]
        if commas and all(map(WITH_COMMAS.fullmatch, present)):
            raise DataError(
                f"The column {name!r} of `{path}` has numbers with commas, such as {commas[0]}. Write 1234.5, as a table does "
                f"that pandas.read_csv(..., decimal=',') read, or thousands=',', and to_csv wrote. If they are categories, say so: "
                f"Table(kinds={{{name!r}: 'categorical'}})."
            )
    if texts := [name for name, values in words.items() if _is_free(values)]:
        raise DataError(
            f"`{path}` has free text in {listed(texts)}: about as many different values as rows, which is no category. "
            f"Leave it out: Table(ignore={tuple(texts)})."
        )


def _among_numbers(words: Sequence[str]) -> str | None:
    """Return a word among numbers, where nine of ten fields are numbers of more than a few values; None elsewhere."""
    numbers = [word for word in words if _is_number(word)]
    few = len(numbers) < 0.9 * len(words) or len(set(numbers)) <= FEW_WORDS
    return None if few else next((word for word in words if not _is_number(word)), None)


def _label(columns: Mapping[str, object], options: Table) -> str | None:
    """Return the column of labels: the one asked for, or the only one with a usual name; None for none."""
    if options.label is not None:
        return options.label if options.label in columns else None
    data = (*options.ignore, *(options.columns or ()))
    usual = [name for name in columns if name.lower() in LABELS and name not in data]
    return usual[0] if len(usual) == 1 and len(columns) > 1 else None


def _index(columns: Mapping[str, object], options: Table) -> list[str]:
    """Return the names of the columns that are an index: those that pandas gives to one, and a first one without a name."""
    asked = (*options.ignore, *(options.columns or ()), *options.kinds, options.label)
    found = [] if options.columns else [n for n in columns if INDEX.fullmatch(n) and n not in asked]
    return [name for name in found if name or name == next(iter(columns))]


def _told(label: str | None, index: Sequence[str]) -> str:
    """Say which columns were found to be no data."""
    labels = f"The column {label} was taken as labels; Table(label='') keeps it as data." if label else ""
    names = listed([repr(name) for name in index])
    unused = f"Not used, as an index of the rows: {names}. To keep it as data, give it another name." if index else ""
    return f"{labels} {unused}".strip()


def _labels(values: Values) -> tuple[Array, tuple[str, ...]]:
    """Encode labels; a missing one is the empty word or NaN, as everywhere."""
    return encode(values) if isinstance(values, list) else (values, ())


def _column(values: Values, known: Sequence[str] | None, asked: Kind | None) -> tuple[Floats, Column, tuple[str, ...]]:
    """Encode a column: its numbers, its kind, and its words if it has any."""
    if not isinstance(values, list):
        return values, KINDS[asked] if asked else kind_of(values), ()
    codes, names = encode(values, known)
    two = len(names) <= 2 if asked is None else asked == "binary"
    return codes, Binary() if two else Categorical(max(1, len(names))), names


def _as_asked(path: Path, columns: Mapping[str, Values], options: Table) -> dict[str, Values]:
    """Check columns against the kinds that are asked for, and write the numbers of those that are categorical as words.

    Raises:
        DataError: naming the column that is not there, or whose values do not fit.
    """
    for name, asked in options.kinds.items():
        if name not in columns and options.words is None:
            raise DataError(
                f"`{path}` has no column of data {name!r}, whose kind is given. Its columns are: {', '.join(columns)}."
            )
        if name in columns and (problem := _unfit(columns[name], asked)) is not None:
            raise DataError(
                f"The column {name!r} of `{path}` does not fit the kind {asked}: {problem}. Give it another, or leave it out of "
                f"`kinds`."
            )
    numbered = {name for name, asked in options.kinds.items() if asked == "categorical"}
    return {name: _as_words(values) if name in numbered else values for name, values in columns.items()}


def _unfit(values: Values, asked: Kind) -> str | None:
    """Say why values are not of a kind; None if they are."""
    if isinstance(values, list):
        different = {word for word in values if word is not None}
        fits = asked == "categorical" or (asked == "binary" and len(different) <= 2)
        return None if fits else f"it holds the words {listed(_sorted(different))}"
    present = values[np.isfinite(values)]
    if asked == "categorical":
        between = present[present != np.round(present)]
        return f"it has {between[0]:g}, which is not a whole number" if len(between) else None
    problem = KINDS[asked].outside_support(torch.from_numpy(present)) if len(present) else None
    return problem and problem.partition(". ")[0]


def _as_words(values: Values) -> list[str | None]:
    """Write whole numbers as words."""
    return values if isinstance(values, list) else [str(int(v)) if np.isfinite(v) else None for v in values]


def _sorted(words: Collection[str]) -> list[str]:
    """Sort words, and those that all are whole numbers by their size."""
    try:
        return sorted(words, key=lambda word: (int(word), word))
    except ValueError:
        return sorted(words)


def _refuse_other_words(path: Path, columns: Mapping[str, Values], known: Mapping[str, Sequence[str]]) -> None:
    """Refuse words that have no number, and words or numbers in the place of the other.

    Raises:
        DataError: naming the column.
    """
    for name, values in columns.items():
        words = {word for word in values if word is not None} if isinstance(values, list) else set()
        if name in known and not isinstance(values, list) and np.isfinite(values).any():
            raise DataError(
                f"The column {name!r} of `{path}` holds numbers, but that of the data for training {listed(known[name])}."
            )
        if new := sorted(words - set(known.get(name, ()))):
            told = f"only {listed(known[name])}" if name in known else "only numbers"
            raise DataError(
                f"The column {name!r} of `{path}` holds {listed(new)}; the data for training has {told}. Leave out these rows."
            )


def _is_free(words: list[str | None]) -> bool:
    """Tell whether words are free text: all different, or more than half of them and more than a few."""
    present = [word for word in words if word is not None]
    different = len(set(present))
    return different > 2 and (different == len(present) or different > max(FEW_WORDS, len(present) / 2))


def _parsed(name: str, fields: Sequence[str]) -> Values:
    """Read a column as numbers where all fields that are not blank are numbers, and as words otherwise."""
    present = [None if field.strip().lower() in BLANK else field.strip() for field in fields]
    try:
        return np.array([np.nan if field is None else field for field in present], np.float64)
    except ValueError:
        return present


def _from_arrow(name: str, column: Any) -> Values:
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind):
        return [None if flag is None else str(flag) for flag in column.to_pylist()]
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return cast(Floats, column.cast("float64", safe=False).to_numpy())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_dictionary(kind):
        return [None if word is None else str(word) for word in column.to_pylist()]
    raise DataError(
        f"The column {name!r} holds values of type {kind}, not numbers or words. Leave it out: Table(ignore=({name!r},))."
    )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _skewness(values: Floats) -> float:
    """Return the third standardised moment; 0 where there is no variation."""
    centred = values - values.mean()
    spread = float(np.sqrt(np.square(centred).mean()))
    return float(np.power(centred, 3).mean()) / spread**3 if spread > 0 else 0.0

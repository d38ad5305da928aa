"""Splits are seeded, disjoint and complete; official ones are honoured; labels and context travel with their rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import vaekit.data as vd
from vaekit.data.splits import split_rows
from vaekit.errors import ConfigError, DataError, VaekitError

SPLITS = ("train", "validation", "test")


def numbered(rows: int) -> np.ndarray:
    """Rows that say which they are, in halves so that they are not taken for counts."""
    return np.arange(rows)[:, None] + np.array([[0.5, -0.5]])


def rows_of(data: vd.Dataset, split: str) -> list[int]:
    return [int(r) for r in np.asarray(data.split(split).x)[:, 0]]


@given(st.integers(3, 200), st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 5))
def test_parts_are_disjoint_complete_ascending_and_of_the_size_asked_for(
    rows: int, v: float, t: float, seed: int
) -> None:
    assume(sum(max(round(f * rows), f > 0) for f in (v, t)) < rows)
    drawn = split_rows(rows, {"validation": v, "test": t}, seed)
    together = np.concatenate(list(drawn.values()))
    assert sorted(together.tolist()) == list(range(rows))
    assert all((np.diff(part) > 0).all() for part in drawn.values())
    for part, fraction in (("validation", v), ("test", t)):
        assert len(drawn[part]) == max(round(fraction * rows), fraction > 0)
    again = split_rows(rows, {"validation": v, "test": t}, seed)
    assert all(np.array_equal(drawn[part], again[part]) for part in drawn)


def test_other_seeds_draw_other_parts() -> None:
    a, b = (split_rows(100, {"test": 0.5}, seed)["test"] for seed in (0, 1))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(
    ("parts", "fractions", "sizes"),
    [
        ({"all": 100}, {}, (80, 10, 10)),
        ({"all": 100}, {"validation": 0.0, "test": 0.3}, (70, 0, 30)),
        ({"train": 120, "test": 20}, {}, (110, 10, 20)),
        ({"train": 120, "test": 20}, {"validation": 0.5}, (60, 60, 20)),
        ({"train": 120, "validation": 7, "test": 20}, {}, (120, 7, 20)),
        ({"train": 120, "validation": 7}, {}, (110, 7, 10)),
        ({"train": 120}, {}, (100, 10, 10)),
        ({"train": 5}, {"validation": 0, "test": 0}, (5, 0, 0)),
        ({"all": 3}, {}, (1, 1, 1)),
    ],
)
def test_official_parts_are_honoured(
    parts: dict[str, int], fractions: dict[str, float], sizes: tuple[int, ...]
) -> None:
    starts = dict(zip(parts, np.cumsum([0, *parts.values()]), strict=False))
    x = {part: numbered(1000)[starts[part] : starts[part] + count] for part, count in parts.items()}
    data = vd.open(vd.Source("numbered", x), **fractions)
    assert tuple(len(data.split(split)) for split in SPLITS) == sizes
    seen = [row for split in SPLITS for row in rows_of(data, split)]
    assert sorted(seen) == list(range(sum(parts.values())))
    for part in ("validation", "test"):
        if part in parts:
            assert rows_of(data, part) == list(range(starts[part], starts[part] + parts[part]))


@pytest.mark.parametrize("labels", [np.arange(50), np.arange(50) + 0.25, [f"{i:02d}" for i in range(50)]])
def test_labels_and_context_travel_with_their_rows(labels: object) -> None:
    data = vd.open((numbered(50), np.asarray(labels)), context=True, seed=3)
    for split in SPLITS:
        rows, part = rows_of(data, split), data.split(split)
        assert part.labels is not None
        if part.labels.ndim == 1:
            assert part.labels.tolist() == rows
            assert part.context[0].argmax(1).tolist() == rows
            assert part.context[0].sum(1).tolist() == [1] * len(rows)
        else:
            assert part.labels[:, 0].tolist() == [row + 0.25 for row in rows]
            assert part.context[0].tolist() == part.labels.tolist()


def test_dropped_rows_take_their_labels_with_them() -> None:
    x = numbered(30)
    x[[4, 7], 1] = np.nan
    data = vd.open((x, np.arange(30)), drop_missing=True)
    seen = {
        row: label
        for split in SPLITS
        for row, label in zip(rows_of(data, split), data.split(split).labels, strict=True)
    }
    assert sorted(seen) == [i for i in range(30) if i not in (4, 7)]
    assert all(row == label for row, label in seen.items())
    assert "2 of 30 rows" in data.describe()


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1, 2, 1], ("0", "1", "2")),
        ([[0], [1], [2], [1]], ("0", "1", "2")),
        ([-1, 1, 1, -1], ("-1", "1")),
        ([10**6, 5, 5, 5], ("5", "1000000")),
        (["b", "a", "b", "a"], ("a", "b")),
        ([True, False, True, True], ("0", "1")),
        ([0.5, 1.0, 2.0, 3.0], ("factor 1",)),
        ([[1, 0], [0, 1], [0, 0], [1, 1]], ("factor 1", "factor 2")),
    ],
)
def test_labels_are_classes_with_names_or_factors(labels: object, names: tuple[str, ...]) -> None:
    data = vd.open((numbered(4), np.asarray(labels)), validation=0, test=0)
    assert data.label_names == names
    encoded = data.train.labels
    assert encoded is not None
    if encoded.ndim == 1:
        assert [names[code] for code in encoded] == [
            f"{v:g}" if isinstance(v, float) else str(int(v) if isinstance(v, bool) else v)
            for v in np.ravel(labels).tolist()
        ]


@pytest.mark.parametrize(
    ("values", "names", "told"),
    [
        ("0.5 1 2 3", ("Target",), "1 factor (Target)"),
        ("0.5 NA 2 3", ("Target",), "1 factor (Target)"),
        ("0 1 2 1", ("0", "1", "2"), "3 classes (0, 1, 2)"),
        ("0 NA 1 1", ("0", "1"), "2 classes (0, 1)"),
        ("900 900 900 900", ("900",), "1 class (900)"),
        ("b a b a", ("a", "b"), "2 classes (a, b)"),
    ],
)
def test_labels_of_a_table_are_called_as_they_are_there(
    values: str, names: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,Target\n" + "".join(f"{i}.5,{value}\n" for i, value in enumerate(values.split())))
    data = vd.open(path, drop_missing=True, context=True, validation=0, test=0)
    assert data.label_names == names
    assert f"Labels: {told}." in data.describe()


@pytest.mark.parametrize(
    ("source", "arguments", "error", "words"),
    [
        (numbered(10), {"test": 1.0}, ConfigError, "`test` is 1"),
        (numbered(10), {"validation": -0.1}, ConfigError, "`validation` is -0.1"),
        (numbered(2), {}, DataError, "leave none for training"),
        (vd.Source("s", {"train": numbered(9), "test": numbered(9)}), {"test": 0.5}, ConfigError, "its own test part"),
        (vd.Source("s", {"train": numbered(9), "dev": numbered(9)}), {}, DataError, "['dev', 'train']"),
        (vd.Source("s", {"test": numbered(9)}), {}, DataError, "['test']"),
        (numbered(10), {"context": True}, ConfigError, "labels"),
    ],
)
def test_impossible_splits_are_refused(
    source: object, arguments: dict[str, object], error: type[VaekitError], words: str
) -> None:
    with pytest.raises(error) as raised:
        vd.open(source, **arguments)
    assert words in str(raised.value)


@pytest.mark.parametrize("factors", [1, 2])
def test_rows_without_a_label_are_left_out_or_refused(factors: int) -> None:
    x, labels = np.arange(60.0).reshape(30, 2), np.arange(30.0 * factors).reshape(30, factors).squeeze()
    labels[[3, 7]], x[3] = np.nan, np.inf
    with pytest.raises(DataError, match=r"`labels` have no finite value in 2 of 30 rows.*drop_missing=True"):
        vd.open((np.arange(60.0).reshape(30, 2), labels), context=True)
    data = vd.open((x, labels), drop_missing=True, context=True, validation=0, test=0, transforms=())
    assert sorted(data.train.x[:, 0].tolist()) == [2.0 * i for i in range(30) if i not in (3, 7)]
    assert "Left out: 1 of 30 rows has missing" in data.about.notes[0]
    assert "Left out: 1 of 29 rows without a label." in data.about.notes[0]
    with pytest.raises(DataError, match=r"30 of 30 rows without a label, which leaves none\. Give the data without"):
        vd.open((np.arange(60.0).reshape(30, 2), np.full(30, np.nan)), drop_missing=True, context=True)

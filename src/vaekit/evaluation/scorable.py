"""The batches of data that a fitted model is used on, and which row of them, and which of its columns, it cannot score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vaekit.data.dataset import Dataset
from vaekit.errors import DataError
from vaekit.likelihoods.columns import Column


def scorable(
    data: Dataset, likelihood: nn.Module, split: str, size: int, device: torch.device | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Read a split front to back, as `Dataset.batches` does.

    Arguments:
        data: the data.
        likelihood: what is to score it; one without a `problem` is taken to score anything.
        split: train, validation or test.
        size: rows of a batch.
        device: where the batches go.

    Raises:
        DataError: naming the first row that cannot be scored, and in a table its column.
    """
    rows, problem = data.split(split).numbers, getattr(likelihood, "problem", None)
    for i, given in enumerate(data.batches(split, size, device)):
        if problem is not None and (told := problem(given[0])) is not None:
            bad = next((row for row, x in enumerate(given[0].split(1)) if problem(x) is not None), 0)
            found = _column(data, likelihood, given[0][bad : bad + 1]) or told.partition(". ")[0]
            raise DataError(
                f"Row {rows[i * size + bad]:,} of `{data.name}`, counted from 0, cannot be scored: {found}. Mend that row, or "
                f"leave it out."
            )
        yield given


def _column(data: Dataset, likelihood: nn.Module, x: Tensor) -> str | None:
    """Say which column of a table has a value that its distribution cannot have, x of shape (1, D); None for other data."""
    columns: Sequence[Column] = getattr(likelihood, "columns", ()) if data.column_names else ()
    for place, column in enumerate(columns):
        if column.outside_support(x[:, place]) is not None:
            return f"{data.column_names[place]!r} is {data.in_units(x)[0, place]:g}, and is to be {type(column).__name__.lower()}"
    return None

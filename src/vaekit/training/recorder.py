"""What a run records while it trains: tables of numbers, and TensorBoard events."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vaekit.errors import RunError
from vaekit.files import write_text, writing
from vaekit.training.meter import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Recorded: TypeAlias = dict[str, dict[str, list[float]]]
METRICS, RATES, STEPS = "metrics.csv", "rates.csv", "steps.csv"
MOST_LATENT_CURVES = 64


class Recorder:
    """Writes `metrics.csv`, `rates.csv` (the rate of each latent or group), `steps.csv` and TensorBoard events into a run's folder.

    A resumed run cuts off the rows, and has TensorBoard hide the events, that were written after its checkpoint.

    Arguments:
        folder: the run's folder; None writes nothing.
        tensorboard: whether to write TensorBoard events.
        rows: how many rows of each table to continue from.
        step: the step to continue from.

    Attributes:
        rows: how many rows each table has.
        held: where there is no folder, the rows of each table.
    """

    def __init__(
        self, folder: Path | None, tensorboard: bool, rows: Mapping[str, int] | None = None, step: int = 0
    ) -> None:
        self.folder = folder
        self.rows: dict[str, int] = {}
        self.held: dict[str, list[Mapping[str, object]]] = {METRICS: [], RATES: []}
        self.writer: SummaryWriter | None = None
        if folder is None:
            return
        for name in (METRICS, RATES, STEPS):
            self.rows[name] = _cut(folder / name, (rows or {}).get(name, 0))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def record(self, split: str, step: int, epoch: int, values: Row, rates: Row) -> None:
        """Record averages of one split: training since the last report, or a whole epoch or evaluation; and rates by name."""
        where = {"step": step, "epoch": epoch, "split": split}
        self._append(METRICS, [{**where, **values}])
        self._append(RATES, [{**where, **rates}])
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{split}/{name}", value, step)
            for name, rate in islice(rates.items(), MOST_LATENT_CURVES):
                self.writer.add_scalar(f"{split}_rates/{name}", rate, step)

    def record_steps(self, rows: Sequence[Row], first: int) -> None:
        """Record the values of single steps, the first of which has number `first`."""
        self._append(STEPS, [{"step": first + i, **row} for i, row in enumerate(rows)])

    def image(self, tag: str, pixels: object, step: int) -> None:
        """Show an image, an array of shape (H, W, 3) or (H, W), in TensorBoard."""
        if self.writer is not None:
            self.writer.add_image(tag, pixels, step, dataformats="HWC" if getattr(pixels, "ndim", 2) == 3 else "HW")

    def throughput(self, examples_per_second: float, step: int) -> None:
        """Record the speed, which differs between equal runs and so stays out of the tables."""
        if self.writer is not None:
            self.writer.add_scalar("speed/examples_per_second", examples_per_second, step)

    def close(self) -> None:
        """Finish all files."""
        if self.writer is not None:
            self.writer.close()

    def _append(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows to a table; a column that it does not have yet is added to it, and is empty in the rows before."""
        if not rows:
            return
        if self.folder is None:
            self.held.get(name, []).extend(rows)
            return
        path, text = self.folder / name, io.StringIO()
        known = _columns(path)
        new = [column for column in dict.fromkeys(chain.from_iterable(rows)) if column not in known]
        writer = csv.DictWriter(text, [*known, *new], restval="", lineterminator="\n")
        if new:
            writer.writeheader()
            text.writelines(f"{line}{',' * len(new)}\n" for line in _lines(path)[1:])
        writer.writerows(rows)
        if new:
            write_text(path, text.getvalue())
        else:
            with writing(path), path.open("a", encoding="utf-8") as file:
                file.write(text.getvalue())
        self.rows[name] += len(rows)


def _columns(path: Path) -> list[str]:
    """Return the columns of a table, none where there is none yet.

    Raises:
        RunError: if it does not begin as a table of a run.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        columns = next(csv.reader(file))
    if columns[:1] != ["step"]:
        raise RunError(f"`{path}` is damaged: it does not begin with the names of columns. Remove it.")
    return columns


def _lines(path: Path) -> list[str]:
    """Return the lines of a table, the names of its columns first; none where there is none yet."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _cut(path: Path, rows: int) -> int:
    """Cut a table to its first rows, fewer where it was damaged, of which the last may be incomplete; return how many it has."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        lines = [line for line in islice(file, rows + 1 if rows else 0) if line.endswith(b"\n")]
        file.truncate(sum(map(len, lines)))
    return max(0, len(lines) - 1)


def read_table(path: Path) -> Recorded:
    """Read a table of a run, as `history` gives it.

    Raises:
        RunError: if it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return history(csv.DictReader(file))
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise RunError(f"`{path}` is damaged ({type(error).__name__}: {error}). Remove it to go on without.") from error


def history(rows: Iterable[Mapping[str, Any]]) -> Recorded:
    """Arrange rows: split -> column -> numbers in order, NaN where a cell is empty; columns without any are left out.

    Example:
        >>> history([{"step": 1, "split": "train", "loss": 2.5}, {"step": 2, "split": "train", "loss": ""}])
        {'train': {'step': [1.0, 2.0], 'loss': [2.5, nan]}}
    """
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    return {split: _numbers(of_split) for split, of_split in by_split.items()}


def _numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Read the columns of the rows of one split."""
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if name != "split"]
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    return {
        name: [math.nan if cell == "" else float(cell) for cell in cells]
        for name, cells in columns.items()
        if any(cell != "" for cell in cells)
    }

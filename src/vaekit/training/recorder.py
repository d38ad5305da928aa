"""What a run records while it trains: tables of numbers, and TensorBoard events."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vaekit.errors import RunError
from vaekit.training.meter import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

History: TypeAlias = dict[str, dict[str, list[float]]]
METRICS, RATES, STEPS = "metrics.csv", "rates.csv", "steps.csv"
MOST_LATENT_CURVES = 64


class Recorder:
    """Writes `metrics.csv`, `rates.csv` (the rate of each latent), `steps.csv` and TensorBoard events into a run's folder.

    Its state is the length of each table, so that a resumed run cuts off what was written after its checkpoint.

    Arguments:
        folder: the run's folder; None records nothing.
        tensorboard: whether to write TensorBoard events.
        lengths: the state to continue from.
        step: the step to continue from.
    """

    def __init__(
        self, folder: Path | None, tensorboard: bool, lengths: Mapping[str, int] | None = None, step: int = 0
    ) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        if folder is None:
            return
        for name in (METRICS, RATES, STEPS):
            _truncate(folder / name, (lengths or {}).get(name, 0))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def state(self) -> dict[str, int]:
        """Return the length of each table in bytes."""
        if self.folder is None:
            return {}
        return {name: path.stat().st_size for name in (METRICS, RATES, STEPS) if (path := self.folder / name).exists()}

    def record(self, split: str, step: int, epoch: int, values: Row, rates: Sequence[float]) -> None:
        """Record averages of one split: training since the last report, or a whole epoch or evaluation."""
        where = {"step": step, "epoch": epoch, "split": split}
        self._append(METRICS, [{**where, **values}])
        self._append(RATES, [{**where, **{f"latent_{i}": r for i, r in enumerate(rates)}}])
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{split}/{name}", value, step)
            for i, rate in enumerate(rates[:MOST_LATENT_CURVES]):
                self.writer.add_scalar(f"{split}_rate_per_latent/{i:03d}", rate, step)

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
        """Append rows to a table, whose columns are those of its first row."""
        if self.folder is None or not rows:
            return
        path = self.folder / name
        columns = _columns(path) or list(rows[0])
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        if not path.exists() or not path.stat().st_size:
            writer.writeheader()
        writer.writerows(rows)
        with path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())


def _columns(path: Path) -> list[str]:
    """Return the columns of a table, none where there is none yet.

    Raises:
        RunError: if it does not begin as a table of a run.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    with path.open("rb") as file:
        columns = file.readline().decode("utf-8", "replace").rstrip("\n").split(",")
    if columns[0] != "step":
        raise RunError(f"`{path}` is damaged: it does not begin with the names of columns. Remove it.")
    return columns


def _truncate(path: Path, length: int) -> None:
    """Cut a table to a length, and one that is shorter, because it was damaged, to its last whole line."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(length if path.stat().st_size >= length else file.read().rfind(b"\n") + 1)


def read_table(path: Path) -> History:
    """Read a table of a run: split -> column -> numbers in order; empty cells are left out.

    Raises:
        RunError: if it is damaged.
    """
    history: History = {}
    if not path.is_file():
        return history
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                columns = history.setdefault(row.pop("split"), {})
                for name, value in row.items():
                    if value:
                        columns.setdefault(name, []).append(float(value))
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise RunError(f"`{path}` is damaged ({type(error).__name__}: {error}). Remove it to go on without.") from error
    return history

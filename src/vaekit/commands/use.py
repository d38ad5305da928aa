"""`vaekit sample`, `reconstruct`, `encode`, `decode` and `score`: a fitted model at work, from files to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import vaekit
from vaekit.commands.calling import call

SHOWN = 64


def sample(arguments: Sequence[str]) -> None:
    """Draw new data."""
    call(_sample, arguments)


def reconstruct(arguments: Sequence[str]) -> None:
    """Pass data through the model and back."""
    call(_reconstruct, arguments)


def encode(arguments: Sequence[str]) -> None:
    """Map data to codes."""
    call(_encode, arguments)


def decode(arguments: Sequence[str]) -> None:
    """Map codes to data."""
    call(_decode, arguments)


def score(arguments: Sequence[str]) -> None:
    """Score rows."""
    call(_score, arguments)


def _sample(
    run: Path,
    *,
    out: Path | None = None,
    count: int = 64,
    mean: bool | None = None,
    label: str | None = None,
    checkpoint: str = "best",
    seed: int = 0,
) -> None:
    """Draw new data from a run's model, into a picture (.png), a table (.csv) or an array (.npy).

    Args:
        run: the folder of the run.
        out: the file to write; samples.png for images and samples.csv for vectors if absent.
        count: how many.
        mean: write means of p(x|z) rather than draws from it; if absent, images are means and all else draws.
        label: for a conditional model, the class, by name or number, or the factors, as 0.5,1.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        seed: of all draws.
    """
    from vaekit.commands import rows, work

    rows.refuse_format(out or Path("samples.png"))
    worker = work.Worker(vaekit.load(run, checkpoint=checkpoint, reopen=False))
    target = out or Path("samples.png" if worker.makes_images else "samples.csv")
    rows.refuse_format(target, worker.shape)
    values = worker.sample(count, mean=worker.makes_images if mean is None else mean, label=label, seed=seed)
    rows.write(values, target, worker.columns)


def _reconstruct(
    run: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    out: Path = Path("reconstructions.npy"),
    checkpoint: str = "best",
) -> None:
    """Encode and decode data, in row order, into an array (.npy), a table (.csv), or pictures beside the originals (.png).

    Args:
        run: the folder of the run.
        data: other data, or its own in another place, read and transformed as its own was.
        split: test, validation or train; or all, for every row in the order of the source. If absent, test of the run's own
            data, and all of other data.
        out: the file to write; a picture shows the first 64.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
    """
    from vaekit.commands import rows, work
    from vaekit.commands.loading import load, rows_of

    rows.refuse_format(out)
    fitted, chosen = load(run, data, split, checkpoint)
    worker = work.Worker(fitted)
    rows.refuse_format(out, worker.shape)
    if out.suffix == ".png":
        rows.write_picture(worker.pairs(chosen, SHOWN), out)
    else:
        rows.write(worker.reconstruct(chosen), out, worker.columns, rows_of(chosen))


def _encode(
    run: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    out: Path = Path("codes.npy"),
    checkpoint: str = "best",
) -> None:
    """Map data to latent codes (posterior means), in row order, into an array (.npy) or a table (.csv).

    Args:
        run: the folder of the run.
        data: other data, or its own in another place, read and transformed as its own was.
        split: test, validation or train; or all, for every row in the order of the source. If absent, test of the run's own
            data, and all of other data.
        out: the file to write.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
    """
    from vaekit.commands import rows, work
    from vaekit.commands.loading import load, rows_of

    rows.refuse_format(out)
    fitted, chosen = load(run, data, split, checkpoint)
    rows.write(work.Worker(fitted).encode(chosen), out, of=rows_of(chosen))


def _decode(
    run: Path,
    codes: Path,
    *,
    out: Path = Path("decoded.npy"),
    label: str | None = None,
    checkpoint: str = "best",
) -> None:
    """Map latent codes to data (means of p(x|z)), in row order.

    Args:
        run: the folder of the run.
        codes: an array (.npy) or table (.csv) of codes, one a row.
        out: the file to write: an array (.npy), a table (.csv) or a picture (.png).
        label: for a conditional model, the class, by name or number, or the factors, as 0.5,1.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
    """
    from vaekit.commands import rows, work

    rows.refuse_format(out)
    worker = work.Worker(vaekit.load(run, checkpoint=checkpoint, reopen=False))
    rows.refuse_format(out, worker.shape)
    rows.write(worker.decode(rows.read(codes), label), out, worker.columns)


def _score(
    run: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    out: Path = Path("scores.csv"),
    samples: int = 128,
    checkpoint: str = "best",
    seed: int = 0,
) -> None:
    """Score rows, in their order, by how likely they are: log p(x), distortion and rate of each, in nats.

    Args:
        run: the folder of the run.
        data: other data, or its own in another place, read and transformed as its own was.
        split: test, validation or train; or all, for every row in the order of the source. If absent, test of the run's own
            data, and all of other data.
        out: the file to write, a table (.csv) or an array (.npy); the rows of lowest log p(x) are the most unusual.
        samples: importance samples per example.
        checkpoint: best, last, or the name of a file in the run's checkpoints.
        seed: of the draws of latents.
    """
    from vaekit.commands import rows, work
    from vaekit.commands.loading import load, rows_of

    rows.refuse_format(out)
    fitted, chosen = load(run, data, split, checkpoint)
    worker = work.Worker(fitted)
    rows.write(worker.score(chosen, samples, seed), out, dict.fromkeys(worker.scores, ()), rows_of(chosen))

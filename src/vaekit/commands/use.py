"""`vaekit sample`, `reconstruct`, `encode`, `decode` and `score`: a fitted model at work, from files to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import vaekit
from vaekit.commands.calling import call
from vaekit.commands.chosen import Chosen
from vaekit.commands.loading import opened, rows_of
from vaekit.defaults import SAMPLES

SHOWN = 64


def sample(arguments: Sequence[str]) -> None:
    """Draw new data."""
    call(_sample, arguments)


def reconstruct(arguments: Sequence[str]) -> None:
    """Pass data through the model and back."""
    call(_reconstruct, arguments, chosen=Chosen)


def encode(arguments: Sequence[str]) -> None:
    """Map data to codes."""
    call(_encode, arguments, chosen=Chosen)


def decode(arguments: Sequence[str]) -> None:
    """Map codes to data."""
    call(_decode, arguments)


def score(arguments: Sequence[str]) -> None:
    """Score rows."""
    call(_score, arguments, chosen=Chosen)


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
    from vaekit.commands import rows
    from vaekit.runs.use import Use

    rows.refuse_format(out or Path("samples.png"))
    use = Use.of(vaekit.load(run, checkpoint=checkpoint, reopen=False))
    target = out or Path("samples.png" if use.makes_images else "samples.csv")
    rows.refuse_format(target, use.shape)
    values = use.sample(count, mean=use.makes_images if mean is None else mean, label=label, seed=seed)
    rows.write(values, target, use.columns, shown=use.shown)


def _reconstruct(
    run: Path, chosen: Chosen, *, out: Path = Path("reconstructions.npy"), sample: bool = False, seed: int = 0
) -> None:
    """Encode and decode data, in row order, into an array (.npy), a table (.csv), or pictures beside the originals (.png).

    Args:
        run: the folder of the run.
        chosen: what is encoded and decoded.
        out: the file to write; a picture shows the first 64.
        sample: decode draws from the posteriors rather than their means.
        seed: of the draws.
    """
    from vaekit.commands import rows

    use, split = opened(run, chosen, out, tuple(rows.FORMATS))
    rows.refuse_format(out, use.shape)
    if out.suffix == ".png":
        rows.write_picture(use.pairs(split, SHOWN, sample, seed), out)
    else:
        rows.write(use.reconstruct(split, sample, seed), out, use.columns, rows_of(split))


def _encode(run: Path, chosen: Chosen, *, out: Path = Path("codes.npy"), sample: bool = False, seed: int = 0) -> None:
    """Map data to latent codes (posterior means), in row order, into an array (.npy) or a table (.csv).

    Args:
        run: the folder of the run.
        chosen: what is encoded.
        out: the file to write.
        sample: write draws from the posteriors rather than their means.
        seed: of the draws.
    """
    from vaekit.commands import rows

    use, split = opened(run, chosen, out, rows.TABLES)
    rows.write(use.encode(split, sample, seed), out, of=rows_of(split))


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
    from vaekit.commands import rows
    from vaekit.runs.use import Use

    rows.refuse_format(out)
    use = Use.of(vaekit.load(run, checkpoint=checkpoint, reopen=False))
    rows.refuse_format(out, use.shape)
    rows.write(use.decode(rows.read(codes), label), out, use.columns, shown=use.shown)


def _score(
    run: Path,
    chosen: Chosen,
    *,
    out: Path = Path("scores.csv"),
    samples: int = SAMPLES,
    seed: int = 0,
) -> None:
    """Score rows, in their order, by how likely they are: log p(x), distortion and rate of each, in nats.

    The columns of a relaxed likelihood, which is none, are relaxed_log_likelihood and relaxed_distortion.
    A table also has the number of each row in its source, counted from 0, and the name of its file where it is one.

    Args:
        run: the folder of the run.
        chosen: what is scored.
        out: the file to write, a table (.csv) or an array (.npy); the rows of lowest log p(x) are the most unusual.
        samples: importance samples per example.
        seed: of the draws of latents.
    """
    from vaekit.commands import rows

    use, split = opened(run, chosen, out, rows.TABLES)
    scored, columns = use.score(split, samples, seed), dict.fromkeys(use.scores, ())
    rows.write(scored, out, columns, rows_of(split), use.index(split))

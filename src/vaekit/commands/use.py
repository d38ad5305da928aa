"""`vaekit sample`, `reconstruct`, `encode` and `decode`: a fitted model at work, from files to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaekit import figures
from vaekit.commands.calling import call
from vaekit.data.dataset import Dataset
from vaekit.errors import ConfigError, DataError
from vaekit.evaluation.batches import inference
from vaekit.files import write_atomically
from vaekit.model import VAE
from vaekit.run import Run, load

AT_ONCE = 256


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


def _sample(run: Path, *, out: Path = Path("samples.png"), count: int = 64, mean: bool = True, seed: int = 0) -> None:
    """Draw new data from a run's model, into a picture (.png) or an array (.npy).

    Args:
        run: the folder of the run.
        out: the file to write.
        count: how many.
        mean: write means of p(x|z) rather than draws from it.
        seed: of all draws.
    """
    model = load(run).model
    with inference(model, seed):
        parts = [model.sample((min(AT_ONCE, count - start),), mean=mean) for start in range(0, count, AT_ONCE)]
    _write(torch.cat(parts), out)


def _reconstruct(
    run: Path, *, data: str | None = None, split: str = "test", out: Path = Path("reconstructions.npy")
) -> None:
    """Encode and decode data, in row order, into an array (.npy) or a picture beside the originals (.png).

    Args:
        run: the folder of the run.
        data: other data than the run's own.
        split: test, validation or train; "all" for every row, in that order of splits.
        out: the file to write.
    """
    fitted = load(run, data=data)
    if out.suffix == ".png":
        with inference(fitted.model, 0):
            given = next(fitted.needs_data().batches(split, 64, fitted.model.step.device))
            figures.save(figures.reconstructions(fitted.model, *given), out)
        print(f"wrote {out}")
        return
    _write(_mapped(fitted, split, fitted.model.reconstruct), out)


def _encode(run: Path, *, data: str | None = None, split: str = "test", out: Path = Path("codes.npy")) -> None:
    """Map data to latent codes (posterior means), in row order, into an array (.npy) or a table (.csv).

    Args:
        run: the folder of the run.
        data: other data than the run's own.
        split: test, validation or train; "all" for every row, in that order of splits.
        out: the file to write.
    """
    fitted = load(run, data=data)
    _write(_mapped(fitted, split, fitted.model.encode), out)


def _decode(run: Path, codes: Path, *, out: Path = Path("decoded.npy")) -> None:
    """Map latent codes to data (means of p(x|z)), in row order.

    Args:
        run: the folder of the run.
        codes: an array (.npy) or table (.csv) of codes, one a row.
        out: the file to write: an array (.npy) or a picture (.png).
    """
    model = load(run).model
    z = torch.from_numpy(_read_codes(codes)).to(model.step.device, torch.get_default_dtype())
    _write(torch.cat([_decoded(model, part) for part in z.split(AT_ONCE)]), out)


def _decoded(model: VAE, z: Tensor) -> Tensor:
    latent = model.prior().event_shape[0]
    if z.ndim != 2 or z.shape[1] != latent:
        raise DataError(f"The codes have shape {tuple(z.shape)}; the model needs one row of {latent} latents each.")
    return model.decode(z)


def _mapped(fitted: Run, split: str, function: Callable[..., Tensor]) -> Tensor:
    """Map the rows of a split, or of all of them, in order."""
    data = fitted.needs_data()
    with inference(fitted.model, 0):
        return torch.cat(
            [function(*given).cpu() for name in _splits(data, split) for given in _batches(fitted, data, name)]
        )


def _splits(data: Dataset, split: str) -> list[str]:
    names = ("train", "validation", "test") if split == "all" else (split,)
    filled = [name for name in names if len(data.split(name))]
    if not filled:
        raise ConfigError(f"`split` is {split!r}, which has no rows. Name another, or all.")
    return filled


def _batches(fitted: Run, data: Dataset, split: str) -> list[tuple[Tensor, ...]]:
    return list(data.batches(split, AT_ONCE, fitted.model.step.device))


def _read_codes(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(
            f"`{path}` holds no codes ({error}). Give an array (.npy) or a table of numbers (.csv)."
        ) from error


def _write(values: Tensor, out: Path) -> None:
    """Write rows to a file, in the format that its suffix names."""
    array = values.cpu().numpy()
    if out.suffix == ".npy":
        write_atomically(out, lambda path: _save(path, array))
    elif out.suffix == ".csv" and array.ndim == 2:
        write_atomically(out, lambda path: np.savetxt(path, array, delimiter=",", fmt="%.9g"))
    elif out.suffix == ".png" and array.ndim == 4:
        figures.save(figures.readable(figures.grid(figures.pixels(values))), out)
    else:
        raise ConfigError(
            f"`out` is {out}, but rows of shape {array.shape[1:]} go into .npy, vectors into .csv, images into .png."
        )
    print(f"wrote {out}: {len(array)} rows of shape {array.shape[1:]}")


def _save(path: Path, array: object) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)

"""Images as arrays, figures as images, and either as a file.

An *image* is a uint8 array of shape (H, W) or (H, W, 3). A grid of images is an image too: cell i stands in row i // columns
and column i % columns, cells are `gap` pixels apart, and there is no border, so that every pixel can be accounted for.
Values of the data are clipped to [0, 1] here, for display alone. Charts are matplotlib `Figure` objects, made without
pyplot and hence without global state.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image as Pillow
from torch import Tensor

from vaekit.errors import ShapeError
from vaekit.files import write_atomically

Image: TypeAlias = npt.NDArray[np.uint8]
Shown: TypeAlias = Callable[[Tensor], Tensor]
READABLE, MOST_NUMBERS = 640, 8
PAPER = 255
DPI = 120


def as_given(values: Tensor) -> Tensor:
    """Return the values themselves."""
    return values


def pixels(x: Tensor | npt.NDArray[np.generic], shown: Shown = as_given) -> Image:
    """Turn image data into pixels for display.

    Arguments:
        x: values where 0 is black and 1 is white, clipped to that range: shape (N, C, H, W), or (N, H, W) for grey.
        shown: brings other values to that range, as `vaekit.data.Dataset.shown` does.

    Returns:
        Shape (N, H, W) for one channel, (N, H, W, 3) for three; any other number of channels is laid side by side in grey,
        shape (N, H, C * W).

    Raises:
        ShapeError: if the data has another number of dimensions.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.figures.pixels(torch.tensor([[[[0.0, 0.5, 2.0]]]]))
        array([[[  0, 128, 255]]], dtype=uint8)
    """
    given = shown(x.detach().cpu()).float().numpy() if isinstance(x, Tensor) else x
    values = np.asarray(given, np.float32)
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim != 4:
        raise ShapeError(
            f"Images have shape (N, C, H, W) or (N, H, W), and these have shape {values.shape}. Fold vectors into images "
            f"first, or use the figures for tables (`marginals`, `scatter`)."
        )
    if values.shape[1] == 3:
        values = values.transpose(0, 2, 3, 1)
    else:
        values = values.transpose(0, 2, 1, 3).reshape(len(values), values.shape[2], -1)
    return cast(Image, (np.nan_to_num(values).clip(0, 1) * 255).round().astype(np.uint8))


def is_image(event_shape: Sequence[int]) -> bool:
    """Tell whether examples of this shape can be shown as images.

    Example:
        >>> import vaekit as vk
        >>> vk.figures.is_image((1, 28, 28)), vk.figures.is_image((784,))
        (True, False)
    """
    return len(event_shape) in (2, 3) and min(event_shape[-2:]) > 1


def grid(cells: Image, columns: int = 8, gap: int = 1) -> Image:
    """Lay images out row by row.

    Arguments:
        cells: shape (N, H, W) or (N, H, W, 3).
        columns: how many stand in a row; a shorter last row is filled with white.
        gap: white pixels between neighbours.

    Returns:
        One image, R rows of H pixels and `columns` columns of W, with gaps.

    Example:
        >>> import numpy as np
        >>> import vaekit as vk
        >>> vk.figures.grid(np.zeros((3, 2, 2), np.uint8), columns=2)
        array([[  0,   0, 255,   0,   0],
               [  0,   0, 255,   0,   0],
               [255, 255, 255, 255, 255],
               [  0,   0, 255, 255, 255],
               [  0,   0, 255, 255, 255]], dtype=uint8)
    """
    count, height, width = cells.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    padded = np.full((rows * columns, height + gap, width + gap, *cells.shape[3:]), PAPER, np.uint8)
    padded[:count, :height, :width] = cells
    folded = padded.reshape(rows, columns, *padded.shape[1:]).swapaxes(1, 2)
    sheet = folded.reshape(rows * (height + gap), columns * (width + gap), *cells.shape[3:])
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def enlarge(image: Image, factor: int) -> Image:
    """Repeat every pixel `factor` times in both directions.

    Example:
        >>> import numpy as np
        >>> import vaekit as vk
        >>> vk.figures.enlarge(np.array([[0, 255]], np.uint8), 2)
        array([[  0,   0, 255, 255],
               [  0,   0, 255, 255]], dtype=uint8)
    """
    return image.repeat(factor, 0).repeat(factor, 1)


def framed(
    image: Image,
    title: str,
    *,
    x_label: str = "",
    y_label: str = "",
    x_ticks: Sequence[str] | Tensor = (),
    y_ticks: Sequence[str] | Tensor = (),
) -> Figure:
    """Put an image, pixel by pixel and enlarged, into a figure with a title and labels.

    Arguments:
        image: shape (H, W) or (H, W, 3).
        title: what it shows.
        x_label: what the columns are.
        y_label: what the rows are.
        x_ticks: one text for each column of a grid, from left to right, where texts are left out if there is no room; or the
            coordinate of each, shape (W,), of which round numbers are told where they lie.
        y_ticks: the same for the rows of a grid, from top to bottom.
    """
    sheet = shown(image)
    height, width = sheet.shape[:2]
    left = 18 + 30 * bool(y_label) + (40 if isinstance(y_ticks, Tensor) else 10 * max(map(len, y_ticks), default=0))
    below = 14 + 36 * bool(len(x_ticks)) + 24 * bool(x_label)
    size = (left + width + 18, below + height + 48)
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / size[0], below / size[1], width / size[0], height / size[1]))
    colour = sheet if sheet.ndim == 3 else sheet[..., None].repeat(3, -1)
    axes.imshow(colour, interpolation="nearest", aspect="auto")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(title, fontsize=11, parse_math=False)
    _label(axes.set_xticks, x_ticks, sheet.shape[1], every=0.45)
    _label(axes.set_yticks, y_ticks, sheet.shape[0], every=0.16)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return figure


def _label(set_ticks: Callable[..., object], texts: Sequence[str] | Tensor, size: int, every: float) -> None:
    """Write texts, or round coordinates, at equal cells along an axis of `size` pixels, at least `every` inches apart."""
    if isinstance(texts, Tensor):
        set_ticks(*_round_numbers(texts, size, most=min(MOST_NUMBERS, max(1, int(size / (every * DPI))))))
        return
    step = max(1, int(np.ceil(every * DPI * len(texts) / size)))
    chosen = range(0, len(texts), step)
    set_ticks([size * (i + 0.5) / len(texts) for i in chosen], [texts[i] for i in chosen], parse_math=False)


def _round_numbers(coordinates: Tensor, size: int, most: int) -> tuple[list[float], list[str]]:
    """Find at most `most` round numbers within the coordinates of cells, and where along `size` pixels they lie.

    Example:
        >>> import torch
        >>> _round_numbers(torch.tensor([1.5, 0.5, -0.5]), 300, most=3)
        ([100.0, 200.0], ['1', '0'])
    """
    rising, order = (part.cpu().numpy() for part in coordinates.double().sort())
    numbers = np.asarray(MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(rising[0], rising[-1]))
    slack = 1e-6 * (rising[-1] - rising[0])
    within = numbers[(numbers >= rising[0] - slack) & (numbers <= rising[-1] + slack)]
    places = np.interp(within, rising, size * (order + 0.5) / len(order))
    told = sorted(zip(places.tolist(), within.tolist(), strict=True))
    return [place for place, _ in told], [f"{number + 0.0:g}" for _, number in told]


def render(figure: Figure) -> Image:
    """Draw a figure into an image, shape (H, W, 3)."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return cast(Image, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def shown(picture: Image | Figure) -> Image:
    """Turn a picture into the image that a page shows: a figure is drawn, a small image is enlarged by a whole factor."""
    return (
        render(picture)
        if isinstance(picture, Figure)
        else enlarge(picture, max(1, round(READABLE / max(picture.shape[:2]))))
    )


def png(image: Image) -> bytes:
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def save(picture: Image | Figure, path: str | Path) -> Path:
    """Write what a page shows of a picture as a PNG file: the whole file or none.

    Raises:
        RunError: if the file cannot be written.
    """
    content = png(shown(picture))
    return write_atomically(Path(path), lambda temporary: temporary.write_bytes(content))

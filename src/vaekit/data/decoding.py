"""Decoding of one image: any format, mode and size of Pillow's to 8-bit values of one shape, (C, H, W).

The steps: turn as the EXIF orientation says, keep the central region (first the square asked for, then the largest part
of the wanted aspect ratio), convert the mode (transparency over white, CMYK to RGB, 16 bits to their upper 8), and average
over areas down to the wanted size; enlargement is bicubic. Large JPEGs are first reduced within the decoder, never below
twice the wanted size.

The file imports nothing of vaekit, because it is also the program of a decoding process, which must start fast: `serve`
reads blocks of encoded images from its standard input and answers with pixels, until its input ends. Such processes need
no importable main module, die with the process that feeds them, and hold none of its locks.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
Failures = dict[int, str]
Turn = Image.Transpose

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B"})
ORIENTATION, WHITE = 0x0112, (255, 255, 255, 255)
TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}


@dataclass(frozen=True)
class Geometry:
    """The one shape that images are brought to.

    Attributes:
        height: rows of pixels.
        width: columns of pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: side of the central square kept first, at most the shorter side; None keeps the image whole.
    """

    height: int
    width: int
    channels: int = 3
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of a decoded image."""
        return self.channels, self.height, self.width

    def region(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the central region (left, upper, right, lower) that is kept of an image of the given size.

        Example:
            >>> Geometry(64, 64, crop=148).region(178, 218)
            (15, 35, 163, 183)
        """
        inner = (width, height) if self.crop is None else (min(self.crop, width, height),) * 2
        scale = min(inner[0] / self.width, inner[1] / self.height)
        kept = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        left, upper = (width - kept[0]) // 2, (height - kept[1]) // 2
        return left, upper, left + kept[0], upper + kept[1]


def orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 (upright) where it is absent or damaged; from 5 on, the sides are exchanged."""
    with suppress(*UNREADABLE):
        return int(image.getexif().get(ORIENTATION, 1))
    return 1


def decode(stream: IO[bytes], geometry: Geometry) -> Pixels:
    """Decode one image.

    Arguments:
        stream: the encoded image, at its start.
        geometry: the shape to bring it to.

    Returns:
        The values, shape (C, H, W), 0 to 255.

    Raises:
        OSError: and the others of `UNREADABLE`, if the image is damaged, cut short or in no format that Pillow reads.
    """
    with Image.open(stream) as image:
        return fitted(image, geometry)


def fitted(image: Image.Image, geometry: Geometry) -> Pixels:
    """Bring an image to a shape; one that is still in its file may then be reduced within the decoder.

    Arguments:
        image: the image.
        geometry: the shape to bring it to.

    Returns:
        The values, shape (C, H, W), 0 to 255.
    """
    turn = orientation(image)
    height, width = (geometry.width, geometry.height) if turn >= 5 else (geometry.height, geometry.width)
    upright = Geometry(height, width, geometry.channels, geometry.crop)
    full = image.size
    left, upper, right, lower = upright.region(*full)
    if image.format == "JPEG":
        image.draft(None, (2 * full[0] * width // (right - left), 2 * full[1] * height // (lower - upper)))
    across, down = image.width / full[0], image.height / full[1]
    box = (left * across, upper * down, right * across, lower * down)
    shrinks = box[2] - box[0] >= width and box[3] - box[1] >= height
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    resized = _plain(image, geometry.channels).resize((width, height), method, box)
    if turn in TURNS:
        resized = resized.transpose(TURNS[turn])
    return np.asarray(resized).reshape(geometry.height, geometry.width, geometry.channels).transpose(2, 0, 1)


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Convert any mode to 8-bit grey or RGB."""
    if image.mode == "F":
        raise ValueError("floating-point images (mode F) have no fixed range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        upper_byte = np.clip(np.asarray(image, np.int64), 0, 65535) // 256
        image = Image.fromarray(upper_byte.astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer)
    wanted = "L" if channels == 1 else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def decode_block(blobs: Sequence[bytes], geometry: Geometry) -> tuple[Pixels, Failures]:
    """Decode several images, given as the contents of their files.

    Returns:
        The values, shape (N, C, H, W), and the reason for each image that could not be decoded, by its position.
    """
    pixels, failures = np.zeros((len(blobs), *geometry.shape), np.uint8), {}
    for i, blob in enumerate(blobs):
        try:
            pixels[i] = decode(io.BytesIO(blob), geometry)
        except UNREADABLE as error:
            failures[i] = _reason(error)
    return pixels, failures


def _reason(error: Exception) -> str:
    """Say why an image cannot be decoded; Pillow names the stream, not the file, where it finds no image in it."""
    unknown = isinstance(error, UnidentifiedImageError)
    return "it is no image that Pillow reads" if unknown else " ".join(str(error).split())


def ask(blobs: Sequence[bytes], geometry: Geometry, to: IO[bytes], answer: IO[bytes]) -> tuple[Pixels, Failures]:
    """Let a process that runs `serve` do what `decode_block` does.

    Raises:
        OSError: if the process has ended.
    """
    head = {"geometry": asdict(geometry), "lengths": [len(blob) for blob in blobs]}
    to.write(json.dumps(head).encode() + b"\n" + b"".join(blobs))
    to.flush()
    shape = (len(blobs), *geometry.shape)
    line, values = answer.readline(), answer.read(int(np.prod(shape)))
    if len(values) < np.prod(shape):
        raise EOFError("a decoding process ended early; it may have run out of memory")
    failures = {int(i): str(reason) for i, reason in json.loads(line).items()}
    return np.frombuffer(values, np.uint8).reshape(shape), failures


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests of `ask` until they end."""
    warnings.simplefilter("ignore")
    while line := requests.readline():
        head = json.loads(line)
        blobs = [requests.read(length) for length in head["lengths"]]
        pixels, failures = decode_block(blobs, Geometry(**head["geometry"]))
        answers.write(json.dumps(failures).encode() + b"\n" + pixels.tobytes())
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

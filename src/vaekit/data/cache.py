"""The decode-once cache: images as one memory-mapped array of 8-bit values, shape (N, C, H, W), on the disk.

An entry is a folder named by a digest of the ordered list of images (names, sizes, times of change) and of the decoding
asked for: `pixels.npy`, a plain NumPy file, and `index.json`, which holds a checksum of every block of rows that is safely
in it. A block counts only once its pixels are on the disk and the index, replaced atomically after them, says so. Hence

*   a build that was killed goes on where the index ends,
*   a file that was cut short or changed afterwards (its size or times differ from those in the index) is checked block by
    block, and only damaged blocks are decoded again,
*   processes that want the same entry take turns by a file lock, which dies with its holder, and then find it complete,
*   an entry is never rebuilt while its images and the decoding stay the same. Delete its folder to free the space.

Not checked: an image that changed but kept its name, size and time of change.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import numpy as np
from filelock import FileLock

from vaekit.data.decoding import Failures, Geometry
from vaekit.data.decoding_pool import Decoder, cores, decoders
from vaekit.data.source import Array, Decoding
from vaekit.errors import DataError, RunError
from vaekit.files import write_text

FORMAT, BLOCK, FLUSH_SECONDS, SHOWN = 1, 128, 1.0, 5
log = logging.getLogger("vaekit")


class Pictures(Protocol):
    """Encoded images in an order.

    Attributes:
        fingerprint: identifies them, their contents and their order.
    """

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """Return what messages call an image."""

    def open(self, i: int) -> IO[bytes]:
        """Open an encoded image."""


@dataclass
class Index:
    """What is known of the pixels of an entry.

    Attributes:
        rows: number of images.
        geometry: the shape of each.
        block: rows of a block; the last one may be shorter.
        checksums: CRC-32 of each block, None where it is not there yet.
        note: what was decided on the shape, told to the user.
        stamp: size and times of change of the complete file when it was last checked; empty while it is incomplete.
        version: version of this format.
    """

    rows: int
    geometry: Geometry
    block: int
    checksums: list[int | None]
    note: str = ""
    stamp: tuple[int, ...] = ()
    version: int = FORMAT

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape (N, C, H, W) of the array."""
        return self.rows, *self.geometry.shape

    @property
    def header(self) -> bytes:
        """How the file of the array begins."""
        buffer = io.BytesIO()
        description = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(buffer, description)
        return buffer.getvalue()

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return len(self.header) + self.rows * int(np.prod(self.geometry.shape))

    def span(self, block: int) -> range:
        """Return the rows of a block."""
        return range(block * self.block, min(self.rows, (block + 1) * self.block))

    def where(self, block: int) -> tuple[int, int]:
        """Return the position of a block in the file, and its length, in bytes."""
        rows, each = self.span(block), int(np.prod(self.geometry.shape))
        return len(self.header) + rows.start * each, len(rows) * each


class Done(NamedTuple):
    """A block that was decoded: its number, the checksum of its pixels, and the failures, by row."""

    block: int
    checksum: int
    failures: Failures


def cache_folder() -> Path:
    """Return vaekit's folder in the user's cache folder, `$XDG_CACHE_HOME` or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaekit"


def decode_once(pictures: Pictures, decide: Callable[[], tuple[Geometry, str]], asked: Decoding) -> tuple[Array, str]:
    """Return the pixels of images, decoded now or taken from the cache.

    Arguments:
        pictures: the encoded images.
        decide: gives the shape of each, and a sentence on why; called only for images that are not in the cache.
        asked: the decoding asked for. What it leaves open must be decided by the images alone.

    Returns:
        The memory-mapped array, shape (N, C, H, W), 8-bit and read-only; and sentences on its size and the rate of decoding.

    Raises:
        DataError: if images cannot be decoded (then nothing of the entry is kept), or the cache cannot be written.
    """
    request = [FORMAT, pictures.fingerprint, asked.crop, asked.size, asked.channels]
    key = hashlib.sha256(json.dumps(request).encode()).hexdigest()[:24]
    entry = Entry(Path(asked.cache or cache_folder()).expanduser() / "images" / key)
    if index := entry.whole():
        return entry.open(), entry.told(index)
    try:
        entry.folder.parent.mkdir(parents=True, exist_ok=True)
        with entry.locked():
            if index := entry.whole():
                return entry.open(), entry.told(index)
            rate = entry.build(pictures, decide, asked.workers or cores())
    except (OSError, RunError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"The image cache {entry.folder} cannot be written ({reason}). Free space on that disk, or name another folder "
            f"by `cache`."
        ) from error
    return entry.open(), f"{entry.told(entry.whole())} {rate}"


class Entry:
    """The pixels of one list of images, decoded in one way.

    Arguments:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.pixels, self.index = folder, folder / "pixels.npy", folder / "index.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes away; the file of the lock stays beside an entry, and goes where none was made."""
        lock = Path(f"{self.folder}.lock")
        with FileLock(lock):
            try:
                yield
            finally:
                if not self.folder.exists():
                    with suppress(OSError):
                        lock.unlink()

    def open(self) -> Array:
        """Map the pixels into memory, read-only."""
        return np.lib.format.open_memmap(self.pixels, mode="r")

    def whole(self) -> Index | None:
        """Return the index if all pixels are there, as they were when last checked."""
        index = self._read()
        return index if index and index.stamp and index.stamp == self._stamp() else None

    def told(self, index: Index | None) -> str:
        """Say what the entry holds."""
        if index is None:
            return f"The cache {self.folder} changes while it is read."
        shape = " x ".join(map(str, index.geometry.shape))
        size = f"{index.size / 1e6:,.1f} MB"
        return f"{index.note} {index.rows:,} images of {shape} are cached, {size} in {self.folder}.".strip()

    def build(self, pictures: Pictures, decide: Callable[[], tuple[Geometry, str]], workers: int) -> str:
        """Decode what is not there, and say at which rate.

        Raises:
            DataError: if images cannot be decoded.
            OSError: if the disk is full or the folder cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        index = self._resumed() or self._begun(len(pictures), *decide())
        todo = [block for block, checksum in enumerate(index.checksums) if checksum is None]
        self._reserve(index)
        rows, begun = sum(len(index.span(block)) for block in todo), time.perf_counter()
        workers = max(1, min(workers, len(todo)))
        failures = self._decode(pictures, index, todo, workers)
        if failures:
            shutil.rmtree(self.folder)
            raise DataError(_told_failures(pictures, failures))
        index.stamp = self._stamp()
        self._write(index)
        seconds = time.perf_counter() - begun
        return f"Decoded {rows:,} images at {rows / seconds:,.0f} a second ({workers} at once)."

    def _decode(self, pictures: Pictures, index: Index, todo: list[int], workers: int) -> Failures:
        """Decode blocks in parallel, noting now and then in the index what is on the disk."""
        failures: Failures = {}
        flushed = begun = time.monotonic()
        threads = ThreadPoolExecutor(workers)
        with decoders(workers) as decoder:
            try:
                tasks = [threads.submit(self._block, pictures, index, block, decoder) for block in todo]
                for finished, task in enumerate(as_completed(tasks), 1):
                    done = task.result()
                    failures |= done.failures
                    index.checksums[done.block] = None if done.failures else done.checksum
                    if (now := time.monotonic()) >= flushed + FLUSH_SECONDS:
                        self._write(index)
                        flushed = now
                        left = (now - begun) * (len(todo) / finished - 1)
                        log.info("decoded %d of %d blocks of images, %.0f s left", finished, len(todo), left)
            finally:
                threads.shutdown(cancel_futures=True)
        return failures

    def _block(self, pictures: Pictures, index: Index, block: int, decoder: Decoder) -> Done:
        """Decode a block and write its pixels."""
        rows, blobs, unread = index.span(block), [], {}
        for row in rows:
            try:
                with pictures.open(row) as file:
                    blobs.append(file.read())
            except OSError as error:
                blobs.append(b"")
                unread[row] = error.strerror or str(error)
        pixels, failed = decoder(blobs, index.geometry)
        with self.pixels.open("r+b") as file:
            file.seek(index.where(block)[0])
            file.write(pixels.data)
        return Done(block, zlib.crc32(pixels.data), {rows[i]: reason for i, reason in failed.items()} | unread)

    def _begun(self, rows: int, geometry: Geometry, note: str) -> Index:
        return Index(rows, geometry, BLOCK, [None] * -(-rows // BLOCK), note)

    def _resumed(self) -> Index | None:
        """Return an earlier index, in which only blocks whose pixels match their checksum are counted as there."""
        index = self._read()
        if index is None or not self.pixels.exists():
            return None
        index.stamp = ()
        with self.pixels.open("rb") as file:
            for block, checksum in enumerate(index.checksums):
                position, length = index.where(block)
                file.seek(position)
                if checksum is not None and zlib.crc32(file.read(length)) != checksum:
                    index.checksums[block] = None
        return index

    def _reserve(self, index: Index) -> None:
        """Give the file its header and its full size, so that a full disk is found now."""
        held = self.pixels.stat().st_size if self.pixels.exists() else 0
        free = shutil.disk_usage(self.folder).free
        if index.size - held > free:
            raise OSError(f"it needs {(index.size - held) / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free")
        with self.pixels.open("r+b" if held else "wb") as file:
            try:
                file.write(index.header)
                file.truncate(index.size)
                if hasattr(os, "posix_fallocate"):
                    file.flush()
                    os.posix_fallocate(file.fileno(), 0, index.size)
            except OSError:
                file.truncate(held)
                raise

    def _read(self) -> Index | None:
        """Read the index, None where there is none that makes sense."""
        try:
            stored = json.loads(self.index.read_text(encoding="utf-8"))
            stored |= {"geometry": Geometry(**stored["geometry"]), "stamp": tuple(stored["stamp"])}
            index = Index(**stored)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return index if index.version == FORMAT else None

    def _write(self, index: Index) -> None:
        """Replace the index, once the pixels that it vouches for are on the disk."""
        with self.pixels.open("r+b") as file:
            os.fsync(file.fileno())
        write_text(self.index, json.dumps(asdict(index)))

    def _stamp(self) -> tuple[int, ...]:
        """Return size and times of change of the pixels' file, nothing where it is absent."""
        try:
            status = self.pixels.stat()
        except OSError:
            return ()
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _told_failures(pictures: Pictures, failures: Failures) -> str:
    """Say how many images cannot be decoded, and name the first ones."""
    first = [f"{pictures.name(row)} ({failures[row]})" for row in sorted(failures)[:SHOWN]]
    more = ", ..." if len(failures) > SHOWN else ""
    return f"{len(failures):,} of {len(pictures):,} images cannot be decoded: {', '.join(first)}{more}. Remove or replace them."

"""The decode-once cache: damage, full disks, kills, and processes at once."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import paint, paint_ten

from vaekit.data import cache, images
from vaekit.data.decoding import Geometry, decode_block
from vaekit.data.reading import settled
from vaekit.data.source import Decoding
from vaekit.errors import DataError


@pytest.fixture
def decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoding:
    """Decode in blocks of four images, noting each in the index at once."""
    monkeypatch.setattr(cache, "BLOCK", 4)
    monkeypatch.setattr(cache, "FLUSH_SECONDS", 0.0)
    return Decoding(cache=tmp_path / "cache", workers=1)


def test_a_cache_in_the_home_folder_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settled({"options": Decoding(cache=Path("~/cache"))})["options"].cache == tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_ten(tmp_path / "images")


def entry(decoding: Decoding) -> cache.Entry:
    """Return the only entry of a cache."""
    (index,) = Path(decoding.cache or "").glob("images/*/index.json")
    return cache.Entry(index.parent)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images of every block that is decoded in this process."""
    counts: list[int] = []

    def counting(blobs: Sequence[bytes], geometry: Geometry) -> object:
        counts.append(len(blobs))
        return decode_block(blobs, geometry)

    monkeypatch.setattr("vaekit.data.decoding_pool.decode_block", counting)
    return counts


class TestCache:
    def test_nothing_is_decoded_twice(self, folder: Path, decoding: Decoding, decoded: list[int]) -> None:
        first, second = (images.read_folder(folder, decoding).x["all"] for _ in range(2))
        assert sorted(decoded) == [2, 4, 4]
        np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize("change", ["touch", "add", "rename", {"size": 5}, {"crop": 4}, {"channels": 1}])
    def test_change_makes_another_entry(
        self, folder: Path, decoding: Decoding, decoded: list[int], change: str | dict[str, int]
    ) -> None:
        images.read_folder(folder, decoding)
        if change == "touch":
            os.utime(folder / "1.png", (0, 0))
        elif change == "add":
            paint(folder / "10.png")
        elif change == "rename":
            (folder / "1.png").rename(folder / "11.png")
        images.read_folder(folder, replace(decoding, **change) if isinstance(change, dict) else decoding)
        assert len(decoded) == 6

    def test_processes_decode_the_same(self, folder: Path, decoding: Decoding, tmp_path: Path) -> None:
        alone = images.read_folder(folder, decoding).x["all"]
        together = images.read_folder(folder, replace(decoding, workers=3, cache=tmp_path / "other")).x["all"]
        np.testing.assert_array_equal(alone, together)

    @pytest.mark.parametrize(
        ("damage", "redone"),
        [
            (lambda e: e.pixels.write_bytes(e.pixels.read_bytes()[:-1]), [2]),
            (lambda e: e.pixels.write_bytes(e.pixels.read_bytes()[:-700]), [2, 4]),
            (lambda e: _flip(e.pixels, -700), [4]),
            (lambda e: _flip(e.pixels, 8), []),
            (lambda e: e.pixels.unlink(), [2, 4, 4]),
            (lambda e: e.index.unlink(), [2, 4, 4]),
            (lambda e: e.index.write_text("{"), [2, 4, 4]),
        ],
        ids=["cut in a block", "cut in two", "flipped bit", "header", "no pixels", "no index", "half an index"],
    )
    def test_only_damaged_blocks_are_decoded_again(
        self,
        folder: Path,
        decoding: Decoding,
        decoded: list[int],
        damage: Callable[[cache.Entry], object],
        redone: list[int],
    ) -> None:
        whole = np.array(images.read_folder(folder, decoding).x["all"])
        decoded.clear()
        damage(entry(decoding))
        np.testing.assert_array_equal(images.read_folder(folder, decoding).x["all"], whole)
        assert sorted(decoded) == redone
        decoded.clear()
        images.read_folder(folder, decoding)
        assert decoded == []

    def test_damage_is_found_by_processes_too(self, folder: Path, decoding: Decoding) -> None:
        (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
        with pytest.raises(DataError, match=r"1 of 10 images cannot be decoded: .*5\.png"):
            images.read_folder(folder, replace(decoding, workers=2))
        assert list(Path(decoding.cache or "").rglob("*.*")) == []

    def test_a_block_that_failed_is_never_counted_as_there(
        self, folder: Path, decoding: Decoding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A build may be killed after a failure, before what it kept is taken away."""
        (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
        kept: list[object] = []
        monkeypatch.setattr(shutil, "rmtree", kept.append)
        with pytest.raises(DataError, match=r"5\.png"):
            images.read_folder(folder, decoding)
        with pytest.raises(DataError, match=r"1 of 10 images cannot be decoded: .*5\.png"):
            images.read_folder(folder, decoding)
        assert len(kept) == 2

    def test_full_disk(self, folder: Path, decoding: Decoding, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(DataError, match=r"0\.0 MB are free.*`cache`"):
            images.read_folder(folder, decoding)
        monkeypatch.undo()
        assert images.read_folder(folder, decoding).x["all"].shape == (10, 3, 8, 10)

    def test_disk_that_fills_while_it_is_written(self, folder: Path, decoding: Decoding) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(DataError, match=r"cannot be written \(File too large\)"):
                images.read_folder(folder, decoding)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [file.stat().st_size for file in Path(decoding.cache or "").glob("images/*/*")] == [0]

    def test_unwritable_place(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="cannot be written"):
            images.read_folder(folder, Decoding(cache=tmp_path / "file"))

    def test_default_place(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache.cache_folder() == tmp_path / "vaekit"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache.cache_folder() == Path.home() / ".cache" / "vaekit"


SLOWLY = """
import sys, time
from pathlib import Path
from vaekit.data import Decoding, cache, decoding_pool, images
cache.BLOCK, cache.FLUSH_SECONDS = 4, 0.0
fast = decoding_pool.decode_block
def slow(blobs, geometry):
    print(len(blobs), flush=True)
    time.sleep(float(sys.argv[3]))
    return fast(blobs, geometry)
decoding_pool.decode_block = slow
images.read_folder(Path(sys.argv[1]), Decoding(cache=Path(sys.argv[2]), workers=1))
"""


def run(program: str, folder: Path, decoding: Decoding, *arguments: str) -> subprocess.Popen[str]:
    """Start a program that reads a folder."""
    command = [sys.executable, "-c", program, str(folder), str(decoding.cache), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_and_resume(folder: Path, decoding: Decoding, decoded: list[int]) -> None:
    process = run(SLOWLY, folder, decoding, "1.0")
    index = Path(decoding.cache or "") / "images"
    deadline = time.monotonic() + 30
    while not list(index.glob("*/index.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = json.loads(entry(decoding).index.read_text())["checksums"]
    assert 1 <= len([checksum for checksum in done if checksum is not None]) < 3
    found = images.read_folder(folder, decoding).x["all"]
    assert len(decoded) == done.count(None)
    fresh = images.read_folder(folder, replace(decoding, cache=folder.parent / "fresh")).x["all"]
    np.testing.assert_array_equal(found, fresh)


def test_two_processes_at_once_decode_once(folder: Path, decoding: Decoding) -> None:
    processes = [run(SLOWLY, folder, decoding, "0.1") for _ in range(2)]
    counts = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(map(len, counts)) == [0, 3]


def _flip(path: Path, position: int) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)

"""Rows on the disk: the block shuffle, the streamed loader, and sharded parquet, here and by way of the hub's package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from vaekit.data import rows as rows_module
from vaekit.data.batches import Batch
from vaekit.data.hub import read_hub, stream_hub
from vaekit.data.rows import BlockShuffle, Rows, StoredRows, stored
from vaekit.data.source import Decoding, Source
from vaekit.data.streamed import StreamedLoader, ahead
from vaekit.errors import ConfigError, DataError
from vaekit.likelihoods.columns import Count, Real

SHARDS, ROWS, NAMES = 3, 14, ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have blocks of 4 rows and buffers of 16, of the rows below."""
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 4 * 3 * 4)
    monkeypatch.setattr(rows_module, "BUFFER_BYTES", 16 * 3 * 4)


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    """103 rows of three, (i, i, i), memory-mapped."""
    np.save(tmp_path / "x.npy", np.repeat(np.arange(103, dtype=np.float32)[:, None], 3, 1))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three shards for training, of uneven row groups, and one for test, with images, labels and vectors."""
    folder = tmp_path_factory.mktemp("shards")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(NAMES)),
            "number": datasets.Value("int32"),
            "grid": datasets.Array2D((2, 2), "float32"),
        }
    )
    for shard in range(SHARDS + 1):
        first = shard * ROWS
        numbers = range(first, first + ROWS)
        columns = {
            "image": [Image.fromarray(np.full((6, 5, 3), n, np.uint8)) for n in numbers],
            "label": [n % 3 for n in numbers],
            "number": list(numbers),
            "grid": [[[n, 1], [2, 3]] for n in numbers],
        }
        name = f"train-{shard:05}.parquet" if shard < SHARDS else "test-00000.parquet"
        datasets.Dataset.from_dict(columns, features).to_parquet(folder / name, batch_size=4 + shard)
    return folder


def loader(x: Rows | np.ndarray, batch_size: int = 10, **settings: int) -> StreamedLoader:
    """Make a loader whose context is the number of each row."""
    context = [np.arange(len(x), dtype=np.float32)[:, None]]
    return StreamedLoader(x, context, Tensor.float, batch_size, device=torch.device("cpu"), **{"seed": 0, **settings})


def numbers(batches: Sequence[Batch]) -> list[list[float]]:
    """Return the row numbers of each batch."""
    return [batch.given[1][:, 0].tolist() for batch in batches]


def visit(batches: Sequence[Batch]) -> list[float]:
    """Return the row numbers of batches, one after the other."""
    return [row for batch in numbers(batches) for row in batch]


@pytest.fixture(params=["memmap", "subset", "parquet"])
def x(request: pytest.FixtureRequest, mapped: np.memmap, shards: Path) -> Rows:
    """Rows of every kind."""
    if request.param == "parquet":
        return stored(stream_hub(shards, Decoding()).x["train"])
    return stored(mapped).subset(np.arange(1, 103, 2)) if request.param == "subset" else stored(mapped)


class TestRows:
    def test_slices_are_those_of_the_array(self, x: Rows) -> None:
        whole = x[0 : len(x)]
        assert whole.shape == x.shape
        assert whole.dtype == x.dtype
        assert type(whole) is np.ndarray
        for span in (slice(3, 9), slice(-5, None), slice(2, 40, 7), slice(4, 4)):
            np.testing.assert_array_equal(x[span], whole[span])

    def test_blocks_cover_the_rows(self, x: Rows) -> None:
        assert (x.bounds[0], x.bounds[-1]) == (0, len(x))
        assert (np.diff(x.bounds) > 0).all()

    def test_subset_of_a_subset(self, x: Rows) -> None:
        inner = x.subset(np.arange(0, len(x), 2)).subset(np.array([1, 5, 6]))
        np.testing.assert_array_equal(inner[:], x[0 : len(x)][[2, 10, 12]])
        assert (np.diff(inner.bounds) > 0).all()

    @pytest.mark.parametrize("count", [1, 12, 1000])
    def test_sample_is_spread(self, x: Rows, count: int) -> None:
        sample, whole = x.sample(count), x[0 : len(x)]
        assert 0.7 * min(count, len(x)) <= len(sample) <= len(x)
        assert np.isin(sample, whole).all()
        assert (sample[-1] > whole[len(x) // 2]).any()

    @given(chosen=st.sets(st.integers(0, 90), min_size=1))
    @pytest.mark.parametrize("gap", [1, 40, 4096])
    def test_any_rows_of_any_view(self, mapped: np.memmap, gap: int, chosen: set[int]) -> None:
        view = mapped[5:96, None]
        rows = np.array(sorted(chosen))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows_module, "GAP_BYTES", gap)
            np.testing.assert_array_equal(StoredRows(view).take(rows), np.asarray(view)[rows])

    @pytest.mark.parametrize(
        "arrange", [lambda a: a[::-1], lambda a: a.T, lambda a: a[:, :1]], ids=["back", "T", "column"]
    )
    def test_views_in_pieces(self, mapped: np.memmap, arrange: Callable[[np.ndarray], np.ndarray]) -> None:
        view = arrange(mapped)
        np.testing.assert_array_equal(StoredRows(view)[0:2], np.asarray(view)[0:2])

    def test_file_cut_short(self, tmp_path: Path, mapped: np.memmap) -> None:
        rows = StoredRows(mapped)
        os.truncate(tmp_path / "x.npy", 1000)
        assert rows[0:10].shape == (10, 3)
        with pytest.raises(DataError, match=r"x\.npy` ends before row 100 of 103"):
            rows[90:100]

    def test_system_that_reads_a_few_bytes_at_a_time(self, mapped: np.memmap, monkeypatch: pytest.MonkeyPatch) -> None:
        read = os.preadv
        monkeypatch.setattr(os, "preadv", lambda file, parts, at: read(file, [parts[0][:7]], at))
        np.testing.assert_array_equal(StoredRows(mapped)[3:20], mapped[3:20])

    def test_private_changes_stay(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((5, 2)))
        array = np.load(tmp_path / "x.npy", mmap_mode="c")
        array[3] = 7
        assert StoredRows(array)[:].sum() == 14
        assert StoredRows(array)[3:4].tolist() == [[7, 7]]


class TestOrder:
    @given(
        lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20),
        buffer=st.integers(1, 40),
        epoch=st.integers(0, 3),
        start=st.integers(0, 50),
    )
    def test_every_row_once_and_any_start(self, lengths: list[int], buffer: int, epoch: int, start: int) -> None:
        order = BlockShuffle(np.cumsum([0, *lengths]), buffer, seed=1)
        chunks = list(order.chunks(epoch))
        together = np.concatenate([rows for _, rows in chunks])
        assert sorted(together) == list(range(sum(lengths)))
        assert [first for first, _ in chunks] == np.cumsum([0, *map(len, (rows for _, rows in chunks))])[:-1].tolist()
        for first, rows in order.chunks(epoch, start):
            np.testing.assert_array_equal(together[first : first + len(rows)], rows)
            assert first + len(rows) > start

    def test_every_row_goes_everywhere(self) -> None:
        order = BlockShuffle(np.arange(0, 101, 5), 20, seed=0)
        positions = np.zeros((100, 400))
        for epoch in range(400):
            positions[np.concatenate([rows for _, rows in order.chunks(epoch)]), epoch] = np.arange(100)
        standard_error = 100 / np.sqrt(12 * 400)
        assert np.abs(positions.mean(1) - 49.5).max() < 4.5 * standard_error

    @pytest.mark.parametrize(
        ("bounds", "buffer"), [(np.arange(51), 1), (np.array([0, 50]), 50)], ids=["blocks", "rows"]
    )
    def test_seed_and_epoch_shuffle_blocks_and_rows(self, bounds: np.ndarray, buffer: int) -> None:
        orders = (BlockShuffle(bounds, buffer, seed).chunks(epoch) for seed in range(3) for epoch in range(3))
        assert len({tuple(np.concatenate([rows for _, rows in order])) for order in orders}) == 9

    def test_buffers_are_shuffled_each_in_its_own_way(self) -> None:
        first, second = (rows % 50 for _, rows in BlockShuffle(np.array([0, 50, 100]), 50, seed=0).chunks(0))
        assert not np.array_equal(first, second)

    def test_neighbours_part(self) -> None:
        order = BlockShuffle(np.arange(0, 10_001, 5), 1280, seed=0)
        visit = np.concatenate([rows for _, rows in order.chunks(0)])
        assert np.mean(np.abs(np.diff(visit)) == 1) < 0.002


class TestLoader:
    def test_epoch_has_every_row_once_with_its_context(self, x: Rows) -> None:
        batches = list(loader(x).epoch(0))
        assert len(batches) == loader(x).steps == -(-len(x) // 10)
        assert [len(row) for row in numbers(batches)][:-1] == [10] * (len(batches) - 1)
        assert sorted(visit(batches)) == list(range(len(x)))
        given = torch.cat([batch.given[0] for batch in batches]).numpy()
        np.testing.assert_array_equal(given, x[0 : len(x)][np.array(visit(batches), int)])
        assert {batch.share for batch in batches} == {1.0}

    def test_order_is_a_function_of_seed_and_epoch(self, x: Rows) -> None:
        first, again, later, other = (
            numbers(list(loader(x, seed=seed).epoch(index))) for seed, index in ((0, 1), (0, 1), (0, 2), (1, 1))
        )
        assert first == again
        assert first != later
        assert first != other

    @pytest.mark.parametrize("start", [1, 3, 100])
    def test_start_in_the_middle(self, x: Rows, start: int) -> None:
        assert numbers(list(loader(x).epoch(2, start))) == numbers(list(loader(x).epoch(2)))[start:]

    @pytest.mark.parametrize("world", [2, 3, 7])
    @pytest.mark.parametrize("start", [0, 2])
    def test_processes_share_each_batch(self, x: Rows, world: int, start: int) -> None:
        alone = numbers(list(loader(x).epoch(0, start)))
        ranks = [list(loader(x, rank=rank, world=world).epoch(0, start)) for rank in range(world)]
        assert {len(batches) for batches in ranks} == {len(alone)}
        for expected, parts in zip(alone, zip(*ranks, strict=True), strict=True):
            counted = [part for part in parts if part.share > 0]
            assert visit(counted) == expected
            assert all(len(part.given[0]) == 1 for part in parts if part.share == 0)
            mean = sum(part.share * part.given[1].mean().item() for part in parts) / world
            assert mean == pytest.approx(np.mean(expected))

    def test_process_reads_only_its_rows(self, mapped: np.memmap, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[int] = []
        take = StoredRows.take

        def counting(self: StoredRows, rows: np.ndarray) -> np.ndarray:
            read.extend(rows.tolist())
            return take(self, rows)

        monkeypatch.setattr(StoredRows, "take", counting)
        batches = list(loader(mapped, rank=1, world=2).epoch(0))
        assert sorted(read) == sorted(visit(batches))

    def test_leaving_an_epoch_early(self, x: Rows) -> None:
        epoch = loader(x).epoch(0)
        assert len(list(islice(epoch, 2))) == 2
        epoch.close()  # type: ignore[attr-defined]
        assert len(list(loader(x).epoch(0))) == loader(x).steps

    def test_array_in_memory(self) -> None:
        assert sorted(visit(list(loader(np.zeros((25, 2))).epoch(0)))) == list(range(25))

    def test_senseless_settings(self, mapped: np.memmap) -> None:
        with pytest.raises(ConfigError, match="batch_size"):
            loader(mapped, batch_size=0)
        with pytest.raises(DataError, match="no rows"):
            loader(mapped[:0])

    def test_errors_of_the_thread_arrive(self) -> None:
        def failing() -> object:
            yield 1
            raise DataError("damaged")

        items = ahead(failing())  # type: ignore[arg-type]
        assert next(items) == 1
        with pytest.raises(DataError, match="damaged"):
            next(items)


PEAK = """
import resource, sys, torch, numpy as np
from pathlib import Path
from vaekit.data import rows
from vaekit.data.streamed import StreamedLoader
torch.set_num_threads(1)
def status(key):
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if key in line).split()[1])
x, limit = np.load(sys.argv[1], mmap_mode="r"), int(sys.argv[2])
loader = StreamedLoader(x, (), lambda batch: batch.float(), 64, device=torch.device("cpu"), seed=0)
before, total = status("VmHWM"), 0.0
resource.setrlimit(resource.RLIMIT_DATA, ((status("VmData") << 10) + limit,) * 2)
for held in loader.epoch(0):
    batch = held.given[0]
    total += float(batch.sum(dtype=torch.float64))
for i in range(0, len(x), 512):
    total -= float(rows.stored(x)[i:i + 512].sum(dtype="float64"))
assert total == 0, total
print((status("VmHWM") - before) << 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_peak_memory_is_flat(tmp_path: Path) -> None:
    """Data of one and of ten times a limit on the memory takes the same memory, within the limit."""
    limit, grown = 160 * 2**20, []
    for times in (1, 10):
        array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (times * limit // 12288, 3, 64, 64))
        array[:] = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8)
        array.flush()
        command = [sys.executable, "-c", PEAK, str(tmp_path / "x.npy"), str(limit)]
        grown.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert max(grown) < limit
    assert grown[1] < 1.5 * grown[0]


class TestHub:
    @pytest.fixture(params=["whole", "streamed"])
    def found(
        self, request: pytest.FixtureRequest, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Source:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
        read: Callable[..., Source] = stream_hub if request.param == "streamed" else read_hub
        return read(f"hf:{shards}", Decoding(cache=tmp_path / "cache", workers=1))

    def test_images_and_labels(self, found: Source, shards: Path) -> None:
        assert found.name == shards.name
        assert {part: x.shape for part, x in found.x.items()} == {"train": (42, 3, 6, 5), "test": (14, 3, 6, 5)}
        for part, first in (("train", 0), ("test", 42)):
            pixels = found.x[part][0 : len(found.x[part])]
            expected = np.arange(first, first + len(pixels))
            np.testing.assert_array_equal(pixels[:, 0, 0, 0], expected)
            assert pixels.dtype == np.uint8
            np.testing.assert_array_equal(found.labels[part], expected % 3)
        assert found.label_names == NAMES
        assert "number, grid" in found.report

    @pytest.mark.parametrize("read", [read_hub, stream_hub], ids=["whole", "streamed"])
    def test_arrays_and_tables(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[..., Source]
    ) -> None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
        table = {"count": [0, 3, 5, 1], "real": [0.5, -1.0, 2.0, 3.5], "word": list("abcd")}
        for name, columns in (("t", table), ("a", {**table, "grid": [[[n, 1], [2, 3]] for n in range(4)]})):
            (tmp_path / name).mkdir()
            datasets.Dataset.from_dict(columns).to_parquet(tmp_path / name / "train.parquet")
        found = read(f"hf:{tmp_path / 't'}", Decoding())
        assert found.x["all"][0:4].tolist() == [[0, 0.5], [3, -1], [5, 2], [1, 3.5]]
        assert found.column_names == ("count", "real")
        assert found.columns == ((Count(), Real()) if read is read_hub else ())
        grids = read(f"hf:{tmp_path / 'a'}", Decoding())
        assert grids.x["all"][1:3].tolist() == [[[1, 1], [2, 3]], [[2, 1], [2, 3]]]

    @pytest.mark.parametrize(
        ("columns", "told"),
        [
            ({"word": ["a", "b"]}, "no column of images, arrays or numbers"),
            ({"list": [[1.0], [1.0, 2.0]]}, "lists of different lengths"),
            ({"count": [1, None]}, "lacks 1 of its values"),
        ],
        ids=["words", "ragged", "missing"],
    )
    def test_what_is_no_data(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, list[object]], told: str
    ) -> None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
        (tmp_path / "x").mkdir()
        datasets.Dataset.from_dict(columns).to_parquet(tmp_path / "x/train.parquet")
        with pytest.raises(DataError, match=told):
            read_hub(f"hf:{tmp_path / 'x'}", Decoding())

    def test_damaged_shard(self, tmp_path: Path) -> None:
        (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(DataError, match=r"train\.parquet"):
            stream_hub(tmp_path, Decoding())

    def test_other_files_are_not_streamed(self, tmp_path: Path) -> None:
        (tmp_path / "train.csv").write_text("a,b\n1,2\n")
        with pytest.raises(DataError, match="not stored as parquet"):
            stream_hub(tmp_path, Decoding())

    @pytest.mark.parametrize("name", ["mnist", "hf:nobody/nothing"])
    @pytest.mark.parametrize("read", [read_hub, stream_hub])
    def test_no_connection(self, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[..., Source]) -> None:
        def unreachable(address: str) -> object:
            raise ConnectionError(f"Couldn't reach '{address}' on the Hub")

        for function in ("load_dataset", "load_dataset_builder"):
            monkeypatch.setattr(datasets, function, unreachable)
        with pytest.raises(DataError, match=r"cannot be had from the Hugging Face hub \(Couldn't reach '\w+/\w+'"):
            read(name, Decoding())

    def test_missing_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(DataError, match=r"pip install 'vaekit\[hub\]'"):
            read_hub("mnist", Decoding())

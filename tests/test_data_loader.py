"""Laws of training batches: what one process sees, several see together; the order is a function of seed and epoch alone."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import vaekit.data as vd
from vaekit.data.batches import Loader
from vaekit.data.resident import ResidentLoader
from vaekit.errors import ConfigError, DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 1, 3, 3)).astype(np.uint8)

rows = st.integers(1, 40)
sizes = st.integers(1, 45)
worlds = st.integers(1, 3)


def loader_of(count: int, size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> ResidentLoader:
    """Rows that say which they are, with a context that says it too."""
    x = torch.arange(count)
    return ResidentLoader(x[:, None], [10 * x[:, None]], lambda v: v.double(), size, seed=seed, rank=rank, world=world)


def ids(loader: Loader, epoch: int, start: int = 0) -> list[list[int]]:
    return [batch.given[0][:, 0].int().tolist() for batch in loader.epoch(epoch, start)]


@given(rows, sizes, worlds, st.integers(0, 3))
def test_processes_share_each_global_batch(count: int, size: int, world: int, epoch: int) -> None:
    alone = loader_of(count, size)
    ranks = [loader_of(count, size, rank=rank, world=world) for rank in range(world)]
    assert {loader.steps for loader in ranks} == {alone.steps} == {len(list(alone.epoch(epoch)))}
    for whole, *parts in zip(alone.epoch(epoch), *(loader.epoch(epoch) for loader in ranks), strict=True):
        held = [part for part in parts if part.share > 0]
        assert torch.equal(torch.cat([part.given[0] for part in held]), whole.given[0])
        assert all(torch.equal(part.given[1], 10 * part.given[0]) for part in parts)
        assert all(len(part.given[0]) == 1 for part in parts if part.share == 0)
        assert sum(part.share for part in parts) == pytest.approx(world)
        mean = sum(part.share * part.given[0].mean() for part in parts) / world
        assert mean == pytest.approx(whole.given[0].mean())


@given(rows, sizes, st.integers(0, 3))
def test_an_epoch_is_every_row_once(count: int, size: int, epoch: int) -> None:
    batches = ids(loader_of(count, size), epoch)
    assert sorted(chain(*batches)) == list(range(count))
    assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)


@given(rows, sizes, st.integers(0, 60), worlds)
def test_resuming_within_an_epoch_gives_the_rest_of_it(count: int, size: int, start: int, world: int) -> None:
    loader = loader_of(count, size, rank=world - 1, world=world)
    assert ids(loader, 2, start) == ids(loader, 2)[start:]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    reference = ids(loader_of(30, 4, seed=5), 1)
    torch.rand(3)
    loader = loader_of(30, 4, seed=5)
    ids(loader, 0)
    assert ids(loader, 1) == reference
    assert ids(loader, 2) != reference
    assert ids(loader_of(30, 4, seed=6), 1) != reference
    assert [*chain(*ids(loader_of(30, 7, seed=5), 1))] == [*chain(*reference)]


@pytest.mark.parametrize(("count", "size", "error"), [(5, 0, ConfigError), (0, 3, DataError)])
def test_batches_need_rows(count: int, size: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"`batch_size`|no rows"):
        loader_of(count, size)


def as_float(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(x)).float()


SOURCES = {
    "bytes": (IMAGES, as_float(IMAGES) / 255),
    "binary": (IMAGES % 2, as_float(IMAGES % 2)),
    "whole floats": (IMAGES.astype(np.float64), as_float(IMAGES) / 255),
    "whole integers": (IMAGES.astype(np.int64), as_float(IMAGES) / 255),
    "whole 16-bit integers": (IMAGES.astype(np.uint16), as_float(IMAGES) / 255),
    "16 bits": (IMAGES.astype(np.uint16) * 257, as_float(IMAGES) / 255),
    "real": (
        np.linspace(-1, 3, 150).reshape(50, 3),
        torch.linspace(-1, 3, 150, dtype=torch.float64).reshape(50, 3).float(),
    ),
    "half": (
        torch.linspace(-1, 3, 150).half().reshape(50, 3),
        torch.linspace(-1, 3, 150).half().float().reshape(50, 3),
    ),
    "17 levels": (vd.Source("grey", {"train": IMAGES % 17}, levels=17), as_float(IMAGES % 17) / 16),
}


@pytest.mark.parametrize("name", SOURCES)
def test_training_and_evaluation_read_the_same_values(name: str) -> None:
    source, values = SOURCES[name]
    data = vd.open(source, transforms=[], validation=0, test=0)
    judged = torch.cat([x for x, *_ in data.batches("train", 7)])
    torch.testing.assert_close(judged, values)
    loader = data.loader(8, device="cpu", seed=0)
    assert isinstance(loader, ResidentLoader)
    trained = torch.cat([b.given[0] for b in loader.epoch(0)])
    assert torch.equal(trained, judged[loader.order(0)])
    assert trained.dtype == torch.float32


def test_bytes_stay_bytes_on_the_device() -> None:
    loader = vd.open(IMAGES, transforms=[vd.Binarize()]).loader(8, device="cpu", seed=0)
    assert isinstance(loader, ResidentLoader)
    assert loader.x.dtype == torch.uint8


def test_rows_taken_by_hand_are_those_of_a_batch() -> None:
    data = vd.open((IMAGES, np.arange(50) % 3), transforms=[], context=True)
    loader = data.loader(8, device="cpu", seed=0)
    assert isinstance(loader, ResidentLoader)
    x, c = loader.take(loader.order(1)[:8])
    first = next(loader.epoch(1)).given
    assert torch.equal(x, first[0])
    assert torch.equal(c, first[1])
    assert c.shape == (8, 3)


@pytest.mark.parametrize("resident", [True, False])
def test_processes_share_the_batches_of_opened_data(resident: bool, tmp_path: object) -> None:
    path = f"{tmp_path}/images.npy"
    np.save(path, IMAGES)
    data = vd.open(vd.Source("mapped", {"all": np.load(path, mmap_mode="r")}), transforms=[])
    alone, first, second, other = (
        [b.given[0] for b in data.loader(7, device="cpu", seed=s, rank=r, world=w, resident=resident).epoch(1)]
        for s, r, w in ((3, 0, 1), (3, 0, 2), (3, 1, 2), (4, 0, 1))
    )
    assert all(torch.equal(a, torch.cat(parts)) for a, *parts in zip(alone, first, second, strict=True))
    assert not torch.equal(torch.cat(alone), torch.cat(other))


@pytest.mark.parametrize("resident", [True, False])
def test_a_mapped_file_is_read_as_the_array_is(resident: bool, tmp_path: object) -> None:
    path = f"{tmp_path}/images.npy"
    np.save(path, IMAGES)
    mapped = vd.open(vd.Source("mapped", {"all": np.load(path, mmap_mode="r")}), transforms=[], seed=4)
    held = vd.open(IMAGES, transforms=[], seed=4)
    for split in ("train", "validation", "test"):
        (a,), (b,) = (next(iter(d.batches(split, 100))) for d in (mapped, held))
        assert torch.equal(a, b)
    loader = mapped.loader(8, device="cpu", seed=0, resident=resident)
    seen = torch.cat([b.given[0] for b in loader.epoch(0)]).flatten(1)
    (values,) = next(iter(held.batches("train", 100)))
    assert sorted(seen.tolist()) == sorted(values.flatten(1).tolist())
    assert not torch.equal(seen, values.flatten(1))

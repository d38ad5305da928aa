"""Folders of images and CelebA: layouts, modes, sizes, and what is missing or damaged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pictures import paint, paint_celeba, paint_ten
from PIL import Image

from vaekit.data import celeba, images
from vaekit.data.decoding import Geometry, decode
from vaekit.data.source import Decoding, Source
from vaekit.errors import ConfigError, DataError


@pytest.fixture
def decoding(tmp_path: Path) -> Decoding:
    return Decoding(cache=tmp_path / "cache", workers=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_ten(tmp_path / "images")


class TestDecoding:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_mode_becomes_8_bit(self, mode: str, channels: int) -> None:
        level = 255 if mode == "1" else 200
        grey = Image.new("RGBA", (5, 6), (level, level, level, 255))
        image = Image.fromarray(np.full((6, 5), level * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
        buffer = BytesIO()
        image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
        pixels = decode(buffer, Geometry(6, 5, channels))
        assert pixels.shape == (channels, 6, 5)
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(float) - level).max() <= 1

    def test_transparency_lies_on_white(self) -> None:
        buffer = BytesIO()
        Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(buffer, "PNG")
        assert (decode(buffer, Geometry(2, 2)) == 255).all()

    def test_same_size_is_exact(self) -> None:
        values = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        buffer = BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        np.testing.assert_array_equal(decode(buffer, Geometry(7, 9)), values.transpose(2, 0, 1))

    def test_crop_is_central_and_reduction_averages_areas(self) -> None:
        values = np.random.default_rng(0).integers(0, 256, (22, 18), dtype=np.uint8)
        buffer = BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        rounded_twice = 1.0
        means = values[4:18, 2:16].reshape(7, 2, 7, 2).mean((1, 3))
        pixels = decode(buffer, Geometry(7, 7, channels=1, crop=14))
        assert np.abs(pixels[0] - means).max() <= rounded_twice

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_exif_orientation(self, turn: int) -> None:
        upright = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: np.rot90(upright),
            7: upright[::-1, ::-1].T,
            8: np.rot90(upright, -1),
        }[turn]
        exif = Image.Exif()
        exif[0x0112] = turn
        buffer = BytesIO()
        Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG", exif=exif)
        np.testing.assert_array_equal(decode(buffer, Geometry(4, 6, channels=1))[0], upright)

    def test_large_jpeg_reduced_by_its_decoder_is_the_same_picture(self) -> None:
        across = np.linspace(0, 255, 1600).astype(np.uint8)
        buffer = BytesIO()
        Image.fromarray(np.broadcast_to(across, (1200, 1600)).copy()).save(buffer, "JPEG", quality=95)
        expected = across[200:1400].reshape(16, 75).mean(1)
        assert np.abs(decode(buffer, Geometry(16, 16, channels=1)) - expected).max() < 2


class TestFolder:
    def test_mixed_sizes_and_modes(self, tmp_path: Path, decoding: Decoding) -> None:
        for i, (mode, suffix) in enumerate(
            [("RGB", "jpg"), ("L", "png"), ("P", "gif"), ("CMYK", "tif"), ("RGBA", "webp")]
        ):
            paint(tmp_path / "x" / f"{i}.{suffix}", (20 + 30 * i, 90 - 10 * i), mode)
        found = images.read_folder(tmp_path / "x", decoding)
        assert found.x["all"].shape == (5, 3, 64, 64)
        assert found.x["all"].dtype == np.uint8
        assert "differ in size" in found.report

    def test_one_small_size_is_kept(self, folder: Path, decoding: Decoding) -> None:
        found = images.read_folder(folder, decoding)
        assert found.x["all"].shape == (10, 3, 8, 10)
        assert isinstance(found.x["all"], np.memmap)
        with Image.open(folder / "3.png") as image:
            np.testing.assert_array_equal(found.x["all"][3], np.asarray(image).transpose(2, 0, 1))

    @pytest.mark.parametrize(
        ("asked", "shape"),
        [
            (Decoding(size=4), (3, 4, 4)),
            (Decoding(size=(4, 6), channels=1), (1, 4, 6)),
            (Decoding(crop=5), (3, 5, 5)),
            (Decoding(crop=50, size=16), (3, 16, 16)),
        ],
    )
    def test_shape_asked_for(self, folder: Path, decoding: Decoding, asked: Decoding, shape: tuple[int, ...]) -> None:
        found = images.read_folder(folder, replace(asked, cache=decoding.cache, workers=1))
        assert found.x["all"].shape[1:] == shape

    def test_grey_images_have_one_channel(self, tmp_path: Path, decoding: Decoding) -> None:
        paint(tmp_path / "x" / "a.png", mode="L")
        paint(tmp_path / "x" / "b.png", mode="1")
        assert images.read_folder(tmp_path / "x", decoding).x["all"].shape == (2, 1, 8, 10)

    def test_large_images_are_reduced(self, tmp_path: Path, decoding: Decoding) -> None:
        paint(tmp_path / "x" / "a.png", (200, 150))
        found = images.read_folder(tmp_path / "x", decoding)
        assert found.x["all"].shape == (1, 3, 64, 64)
        assert "larger than 128" in found.report

    def test_class_folders_give_labels(self, tmp_path: Path, decoding: Decoding) -> None:
        for name in ("dog/1.png", "cat/a/2.png", "dog/3.png"):
            paint(tmp_path / "x" / name)
        found = images.read_folder(tmp_path / "x", decoding)
        assert found.label_names == ("cat", "dog")
        assert found.labels["all"].tolist() == [0, 1, 1]

    @pytest.mark.parametrize("names", [("a/1.png", "2.png"), ("a/1.png", "a/2.png")], ids=["stray", "one class"])
    def test_no_labels_without_classes(self, tmp_path: Path, decoding: Decoding, names: Sequence[str]) -> None:
        for name in names:
            paint(tmp_path / "x" / name)
        found = images.read_folder(tmp_path / "x", decoding)
        assert (found.labels, found.label_names) == ({}, ())

    def test_split_folders(self, tmp_path: Path, decoding: Decoding) -> None:
        for i, name in enumerate(("train/b/1.png", "train/a/2.png", "val/a/3.png", "test/b/4.png")):
            paint(tmp_path / "x" / name, seed=i)
        found = images.read_folder(tmp_path / "x", decoding)
        assert {part: rows.tolist() for part, rows in found.labels.items()} == {
            "train": [0, 1],
            "validation": [0],
            "test": [1],
        }
        with Image.open(tmp_path / "x/test/b/4.png") as image:
            np.testing.assert_array_equal(found.x["test"][0], np.asarray(image).transpose(2, 0, 1))

    @pytest.mark.parametrize("kept", [0, 20, 200], ids=["empty", "header", "cut"])
    def test_damaged_files_are_named_and_counted(self, folder: Path, decoding: Decoding, kept: int) -> None:
        for name in ("2.png", "7.png"):
            (folder / name).write_bytes((folder / name).read_bytes()[:kept])
        with pytest.raises(DataError, match=r"2 of 10 images cannot be decoded: .*2\.png \(.*7\.png"):
            images.read_folder(folder, decoding)
        assert not list(Path(decoding.cache or "").glob("images/*/*"))

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG"])
    def test_what_is_no_image_is_refused_in_words(self, folder: Path, decoding: Decoding, content: bytes) -> None:
        (folder / "2.png").write_bytes(content)
        with pytest.raises(DataError, match=r"2\.png \(it is no image that Pillow reads\)\. Remove"):
            images.read_folder(folder, decoding)

    def test_empty_folder(self, tmp_path: Path, decoding: Decoding) -> None:
        (tmp_path / "notes.txt").touch()
        (tmp_path / ".hidden.png").touch()
        assert not images.holds_images(tmp_path)
        with pytest.raises(DataError, match="holds no images"):
            images.read_folder(tmp_path, decoding)

    @pytest.mark.parametrize("wrong", [{"size": 0}, {"size": (4,)}, {"channels": 2}, {"workers": 0}, {"crop": -1}])
    def test_senseless_options(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Decoding(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """CelebA's layout with seven faces."""
    return paint_celeba(tmp_path / "celeba", (2, 0, 0, 1, 0, 2, 0))


class TestCelebA:
    def read(self, folder: Path, decoding: Decoding) -> Source:
        assert celeba.is_celeba(folder)
        return celeba.read_celeba(folder, decoding)

    def test_partition_and_attributes(self, faces: Path, decoding: Decoding) -> None:
        found = self.read(faces, decoding)
        assert {part: x.shape for part, x in found.x.items()} == {
            "train": (4, 3, 64, 64),
            "validation": (1, 3, 64, 64),
            "test": (2, 3, 64, 64),
        }
        assert found.label_names == ("Bald", "Young")
        assert found.labels["train"].tolist() == [[0, 0], [1, 0], [1, 1], [1, 1]]
        with (faces / "img_align_celeba/img_align_celeba/000004.jpg").open("rb") as file:
            np.testing.assert_array_equal(found.x["validation"][0], decode(file, Geometry(64, 64, crop=148)))

    def test_official_layout(self, faces: Path, decoding: Decoding) -> None:
        kaggle = self.read(faces, decoding)
        for place, name, skipped in (("Eval", "partition", 1), ("Anno", "celeba", 0)):
            (csv,) = faces.glob(f"list_*_{name}.csv")
            lines = [line.replace(",", " ") for line in csv.read_text().split("\n")[skipped:]]
            lines = lines if skipped else ["7", lines[0].removeprefix("image_id "), *lines[1:]]
            (faces / place).mkdir()
            (faces / place / f"{csv.stem}.txt").write_text("\n".join(lines))
            csv.unlink()
        (faces / "Img").mkdir()
        (faces / "img_align_celeba/img_align_celeba").rename(faces / "Img/img_align_celeba")
        (faces / "img_align_celeba").rmdir()
        official = self.read(faces, decoding)
        assert official.label_names == kaggle.label_names
        for part, x in kaggle.x.items():
            np.testing.assert_array_equal(official.x[part][:], x[:])
            np.testing.assert_array_equal(official.labels[part], kaggle.labels[part])

    def test_missing_files(self, faces: Path, decoding: Decoding) -> None:
        for name in ("000002.jpg", "000006.jpg"):
            (faces / "img_align_celeba/img_align_celeba" / name).unlink()
        with pytest.raises(DataError, match=r"2 of the 7 files .* missing .*000002\.jpg.*`allow_missing`.* the 5"):
            self.read(faces, decoding)
        found = self.read(faces, replace(decoding, allow_missing=True))
        assert {part: len(x) for part, x in found.x.items()} == {"train": 3, "validation": 1, "test": 1}
        assert "2 of the 7 files" in found.report

    def test_all_files_missing(self, faces: Path, decoding: Decoding) -> None:
        shutil.rmtree(faces / "img_align_celeba/img_align_celeba")
        (faces / "img_align_celeba/img_align_celeba").mkdir()
        with pytest.raises(DataError, match="7 of the 7 files"):
            self.read(faces, replace(decoding, allow_missing=True))

    def test_partition_of_another_kind(self, faces: Path, decoding: Decoding) -> None:
        with (faces / "list_eval_partition.csv").open("a") as file:
            file.write("\n000008.jpg,3")
        with pytest.raises(DataError, match="partition '3'"):
            self.read(faces, decoding)

    def test_attributes_of_some_faces_only(self, faces: Path, decoding: Decoding) -> None:
        attributes = faces / "list_attr_celeba.csv"
        attributes.write_text("\n".join(attributes.read_text().split("\n")[:-1]))
        found = self.read(faces, decoding)
        assert found.labels == {}
        assert "none for 1 of the images" in found.report

    def test_sample(self, shared_data: Path, tmp_path: Path) -> None:
        found = self.read(shared_data / "celeba-sample", Decoding(cache=tmp_path))
        assert {part: x.shape for part, x in found.x.items()} == {
            "train": (2400, 3, 64, 64),
            "validation": (300, 3, 64, 64),
            "test": (300, 3, 64, 64),
        }
        assert {part: labels.shape for part, labels in found.labels.items()} == {
            "train": (2400, 40),
            "validation": (300, 40),
            "test": (300, 40),
        }
        assert 0.4 < float(found.labels["train"][:, found.label_names.index("Smiling")].mean()) < 0.6
        assert 90 < float(found.x["train"][:].mean()) < 140

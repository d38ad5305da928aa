"""Pictures, pixel by pixel: which place of a figure shows what."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from painting import painting, without_mean
from PIL import Image
from scipy.stats import norm

from vaekit import figures
from vaekit.errors import ConfigError, ShapeError


def cell(image: figures.Image, row: int, column: int, height: int = 2, width: int = 2, gap: int = 1) -> np.ndarray:
    """Cut one cell out of a grid."""
    top, left = row * (height + gap), column * (width + gap)
    return image[top : top + height, left : left + width]


def shades(x: torch.Tensor) -> np.ndarray:
    """Give the pixels that one grey image, shape (1, H, W), must have."""
    return (x[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 1, 3, 4), (5, 3, 4)), ((5, 3, 4), (5, 3, 4)), ((5, 3, 3, 4), (5, 3, 4, 3)), ((5, 2, 3, 4), (5, 3, 8))],
)
@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.numpy()])
def test_channels_become_grey_or_colour_or_stand_side_by_side(shape, expected, convert):
    x = torch.rand(shape)
    found = figures.pixels(convert(x))
    assert found.shape == expected
    channels = x[:, None] if len(shape) == 3 else x
    last = np.rint(channels[-1, -1].numpy() * 255)
    np.testing.assert_array_equal(found[-1, ..., -1] if expected[-1] == 3 else found[-1, :, -4:], last)


def test_values_are_clipped_for_display_alone():
    x = torch.tensor([[[[-1.0, 0.0, 0.2, 1.0, 7.0, torch.nan]]]])
    assert figures.pixels(x).tolist() == [[[0, 0, 51, 255, 255, 0]]]
    assert x[0, 0, 0, 0] == -1


def test_vectors_are_not_images():
    with pytest.raises(ShapeError, match="marginals"):
        figures.pixels(torch.zeros(5, 784))
    assert not figures.is_image((784,))
    assert not figures.is_image((3, 1, 784))
    assert figures.is_image((28, 28))


@given(st.integers(1, 13), st.integers(1, 6), st.integers(0, 3), st.sampled_from([(), (3,)]))
def test_every_pixel_of_a_grid_is_accounted_for(count, columns, gap, channels):
    cells = np.random.default_rng(0).integers(0, 255, (count, 2, 3, *channels), np.uint8)
    found = figures.grid(cells, columns, gap)
    width = min(columns, count)
    rows = -(-count // width)
    assert found.shape == (rows * 2 + (rows - 1) * gap, width * 3 + (width - 1) * gap, *channels)
    for i in range(count):
        np.testing.assert_array_equal(cell(found, i // width, i % width, 2, 3, gap), cells[i])
    assert (found != 255).sum() == (cells != 255).sum()


def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_left_alone():
    small, large = np.arange(6, dtype=np.uint8).reshape(2, 3), np.zeros((700, 900, 3), np.uint8)
    shown = figures.shown(small)
    factor = shown.shape[1] // 3
    np.testing.assert_array_equal(shown, figures.enlarge(small, factor))
    np.testing.assert_array_equal(shown[::factor, ::factor], small)
    np.testing.assert_array_equal(figures.shown(large), large)


@pytest.mark.parametrize(
    "labels", [{}, {"x_label": "z0", "y_label": "z1", "x_ticks": list("abc"), "y_ticks": ["one", "two"]}]
)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_framed_image_keeps_its_pixels(labels, channels):
    image = np.random.default_rng(0).integers(0, 256, (8, 12, *channels), np.uint8)
    picture = figures.framed(image, "title", **labels)
    drawn, sheet = figures.render(picture), figures.shown(image)
    box = picture.axes[0].get_window_extent()
    top, left = drawn.shape[0] - round(box.y1), round(box.x0)
    inside = drawn[top : top + sheet.shape[0], left : left + sheet.shape[1]]
    colour = sheet if channels else np.repeat(sheet[..., None], 3, -1)
    np.testing.assert_array_equal(inside, colour)
    assert [t.get_text() for t in picture.axes[0].get_xticklabels()] == labels.get("x_ticks", [])


@given(st.floats(-100, 100), st.floats(0.1, 100), st.integers(2, 30), st.booleans())
def test_coordinates_of_cells_are_told_by_round_numbers_where_they_lie(low, width, count, falls):
    axis = figures.linear_axis(low, low + width, count)
    picture = figures.framed(np.zeros((8, 12), np.uint8), "title", x_ticks=axis.flip(0) if falls else axis)
    (axes,) = picture.axes
    size = axes.images[0].get_array().shape[1]
    cells = (axes.get_xticks() / size * count - 0.5) / (count - 1)
    told = [float(label.get_text()) for label in axes.get_xticklabels()]
    np.testing.assert_allclose(told, low + width * (1 - cells if falls else cells), atol=1e-3 * (abs(low) + width))
    steps = np.abs(np.diff(told))
    assert len(told) <= 8
    assert all(float(f"{step / 10 ** np.floor(np.log10(step)):.3f}") in (1, 2, 5, 10) for step in steps)


def test_reconstructions_stand_below_their_originals():
    x = torch.rand(7, 1, 2, 2)
    found = figures.reconstructions(painting(gain=0.5), x, columns=3)
    assert found.shape == (6 * 2 + 5, 3 * 2 + 2)
    for i, image in enumerate(x):
        row, column = 2 * (i // 3), i % 3
        np.testing.assert_array_equal(cell(found, row, column), shades(image))
        np.testing.assert_array_equal(cell(found, row + 1, column), shades(0.5 * image))
    assert (found[-5:, 3:] == 255).all()


def test_a_posterior_without_a_mean_is_reconstructed_from_a_draw_by_the_seed():
    model, x = without_mean(painting(log_scale=-2.0)), torch.full((3, 1, 2, 2), 0.5)
    found = figures.reconstructions(model, x, columns=3)
    np.testing.assert_array_equal(found, figures.reconstructions(model, x, columns=3))
    assert not np.array_equal(found, figures.reconstructions(model, x, columns=3, seed=1))
    assert len({cell(found, 1, column).tobytes() for column in range(3)}) == 3
    paths = [figures.interpolations(model, x, x, steps=3, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(*paths[:2])
    assert not np.array_equal(*paths[1:])


def test_draws_stand_beside_their_original_and_differ():
    model, x = painting(log_scale=-2.0), torch.full((3, 1, 2, 2), 0.5)
    found = figures.draws(model, x, count=4)
    for row in range(3):
        np.testing.assert_array_equal(cell(found, row, 0), shades(x[row]))
    drawn = {cell(found, row, column).tobytes() for row in range(3) for column in range(1, 5)}
    assert len(drawn) == 12
    np.testing.assert_array_equal(found, figures.draws(model, x, count=4))
    assert not np.array_equal(found, figures.draws(model, x, count=4, seed=1))


def test_samples_come_from_the_prior_twelve_a_row_and_leave_the_random_state_alone():
    model, before = painting(), torch.get_rng_state()
    found = figures.samples(model)
    assert found.shape == (12 * 2 + 11, 12 * 2 + 11)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(found, figures.samples(model))
    share_of_black = np.mean([cell(found, i // 12, i % 12) == 0 for i in range(144)])
    assert share_of_black == pytest.approx(0.5, abs=0.08)
    assert not np.array_equal(found, figures.samples(model, mean=False))


def test_a_picture_of_no_sample_is_refused():
    with pytest.raises(ConfigError, match=r"^`count` is 0; it must be a whole number, at least 1"):
        figures.samples(painting(), count=0)


def test_samples_under_conditions_follow_them_row_by_row():
    context = torch.tensor([[9.0], [-9.0], [9.0]])
    found = figures.samples(painting(), context, columns=3)
    assert [cell(found, 0, i).mean() for i in range(3)] == [255, 0, 255]


def test_axes_of_grids():
    torch.testing.assert_close(figures.linear_axis(-1, 3, 5), torch.tensor([-1.0, 0, 1, 2, 3]))
    expected = norm.ppf((np.arange(20) + 0.5) / 20)
    np.testing.assert_allclose(figures.normal_axis(20), expected, atol=1e-5)
    codes = torch.tensor([[0.0, 5.0, -1.0], [2.0, 6.0, 1.0]])
    horizontal, vertical = figures.code_axes(codes, count=3, dims=(2, 0))
    assert (horizontal.tolist(), vertical.tolist()) == ([-1, 0, 1], [0, 1, 2])


def test_a_manifold_grows_to_the_right_and_upwards():
    horizontal, vertical = torch.linspace(0, 1, 3), torch.linspace(0.2, 0.8, 4)
    found = figures.manifold(painting((1, 1, 2)), horizontal, vertical)
    assert found.shape == (4, 6)
    np.testing.assert_array_equal(found[:, ::2], np.rint(horizontal.numpy() * 255)[None].repeat(4, 0))
    np.testing.assert_array_equal(found[:, 1::2], np.rint(vertical.flip(0).numpy() * 255)[:, None].repeat(3, 1))


def test_a_manifold_of_many_latents_holds_the_others_still():
    center = torch.tensor([0.1, 0.2, 0.3, 0.4])
    found = figures.manifold(painting(), torch.zeros(2), torch.ones(2), dims=(2, 1), center=center)
    np.testing.assert_array_equal(found[:2, :2], [[26, 255], [0, 102]])
    assert figures.manifold(painting(), torch.zeros(2), torch.zeros(2), torch.ones(1, 1)).min() == 255


@pytest.mark.parametrize("dims", [(0, 0), (0, 4), (-1, 1)])
def test_a_manifold_needs_two_latents_that_exist(dims):
    with pytest.raises(ConfigError, match="two different latents of 4"):
        figures.manifold(painting(), torch.zeros(2), torch.zeros(2), dims=dims)


vectors = st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(torch.tensor)


@pytest.mark.parametrize("path", [figures.straight, figures.spherical])
@given(start=vectors, stop=vectors)
def test_paths_begin_and_end_where_they_should_and_stay_finite(path, start, stop):
    found = path(start, stop, 6)
    assert found.shape == (6, 3)
    assert found.isfinite().all()
    torch.testing.assert_close(found[[0, -1]], torch.stack([start, stop]), rtol=0, atol=2e-3)


def test_a_straight_path_is_even_and_an_arc_keeps_its_radius_and_speed():
    start, stop = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 2.0], [-2.0, 0.0]])
    line, arc = figures.straight(start, stop, 5), figures.spherical(start, stop, 5)
    torch.testing.assert_close(line[1], 0.75 * start + 0.25 * stop)
    torch.testing.assert_close(arc.norm(dim=-1), torch.full((5, 2), 2.0))
    steps = arc.diff(dim=0).norm(dim=-1)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


@pytest.mark.parametrize(("arc", "path"), [(False, figures.straight), (True, figures.spherical)])
def test_interpolations_run_from_one_image_to_the_other(arc, path):
    first, last = torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    found = figures.interpolations(painting(gain=0.5), first, last, steps=4, arc=arc)
    codes = path(0.5 * first.flatten(1), 0.5 * last.flatten(1), 4)
    for row in range(2):
        expected = [first[row], *codes[:, row].unflatten(-1, (1, 2, 2)), last[row]]
        for column, image in enumerate(expected):
            np.testing.assert_allclose(cell(found, row, column), shades(image), atol=1)


def test_a_traversal_moves_one_latent_a_row():
    center, scale = torch.full((4,), 0.5), torch.tensor([0.1, 0.1, 0.05, 0.1])
    found = figures.traversals(painting(), center, latents=[3, 2], scale=scale, deviations=2.0, steps=3)
    assert found.shape == (5, 8)
    for row, (latent, width) in enumerate([(3, 0.2), (2, 0.1)]):
        for column, shift in enumerate([-width, 0, width]):
            expected = center.clone()
            expected[latent] += shift
            np.testing.assert_allclose(cell(found, row, column).ravel(), np.rint(expected.numpy() * 255), atol=1)


def test_categories_change_one_group_a_row():
    code = torch.tensor([1.0, 0.0, 0.0, 1.0])
    found = figures.categories(painting(), code, groups=[1, 0], categories=2)
    shown = [[(cell(found, r, c).ravel() // 255).tolist() for c in range(2)] for r in range(2)]
    assert shown == [[[1, 0, 1, 0], [1, 0, 0, 1]], [[1, 0, 0, 1], [0, 1, 0, 1]]]


@pytest.mark.parametrize(
    "picture", [np.zeros((3, 4), np.uint8), np.zeros((3, 4, 3), np.uint8), figures.embedding(torch.rand(4, 2))]
)
def test_pictures_become_files(tmp_path, picture):
    path = figures.save(picture, tmp_path / "new" / "picture.png")
    with Image.open(path) as file:
        np.testing.assert_array_equal(np.asarray(file), figures.shown(picture))
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]


def test_importing_figures_leaves_pyplot_alone():
    program = "import sys, vaekit.figures, vaekit.runs.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

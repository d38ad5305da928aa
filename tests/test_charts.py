"""Charts: what is drawn where, read back from the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaekit import figures
from vaekit.errors import ShapeError

HISTORY = {
    "train": {
        "step": [10.0, 20.0, 30.0],
        "epoch": [1.0, 2.0, 3.0],
        "loss": [9.0, 8.0, 7.0],
        "learning_rate": [3e-3, 2e-3, 1e-3],
    },
    "validation": {"step": [20.0, 30.0], "epoch": [2.0, 3.0], "loss": [8.5, 7.5], "rate": [1.0, 2.0]},
}


def texts(axes) -> list[str]:
    return [t.get_text() for t in axes.get_legend().get_texts()]


def ticks(axis) -> list[tuple[float, str]]:
    return [(tick, label.get_text()) for tick, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)]


@pytest.mark.filterwarnings("error")
def test_principal_components_are_those_of_the_covariance():
    codes = torch.randn(50, 4).double() @ torch.diag(torch.tensor([1.0, 3.0, 0.1, 2.0]).double()) + 5
    found = figures.pca(codes)
    eigenvalues = np.linalg.eigvalsh(np.cov(codes.T))[::-1]
    torch.testing.assert_close(found.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.cov(found.T), np.diag(eigenvalues[:2]), atol=1e-10)
    torch.testing.assert_close(figures.pca(codes.flip(0)), found.flip(0))


def test_neighbours_stay_neighbours_in_tsne_and_the_seed_decides():
    codes = torch.cat([torch.randn(20, 5), torch.randn(20, 5) + 30])
    found = figures.tsne(codes)
    assert found.shape == (40, 2)
    distance = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert (distance.argmin(1) // 20 == torch.arange(40) // 20).all()
    torch.testing.assert_close(figures.tsne(codes), found)


@pytest.mark.parametrize("project", [figures.pca, figures.tsne])
@pytest.mark.parametrize("shape", [(1, 4), (9, 1), (9,)])
def test_what_cannot_be_projected_is_refused(project, shape):
    with pytest.raises(ShapeError, match="both at least 2"):
        project(torch.zeros(shape))


@pytest.mark.parametrize("convert", [torch.as_tensor, np.asarray])
def test_classes_get_colours_and_names(convert):
    points, labels = torch.arange(10.0).reshape(5, 2), convert([2, 0, 0, 7, 2])
    axes = figures.embedding(points, labels, label_names=["cat", "dog", "owl"], names=("left", "up")).axes[0]
    assert texts(axes) == ["cat", "owl", "7"]
    drawn = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    assert drawn == {"cat": [[2, 3], [4, 5]], "owl": [[0, 1], [8, 9]], "7": [[6, 7]]}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("left", "up")


@pytest.mark.parametrize("labels", [torch.rand(25), torch.ones(25), torch.arange(25)])
def test_numbers_and_many_classes_get_a_colour_bar(labels):
    drawn = figures.embedding(torch.rand(25, 2), labels)
    assert len(drawn.axes) == 2
    np.testing.assert_allclose(drawn.axes[0].collections[0].get_array(), labels)


@pytest.mark.parametrize("labels", [torch.arange(500) % 26, torch.arange(500) % 40 + 100])
def test_many_classes_are_counted_in_whole_numbers(labels):
    bar = figures.embedding(torch.rand(500, 2), labels).axes[1]
    assert all(tick == round(tick) for tick in bar.get_yticks())


def test_codes_of_one_latent_are_counted_by_class():
    codes, labels = torch.linspace(-1, 1, 27)[:, None], torch.arange(27) % 3
    axes = figures.histogram(codes, labels, label_names=["cat", "dog"], name="z0").axes[0]
    assert texts(axes) == ["cat", "dog", "2"]
    assert [sum(bar.get_height() for bar in group) for group in axes.containers] == [9, 9, 9]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z0", "examples")
    (plain,) = figures.histogram(codes).axes
    assert sum(bar.get_height() for bar in plain.containers[0]) == 27


def test_codes_of_one_latent_stand_against_labels_that_are_numbers():
    codes, labels = torch.rand(9, 1), torch.rand(9)
    (axes,) = figures.histogram(codes, labels, color="age").axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), torch.stack([codes[:, 0], labels], 1))
    assert axes.get_ylabel() == "age"


def test_points_without_labels_get_neither():
    plain = figures.embedding(torch.rand(5, 2))
    assert len(plain.axes) == 1
    assert plain.axes[0].get_legend() is None
    assert list(plain.axes[0].get_xticks()) == []


def test_every_term_has_its_axes_and_every_split_its_line():
    drawn = {axes.get_title(): axes for axes in figures.curves(HISTORY).axes}
    assert [title.split(",")[0].split(" (")[0] for title in drawn] == ["loss", "learning rate", "rate"]
    loss = next(iter(drawn.values()))
    lines = {line.get_label(): line.get_xydata().tolist() for line in loss.lines}
    assert lines == {"train": [[1, 9], [2, 8], [3, 7]], "validation": [[2, 8.5], [3, 7.5]]}
    assert loss.get_xlabel() == "epoch"
    assert [axes.get_ylabel() for axes in drawn.values()] == ["nats", "", "nats"]
    assert texts(loss) == ["train", "validation"]


@pytest.mark.parametrize(
    ("train", "validation", "limits", "told"),
    [
        ([371_000.0, 40, 35, 30], [45.0, 38, 36, 35], (30, 45), "371,000 (epoch 1)"),
        ([-371_000.0, -40, -35, -30], [-45.0, -38, -36, -35], (-45, -30), "-371,000 (epoch 1)"),
        ([3e9, 2e9, 35, 30], [400.0, 38, 36, 35], (30, 38), "3 values, up to 3.0e+09 (epochs 1 to 2)"),
        ([-2e4, 20, -1, 2], [-5e4, 5, 0, -4], (-4, 20), "2 values, down to -50,000 (epoch 1)"),
        ([117_137.0, 12_268, 12_061, 11_916], [np.nan, 12_128, 11_991, 11_881], (11_881, 12_268), "117,137 (epoch 1)"),
        ([26.0, 0, 0, 0], [0.0, 0, 0, 0], (0, 0), "26 (epoch 1)"),
    ],
)
def test_values_that_would_flatten_the_others_are_told_instead(train, validation, limits, told):
    history = {"train": train, "validation": validation}
    columns = {split: {"epoch": [1.0, 2, 3, 4], "loss": values} for split, values in history.items()}
    figure = figures.curves(columns)
    (axes,) = figure.axes
    margin = 0.05 * (limits[1] - limits[0]) or 0.5
    np.testing.assert_allclose(axes.get_ylim(), (limits[0] - margin, limits[1] + margin))
    assert [text.get_text() for text in axes.texts] == [f"beyond the axis: {told}"]
    np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], [train, validation])
    assert figures.shown(figure).size


@pytest.mark.parametrize(
    "values",
    [
        [540.0, 150, 110, 98, 97, 96.5],
        [1000.0, 300, 100, 40, 5, -50],
        [12.0, 0, 0, 0, 0, 0],
        [30.0, 30, 30, 1e6, 2e6, 3e6],
        [371_000.0, 30],
        [np.nan, np.nan],
    ],
)
def test_other_courses_are_shown_whole(values):
    course = {"train": {"epoch": np.arange(len(values)), "loss": values}}
    (axes,) = figures.curves(course, terms=["loss"], axis="epoch").axes
    assert len(axes.texts) == 0
    low, high = axes.get_ylim()
    assert not any(value < low or value > high for value in values)


def test_several_records_an_epoch_are_drawn_over_steps():
    often = {"train": {**HISTORY["train"], "epoch": [1.0, 1.0, 1.0]}}
    axes = figures.curves(often, terms=["loss"]).axes
    assert [a.get_xlabel() for a in axes] == ["step"]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "no term"),
        ({"train": {"step": [1.0]}}, "no term"),
        ({"train": {"step": [1.0], "loss": [1.0, 2.0]}}, "1 rows"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_refused(history, message):
    with pytest.raises(ShapeError, match=message):
        figures.curves(history)


def test_few_rates_are_lines_by_their_last_value():
    rates = np.array([[1.0, 0.0, 2.0], [1.0, 3.0, 2.0]])
    axes = figures.rates_over_time(rates, [1, 2]).axes[0]
    assert texts(axes) == ["z1", "z2", "z0"]
    assert axes.lines[0].get_ydata().tolist() == [0, 3]


@pytest.mark.parametrize("times", [[3.0], [1.0, 2.0, 4.0]])
def test_many_rates_are_a_heat_map_by_their_last_value(times):
    rates = torch.rand(len(times), 40)
    axes = figures.rates_over_time(rates, times).axes[0]
    order = rates[-1].argsort(descending=True)
    shown = axes.collections[0].get_array().reshape(40, len(times))
    np.testing.assert_allclose(shown, rates[:, order].T)
    low, high = axes.get_xlim()
    assert low < times[0] <= times[-1] < high
    assert axes.get_yticklabels()[0].get_text() == f"z{order[0]}"


@pytest.mark.parametrize(
    ("of", "latents", "title", "names"),
    [
        ("latent", 2, "rate of each latent", ["z1", "z0"]),
        ("group", 2, "rate of each group", ["group 1", "group 0"]),
        ("total", 1, "rate of all latents together", ["total"]),
    ],
)
def test_rates_are_called_what_they_are_of(of, latents, title, names):
    columns = [of] if of == "total" else [f"{of}_{i}" for i in range(latents)]
    when = {"step": [1.0, 2.0], "epoch": [1.0, 2.0]}
    rates = {"train": {**when, **{name: [1.0, float(i)] for i, name in enumerate(columns)}}, "epoch": when}
    *_, drawn = figures.training(HISTORY, rates)
    (axes,) = drawn.picture.axes
    assert (axes.get_title(), texts(axes)) == (title, names)
    assert ("together" if of == "total" else f"each {of}") in drawn.caption


@pytest.mark.parametrize("latents", [4, 40])
def test_one_exploding_latent_leaves_the_other_rates_readable(latents):
    rates = np.random.default_rng(0).random((6, latents))
    rates[2, 1], most = 371_000.0, np.sort(rates[rates < 2])[-1]
    rates[2, 0] = 0.5
    figure = figures.rates_over_time(rates, [1, 2, 3, 4, 5, 6])
    axes, *bar = figure.axes
    if bar:
        assert axes.collections[0].get_clim() == (0, np.sort(rates.ravel())[-2])
        assert "beyond the scale: 371,000 (epoch 3)" in axes.get_title()
    else:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] < 1.1 * most
        assert [text.get_text() for text in axes.texts] == ["beyond the axis: 371,000 (epoch 3)"]
    assert figures.shown(figure).size


@pytest.mark.parametrize("latents", [4, 40])
def test_epochs_of_rates_are_whole_numbers(latents):
    axes = figures.rates_over_time(torch.rand(3, latents), [1, 2, 3]).axes[0]
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_what_is_no_bound_or_no_rate_is_not_drawn_as_one():
    when = {"step": [1.0, 2.0], "epoch": [1.0, 2.0]}
    history = {"epoch": {**when, "loss": [3.0, 2.0], "prior_cost": [1.0, 2.0]}}
    (drawn,) = figures.training(history, {"train": when, "epoch": when})
    assert drawn.name == "curves"
    assert [axes.get_title() for axes in drawn.picture.axes][1:] == ["prior cost of the code, -log p(z)"]


def test_a_relaxed_value_stands_beside_the_bounds_and_is_called_none():
    when = {"step": [1.0, 2.0], "epoch": [1.0, 2.0]}
    history = {
        "epoch": {**when, "loss": [3.0, 2.0], "relaxed_bound": [-3.0, -2.0]},
        "validation": {**when, "loss": [4.0, 3.0], "bound": [-4.0, -3.0]},
    }
    curves, bounds = figures.training(history)
    assert [axes.get_title() for axes in curves.picture.axes][1:] == ["bound on log p(x)"]
    for axes in (curves.picture.axes[1], bounds.picture.axes[0]):
        assert texts(axes) == ["train (relaxed, no bound)", "validation"]
        assert [line.get_ydata().tolist() for line in axes.lines] == [[-3, -2], [-4, -3]]
    assert "that of training is no bound" in bounds.caption


@pytest.mark.parametrize("relaxed", [False, True])
def test_numbers_of_a_relaxed_likelihood_are_called_so(relaxed):
    when = {"step": [1.0, 2.0], "epoch": [1.0, 2.0]}
    label = "relaxed_" * relaxed
    history = {
        "epoch": {**when, f"{label}bound": [-3.0, -2.0], f"{label}distortion": [2.0, 1.0], "rate": [1.0, 1.5]},
        "validation": {**when, f"{label}bound": [-4.0, -3.0], f"{label}distortion": [3.0, 2.0], "rate": [1.0, 1.5]},
    }
    drawn = list(figures.training(history))
    titles = [axes.get_title() for each in drawn for axes in each.picture.axes]
    assert [title for title in titles if "relaxed" in title] == [t for t in titles if "rate" not in t] * relaxed
    assert all(texts(each.picture.axes[0]) == ["train", "validation"] for each in drawn)
    assert ["not likelihoods" in each.caption for each in drawn] == [relaxed] * 2
    assert ("log p(x)" in drawn[1].caption) != relaxed


def test_the_course_of_training_uses_the_validation_rates():
    when = {"step": [1.0, 2.0], "epoch": [1.0, 2.0]}
    rates = {
        split: {**when, "latent_0": [v, v], "latent_1": [0.0, 9.0]}
        for split, v in (("train", 5.0), ("validation", 6.0))
    }
    curves, drawn = figures.training(HISTORY, rates)
    assert (curves.name, drawn.name) == ("curves", "rates")
    assert [line.get_ydata().tolist() for line in drawn.picture.axes[0].lines] == [[0, 9], [6, 6]]
    assert len(list(figures.training(HISTORY))) == 1


def test_the_bound_is_drawn_over_epochs_with_the_mean_of_each_for_training():
    rows = {
        "train": ([1.0, 2.0, 3.0], [1.0, 1.0, 2.0], [9.0, 9.0, 9.0]),
        "epoch": ([2.0, 3.0], [1.0, 2.0], [-5.0, -4.0]),
        "test": ([3.0], [2.0], [-4.5]),
    }
    history = {split: dict(zip(("step", "epoch", "bound"), columns, strict=True)) for split, columns in rows.items()}
    _, bounds = figures.training(history)
    (axes,) = bounds.picture.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert (bounds.name, axes.get_xlabel()) == ("bounds", "epoch")
    assert drawn == {"train": [[1, -5], [2, -4]], "test": [[2, -4.5]]}


def test_the_course_of_training_has_one_line_a_split_and_no_constant_setting():
    when = {"step": [10.0, 20.0], "epoch": [1.0, 2.0]}
    history = {
        "train": {**when, "loss": [9.0, 7.0], "beta": [1.0, 1.0], "learning_rate": [0.1, 0.2]},
        "epoch": {**when, "loss": [9.5, 7.5]},
        "validation": {**when, "loss": [8.0, 6.0], "rate": [0.0, 0.0]},
    }
    loss, *others = next(figures.training(history)).picture.axes
    assert {line.get_label(): line.get_ydata().tolist() for line in loss.lines} == {
        "train": [9.5, 7.5],
        "validation": [8, 6],
    }
    assert [axes.get_title().split(",")[0] for axes in others] == ["learning rate", "rate"]
    often = {**history, "train": {**history["train"], "epoch": [1.0, 1.0]}}
    over_steps = next(figures.training(often)).picture.axes[0]
    assert [line.get_ydata().tolist() for line in over_steps.lines] == [[9, 7], [8, 6]]


def test_columns_of_a_table_stand_beside_the_models():
    real, modelled = torch.randn(200, 14), torch.randn(200, 14)
    axes = figures.marginals(real, modelled, names=["height"], most=5).axes
    assert [a.get_title() for a in axes] == ["height", "column 1", "column 2", "column 3", "column 4"]
    assert texts(axes[0]) == ["data", "model"]


def test_bars_stand_on_the_whole_numbers_of_a_column():
    real, modelled = torch.tensor([[0.0], [1.0], [1.0], [3.0]]), torch.tensor([[1.0], [1.0], [4.0], [4.0]])
    bars = figures.marginals(real, modelled).axes[0].containers
    heights = [[bar.get_height() for bar in group] for group in bars]
    assert heights == [[0.25, 0.5, 0, 0.25, 0], [0, 0.5, 0, 0, 0.5]]


def test_words_stand_at_their_numbers():
    real, modelled = torch.tensor([[0.0, 0.0, 7.5]] * 3), torch.tensor([[2.0, 1.0, 7.5]] * 4)
    words = [["north", "a part of the south", "east"], ["$5 to $9", "$9"]]
    where, price, other = figures.marginals(real, modelled, words=words).axes
    assert ticks(where.xaxis) == [(0, "north"), (1, "a part of t…"), (2, "east")]
    assert [[bar.get_height() for bar in group] for group in where.containers] == [[1, 0, 0], [0, 0, 1]]
    assert ticks(price.xaxis) == [(0, "$5 to $9"), (1, "$9")]
    assert not any(label.get_parse_math() for label in price.get_xticklabels())
    assert "7.50" in {text for _, text in ticks(other.xaxis)}
    for axes in figures.scatter(real, modelled, columns=(1, 0), words=words).axes:
        assert ticks(axes.xaxis) == ticks(price.xaxis)
        assert ticks(axes.yaxis) == ticks(where.xaxis)


@pytest.mark.parametrize(
    ("count", "shown", "slant"), [(3, range(3), 0), (12, range(12), 40), (20, range(20), 40), (50, range(0, 50, 3), 40)]
)
def test_words_find_room(count, shown, slant):
    column = torch.arange(float(count))[:, None]
    (axes,) = figures.marginals(column, column, words=[[f"w {i}" for i in range(count)]]).axes
    assert ticks(axes.xaxis) == [(i, f"w {i}") for i in shown]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {slant}
    assert figures.shown(axes.figure).size


def test_dollar_signs_in_names_are_no_formulas():
    x, classes, names = torch.rand(9, 2), torch.arange(9) % 2, ["$a_$", "$_b$"]
    for picture in (
        figures.marginals(x, x, names=names),
        figures.scatter(x, x, names=names),
        figures.embedding(x, classes, label_names=names),
        figures.embedding(x, torch.rand(9), color="$_$"),
        figures.histogram(x[:, :1], classes, label_names=names),
        figures.framed(np.zeros((2, 2), np.uint8), "$_$", x_ticks=names, y_ticks=names),
    ):
        assert figures.shown(picture).size


@pytest.mark.parametrize("value", [0.5, 3.0])
def test_a_constant_column_is_drawn(value):
    column = torch.full((9, 2), value)
    assert figures.shown(figures.marginals(column, column)).size
    assert figures.shown(figures.scatter(column, column)).size


def test_two_columns_share_the_limits_of_the_data():
    real, modelled = torch.rand(9, 3), 100 * torch.rand(9, 3)
    data, model = figures.scatter(real, modelled, names=["a", "b", "c"], columns=(0, 2)).axes
    assert (data.get_xlabel(), data.get_ylabel()) == ("a", "c")
    assert data.get_xlim() == model.get_xlim()
    np.testing.assert_allclose(data.collections[0].get_offsets(), real[:, [0, 2]])
    np.testing.assert_allclose(model.collections[0].get_offsets(), modelled[:, [0, 2]])


@pytest.mark.parametrize(("last", "title"), [(0.5, "model"), (9.0, "model (75% in these ranges)")])
def test_samples_beyond_the_ranges_of_the_data_are_counted(last, title):
    real = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    modelled = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [last, 0.5]])
    data, model = figures.scatter(real, modelled).axes
    assert (data.get_title(), model.get_title()) == ("data", title)

"""The gallery: which figures a model and its data get, and what their captions say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from painting import painting, without_mean
from torch import nn
from torch.distributions import Independent, Normal

from vaekit import VAE, distributions, figures, networks, posteriors, priors

IMAGES = {"reconstructions", "draws", "samples"}
LATENTS = {"interpolations-linear", "interpolations-spherical", "traversals"}
MANIFOLDS = {"manifold-linear", "manifold-normal"}
PROJECTED = {"codes-pca", "codes-tsne"}


@pytest.mark.parametrize(
    ("event_shape", "labels", "expected"),
    [
        ((1, 2, 2), torch.arange(12) % 3, IMAGES | LATENTS | MANIFOLDS | PROJECTED),
        ((3, 2, 2), None, IMAGES | LATENTS | MANIFOLDS | PROJECTED),
        ((2, 2), None, IMAGES | LATENTS | MANIFOLDS | PROJECTED),
        ((2,), torch.rand(12, 2), {"marginals", "pairs", "codes-0", "codes-1"}),
        ((3,), None, {"marginals", "pairs"} | PROJECTED),
        ((1,), None, {"marginals", "codes"}),
        ((1,), torch.arange(12) % 3, {"marginals", "codes"}),
    ],
)
@pytest.mark.parametrize("log_scale", [None, -1.0])
def test_the_gallery_shows_what_suits_the_data(event_shape, labels, expected, log_scale):
    model = painting(event_shape, log_scale=log_scale)
    shown = list(figures.illustrate(model, torch.rand(12, *event_shape).split(5), labels=labels))
    assert {i.name for i in shown} == expected
    assert all(i.caption.endswith(".") and figures.shown(i.picture).dtype == np.uint8 for i in shown)


def test_a_table_is_shown_in_its_own_units_and_by_its_most_correlated_columns():
    x = torch.randn(40, 4)
    x[:, 3] = 2 * x[:, 1]
    shown = figures.illustrate(painting((4,), log_scale=-1.0), [x], look=figures.Look(units=lambda rows: 10 * rows + 7))
    data = {i.name: i.picture for i in shown}["pairs"].axes[0]
    assert (data.get_xlabel(), data.get_ylabel()) == ("column 1", "column 3")
    np.testing.assert_allclose(data.collections[0].get_offsets(), 10 * x[:, [1, 3]] + 7, rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_single_row_is_shown_without_a_warning():
    shown = {i.name: i.picture for i in figures.illustrate(painting((3,), log_scale=-1.0), [torch.rand(1, 3)])}
    assert shown["pairs"].axes[0].get_xlabel() == "column 0"


def test_factors_of_two_values_are_classes_and_others_are_measured():
    labels = torch.tensor([[0.0, 0.5], [1.0, 2.5]]).repeat(6, 1)
    shown = figures.illustrate(painting((2,)), [torch.rand(12, 2)], labels=labels, label_names=["smile", "age"])
    smile, age = (i.picture for i in shown if i.name.startswith("codes"))
    assert [t.get_text() for t in smile.axes[0].get_legend().get_texts()] == ["0", "1"]
    assert (smile.axes[0].get_title(), age.axes[1].get_ylabel()) == ("codes, z0 and z1, coloured by smile", "age")


def test_the_gallery_of_a_conditional_model():
    context = torch.arange(9.0)[:, None]
    shown = list(figures.illustrate(painting(log_scale=-1.0), [(torch.rand(9, 1, 2, 2), context)]))
    paths = {name for name in LATENTS if name.startswith("interpolations")}
    assert {i.name for i in shown} == (IMAGES | LATENTS | MANIFOLDS | PROJECTED) - paths
    shown = list(figures.illustrate(painting(log_scale=-1.0), [(torch.rand(9, 1, 2, 2), context % 2)]))
    assert {i.name for i in shown} == IMAGES | LATENTS | MANIFOLDS | PROJECTED


def test_paths_lead_between_images_of_one_condition():
    seen = []

    class Watched(type(painting())):
        def encode(self, x, *context, **options):
            seen.append((x.flatten().tolist(), *(c.flatten().tolist() for c in context)))
            return super().encode(x, *context, **options)

    model = painting(log_scale=-1.0)
    model.__class__ = Watched
    x, classes = torch.rand(9, 1, 2, 2), torch.tensor([0.0, 1, 1, 2, 0, 2, 1, 0, 0])[:, None]
    list(figures.illustrate(model, [(x, classes)], labels=classes[:, 0].int(), label_names="abc"))
    encoded = [torch.tensor(values).view(-1, 1, 2, 2) for values, *_ in seen if len(values) == 16]
    for end in (x[[1, 0, 3, 7]], x[[2, 4, 5, 8]]):
        assert any(torch.equal(given, end) for given in encoded)


def test_the_gallery_of_one_example_shows_what_one_example_can():
    shown = list(figures.illustrate(painting(log_scale=-1.0), [torch.rand(1, 1, 2, 2)]))
    assert {i.name for i in shown} == IMAGES | {"traversals"} | MANIFOLDS


def test_the_gallery_of_categories():
    posterior = posteriors.Concrete(networks.MLP(4, 4), categories=2)
    model = VAE(priors.UniformCategorical(4, categories=2), posterior, painting().likelihood)
    shown = {i.name: i.picture for i in figures.illustrate(model, [torch.rand(9, 1, 2, 2)])}
    assert set(shown) == IMAGES | {"categories"} | PROJECTED
    assert isinstance(model.prior(), distributions.OneHotCategoricals)
    assert sorted(t.get_text() for t in shown["categories"].axes[0].get_yticklabels()) == ["group 0", "group 1"]
    assert shown["codes-pca"].axes[0].get_title() == "principal components of 2 groups"


@pytest.mark.parametrize("mean", [False, True])
def test_captions_say_where_a_draw_stands_for_a_mean(mean):
    model = painting(log_scale=-1.0)
    shown = list(figures.illustrate(model if mean else without_mean(model), [torch.rand(9, 1, 2, 2)]))
    assert {i.name for i in shown} == IMAGES | LATENTS | MANIFOLDS | PROJECTED
    of_codes = {"reconstructions", *PROJECTED} | {name for name in LATENTS if name.startswith("interpolations")}
    assert {i.name for i in shown if "not know" in i.caption} == (set() if mean else of_codes)
    assert any("posterior means" in i.caption for i in shown) == mean


class Wide(nn.Module):
    """A prior that is no standard normal."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def forward(self) -> Independent[Normal]:
        return Independent(Normal(torch.zeros(self.latent), 3.0), 1)


@pytest.mark.parametrize(("prior", "shown"), [(priors.StandardNormal, MANIFOLDS), (Wide, {"manifold-linear"})])
def test_cells_are_equally_probable_under_a_standard_normal_alone(prior, shown):
    model = painting(log_scale=-1.0, prior=prior)
    drawn = {i.name: i.caption for i in figures.illustrate(model, [torch.rand(9, 1, 2, 2)])}
    assert {name for name in drawn if name.startswith("manifold")} == shown
    assert {name for name, caption in drawn.items() if "equally probable" in caption} == shown - {"manifold-linear"}


def test_samples_of_a_model_of_classes_stand_in_rows_with_their_names():
    classes = torch.tensor([2, 0, 2, 1, 0, 1])
    context = torch.tensor([0.0, 9.0, -9.0])[classes][:, None]
    batches = [(torch.rand(6, 1, 2, 2), context)]
    shown = figures.illustrate(
        painting(log_scale=-1.0), batches, labels=classes, label_names=["grey", "white", "black"]
    )
    (axes,) = next(i.picture for i in shown if i.name == "samples").axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["grey", "white", "black"]
    sheet = axes.images[0].get_array()[..., 0]
    rows = [sheet[int(place)] for place in axes.get_yticks()]
    assert [set(np.unique(row)) for row in rows[1:]] == [{255}, {0, 255}]
    assert 0 in rows[0]
    assert not (rows[2][: sheet.shape[1] // 20] == 255).any()


@pytest.mark.parametrize("labels", [None, torch.tensor([0, 0, 1]), torch.rand(3), torch.rand(3, 2)])
def test_samples_under_other_conditions_have_no_rows_of_their_own(labels):
    batches = [(torch.rand(3, 1, 2, 2), torch.tensor([[0.0], [1.0], [1.0]]))]
    shown = figures.illustrate(painting(log_scale=-1.0), batches, labels=labels)
    (axes,) = next(i.picture for i in shown if i.name == "samples").axes
    assert len(axes.get_yticks()) == 0


@pytest.mark.parametrize(
    ("latents", "titles"),
    [
        (1, {"codes": "codes, z0"}),
        (2, {"codes": "codes, z0 and z1"}),
        (4, {"codes-pca": "principal components of 4 latents", "codes-tsne": "t-SNE of 4 latents"}),
    ],
)
def test_titles_say_how_codes_are_drawn(latents, titles):
    shown = figures.illustrate(painting((latents,), log_scale=-1.0), [torch.rand(9, latents)])
    assert {i.name: i.picture.axes[0].get_title() for i in shown if i.name.startswith("codes")} == titles

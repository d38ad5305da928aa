"""Figures: what a model reconstructs, samples and knows, as images (arrays) and charts (matplotlib figures)."""

from vaekit.figures.canvas import (
    Image,
    Shown,
    as_given,
    enlarge,
    framed,
    grid,
    is_image,
    pixels,
    png,
    render,
    save,
    shown,
)
from vaekit.figures.charts import marginals, scatter
from vaekit.figures.course import curves, rates_over_time, training
from vaekit.figures.exhibit import Illustration, Look
from vaekit.figures.gallery import illustrate
from vaekit.figures.images import draws, reconstructions, samples
from vaekit.figures.latent import (
    by_rate,
    categories,
    code_axes,
    interpolations,
    linear_axis,
    manifold,
    normal_axis,
    spherical,
    straight,
    traversals,
)
from vaekit.figures.plane import embedding, histogram, pca, tsne

__all__ = [
    "Illustration",
    "Image",
    "Look",
    "Shown",
    "as_given",
    "by_rate",
    "categories",
    "code_axes",
    "curves",
    "draws",
    "embedding",
    "enlarge",
    "framed",
    "grid",
    "histogram",
    "illustrate",
    "interpolations",
    "is_image",
    "linear_axis",
    "manifold",
    "marginals",
    "normal_axis",
    "pca",
    "pixels",
    "png",
    "rates_over_time",
    "reconstructions",
    "render",
    "samples",
    "save",
    "scatter",
    "shown",
    "spherical",
    "straight",
    "training",
    "traversals",
    "tsne",
]

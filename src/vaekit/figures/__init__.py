"""Figures: what a model reconstructs, samples and knows, as images (arrays) and charts (matplotlib figures)."""

from vaekit.figures.canvas import Image, enlarge, framed, grid, is_image, pixels, png, render, save, shown
from vaekit.figures.charts import curves, embedding, marginals, pca, rates_over_time, scatter, tsne
from vaekit.figures.gallery import Columns, Illustration, illustrate, training
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

__all__ = [
    "Columns",
    "Illustration",
    "Image",
    "by_rate",
    "categories",
    "code_axes",
    "curves",
    "draws",
    "embedding",
    "enlarge",
    "framed",
    "grid",
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

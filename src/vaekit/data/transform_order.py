"""Which transforms suit data, in which order: what each needs of the values that reach it."""

from __future__ import annotations

from collections.abc import Sequence

from vaekit.data.facts import Facts
from vaekit.data.transforms import Threshold, Transform
from vaekit.errors import ConfigError


def check_order(transforms: Sequence[Transform], facts: Facts) -> None:
    """Refuse transforms that values of these facts do not suit; of what a user's own one makes of them nothing is known.

    Raises:
        ConfigError: naming the transform, and where it could stand.
    """
    levels, is_unit = facts.levels, facts.is_unit
    for transform in transforms:
        _check_range(transform, facts, is_unit)
        levels, is_unit = (2, True) if transform.binary else (levels, is_unit)
        if transform.dequantizes:
            _check_grid(transform, levels)
        levels = levels if transform.keeps_grid else None
        is_unit = transform.keeps_range is None or (is_unit and transform.keeps_range)


def _check_range(transform: Transform, facts: Facts, is_unit: bool) -> None:
    """Refuse a transform of images for vectors, one threshold for all values, and drawing bits by what is no probability."""
    name = type(transform).__name__
    if transform.for_images and not facts.is_image:
        raise ConfigError(
            f"{name} is for images, (channels, height, width), but an event has shape {facts.event_shape}."
        )
    if isinstance(transform, Threshold) and is_unit and not 0 < transform.at <= 1:
        raise ConfigError(
            f"`at` of Threshold is {transform.at:g}, and all values, which lie in [0, 1] there, would become "
            f"{int(transform.at <= 0)}. Choose one above 0 and at most 1."
        )
    if transform.binary and transform.random and not transform.once and not is_unit:
        raise ConfigError(
            f"{name} needs values in [0, 1], and where it stands they are not: as stored they run from {facts.low:g} to "
            f"{facts.high:g}. Scale the data, or put {name} first."
        )


def _check_grid(transform: Transform, levels: int | None) -> None:
    """Refuse dequantisation of values that are on no grid, or on one of another size."""
    name = type(transform).__name__
    if levels is None:
        raise ConfigError(
            f"{name} needs values on a grid, and where it stands they are not. Leave it out, or put it first."
        )
    if (wanted := getattr(transform, "levels", levels)) != levels:
        raise ConfigError(
            f"`levels` of {name} is {wanted}, but the values are on a grid of {levels} levels there. Use {name}({levels})."
        )

r"""Transforms of a batch: binarisation, dequantisation, standardisation, flips; and those made once, when data is opened.

A transform is a frozen dataclass, so it is part of a run's configuration. It sees a batch of shape (B, *event) as floats,
grid values k/(L - 1) in [0, 1], on the batch's device. What it does to volumes is known, so that bits stay bits: a density
p of transformed values :math:`y = t(x)` codes the grid value that x came from in at most

.. math:: -\log p(y) + \sum_i \log \frac{\partial y_i^{-1}}{\partial y_i}

nats, where the sum, `log_volume`, is :math:`D \log L` for dequantisation and :math:`\sum_i \log s_i` for standardisation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from vaekit.arguments import require_count, require_number
from vaekit.errors import ConfigError, DataError, ShapeError
from vaekit.likelihoods.columns import Column, Positive, Real
from vaekit.shapes import numel


class Transform(ABC):
    """A change of the data, made anew for every batch unless it is made `once`.

    Attributes:
        training_only: whether it is left out in evaluation (augmentation).
        random: whether it draws random numbers.
        once: whether it is made on the stored data when it is opened, and never again.
        binary: whether its values are 0 and 1.
        for_images: whether it needs events of shape (C, H, W).
        keeps_grid: whether values that lie on a grid, in [0, 1], do so afterwards.
        keeps_range: whether values in [0, 1] stay there; None where that is not known.
        dequantizes: whether it spreads the values of a grid over their cells, so that densities of them code the grid's values;
            one with an attribute `levels` is for grids of so many values alone.
    """

    training_only: ClassVar[bool] = False
    random: ClassVar[bool] = False
    once: ClassVar[bool] = False
    binary: ClassVar[bool] = False
    for_images: ClassVar[bool] = False
    keeps_grid: ClassVar[bool] = True
    keeps_range: ClassVar[bool | None] = None
    dequantizes: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Transform a batch, shape (B, *event)."""

    def fit(self, batches: Iterable[Tensor]) -> Transform:
        """Return the transform with what it must learn from the training data, itself where that is nothing."""
        return self

    def for_columns(self, columns: Sequence[Column]) -> Transform:
        """Return what `fit` returned as it suits the columns of a table, each of its kind."""
        return self

    def undo(self, x: Tensor) -> Tensor:
        """Bring transformed values, shape (B, *event), back to the units before, where it changed them."""
        return x

    def log_volume(self, event_shape: Sequence[int]) -> float:
        """Return the nats to add to minus a log-density of an event for the code length of the untransformed one."""
        return 0.0


@dataclass(frozen=True)
class Binarize(Transform):
    """Draw each value in [0, 1] as 1 with that probability, anew for every batch (Burda et al., 2016).

    A processor makes random numbers one by one, so there four come from each 64 bits: a probability is then off by at most
    2^-17, and 0 and 1 are kept exactly.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.Binarize()(torch.tensor([[0.0, 1.0]]))
        tensor([[0., 1.]])
    """

    random = True
    binary = True

    def __call__(self, x: Tensor) -> Tensor:
        if not x.is_cpu:
            return torch.rand_like(x).lt_(x)
        bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        noise = bits.view(torch.int16)[: x.numel()].view(x.shape).float()  # -32768, ..., 32767
        return noise.add_(x, alpha=-65536).lt_(-32768.5).to(x.dtype)


@dataclass(frozen=True)
class StaticBinarize(Transform):
    """Draw each value in [0, 1] as 1 with that probability, once, so that every epoch sees the same binary data.

    Attributes:
        seed: seeds the draw (Larochelle and Murray, 2011, published theirs of MNIST; open its `.amat` files for that one).

    Example:
        >>> import vaekit as vk
        >>> vk.data.open("digits", transforms=[vk.data.StaticBinarize()]).levels
        2
    """

    seed: int = 0
    random = True
    once = True
    binary = True

    def __call__(self, x: Tensor) -> Tensor:
        return Binarize()(x)


@dataclass(frozen=True)
class Threshold(Transform):
    """Set values of at least `at` to 1 and the others to 0.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.Threshold(0.5)(torch.tensor([[0.2, 0.5]]))
        tensor([[0., 1.]])
    """

    at: float = 0.5
    binary = True

    def __post_init__(self) -> None:
        require_number(self, "at", self.at)

    def __call__(self, x: Tensor) -> Tensor:
        return (x >= self.at).to(x.dtype)


@dataclass(frozen=True)
class Dequantize(Transform):
    r"""Spread each grid value over its cell, :math:`y = (k + u) / L` with u uniform on [0, 1) (Theis et al., 2016).

    A density of y then bounds a mass function of k: by Jensen's inequality
    :math:`-\log P(k) \le E_u[-\log p(y)] + D \log L`.

    Attributes:
        levels: the number L of grid values.

    Example:
        >>> import math
        >>> import vaekit as vk
        >>> vk.data.Dequantize(2).log_volume((1,)) / math.log(2)
        1.0
    """

    levels: int = 256
    random = True
    keeps_grid = False
    keeps_range = True
    dequantizes = True

    def __post_init__(self) -> None:
        require_count(self, "levels", self.levels, least=2)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.rand_like(x).add_(x, alpha=self.levels - 1).div_(self.levels)

    def undo(self, x: Tensor) -> Tensor:
        return (x * self.levels - 0.5) / (self.levels - 1)

    def log_volume(self, event_shape: Sequence[int]) -> float:
        return numel(event_shape) * math.log(self.levels)


@dataclass(frozen=True)
class Standardize(Transform):
    """Subtract a mean and divide by a standard deviation, per element of a vector, or per channel of an image.

    Attributes:
        mean: of the training split; None measures it there when the data is opened, and it is stored with the run.
        std: likewise; 1 where the training data does not vary.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.Standardize((10.0,), (2.0,))(torch.tensor([[14.0]]))
        tensor([[2.]])
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    keeps_grid = False
    keeps_range = False
    _constants: dict[tuple[object, ...], tuple[Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ConfigError("Standardize was given one of `mean` and `std`. Give both, or neither to measure them.")
        if self.mean is not None and self.std is not None:
            object.__setattr__(self, "mean", tuple(self.mean))
            object.__setattr__(self, "std", tuple(self.std))
            if len(self.mean) != len(self.std) or min(self.std) <= 0:
                raise ConfigError("`mean` and `std` of Standardize must have the same length, and `std` be above 0.")

    def __call__(self, x: Tensor) -> Tensor:
        mean, std = self._on(x)
        return (x - mean) / std

    def undo(self, x: Tensor) -> Tensor:
        mean, std = self._on(x)
        return x * std + mean

    def fit(self, batches: Iterable[Tensor]) -> Standardize:
        if self.mean is not None:
            return self
        count, shift, first, second = 0, None, torch.zeros(()), torch.zeros(())
        for x in batches:
            values = x.double().transpose(0, 1).flatten(1)  # (C, B * rest)
            shift = values.mean(1, keepdim=True) if shift is None else shift
            count += values.shape[1]
            first, second = first + (values - shift).sum(1), second + (values - shift).square().sum(1)
        if shift is None:
            raise DataError("Standardize cannot measure a mean and a standard deviation: the training split is empty.")
        mean = shift[:, 0] + first / count
        std = (second / count - (first / count).square()).clamp(min=0).sqrt()
        varies = std > 1e-12 * mean.abs()
        return replace(self, mean=tuple(mean.tolist()), std=tuple(torch.where(varies, std, 1.0).tolist()))

    def for_columns(self, columns: Sequence[Column]) -> Standardize:
        """Leave columns as they are that are not real, but for positive ones, which are divided by their root mean square."""
        if self.mean is None or self.std is None:
            return self
        moments = list(zip(columns, self.mean, self.std, strict=True))
        mean = tuple(m if isinstance(c, Real) else 0.0 for c, m, _ in moments)
        scales = (
            s if isinstance(c, Real) else math.hypot(m, s) if isinstance(c, Positive) else 1.0 for c, m, s in moments
        )
        return replace(self, mean=mean, std=tuple(scales))

    def log_volume(self, event_shape: Sequence[int]) -> float:
        if self.std is None:
            raise ConfigError(
                "This Standardize has no statistics yet. Open the data with it, and use the data's own transforms."
            )
        return sum(map(math.log, self.std)) * (numel(event_shape) // len(self.std))

    def _on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation, shaped to broadcast over a batch, on its device; made once for each device."""
        if (key := (x.device, x.dtype, x.ndim)) not in self._constants:
            if self.mean is None or len(self.mean) != x.shape[1]:
                found = "no statistics" if self.mean is None else f"statistics of {len(self.mean)} elements"
                raise ShapeError(
                    f"Standardize has {found} and met a batch of shape {tuple(x.shape)}. Leave `mean` and `std` unset and "
                    f"open the data with it, so that they are measured."
                )
            shape = (-1, *(1,) * (x.ndim - 2))
            mean, std = (torch.tensor(v, dtype=x.dtype, device=x.device).view(shape) for v in (self.mean, self.std))
            self._constants[key] = (mean, std)
        return self._constants[key]


@dataclass(frozen=True)
class HorizontalFlip(Transform):
    """Mirror each training image left to right with a probability.

    Attributes:
        probability: of being mirrored.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.HorizontalFlip(probability=1.0)(torch.tensor([[[[0.0, 1.0]]]]))
        tensor([[[[1., 0.]]]])
    """

    probability: float = 0.5
    training_only = True
    random = True
    for_images = True
    keeps_range = True

    def __post_init__(self) -> None:
        require_number(self, "probability", self.probability, least=0, most=1)

    def __call__(self, x: Tensor) -> Tensor:
        flipped = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) < self.probability
        return torch.where(flipped, x.flip(-1), x)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Keep the central square of each image.

    Attributes:
        size: its side, in pixels.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.CenterCrop(32)(torch.zeros(5, 3, 48, 64)).shape
        torch.Size([5, 3, 32, 32])
    """

    size: int
    once = True
    for_images = True
    keeps_range = True

    def __post_init__(self) -> None:
        require_count(self, "size", self.size)

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < self.size:
            raise DataError(
                f"`size` of CenterCrop is {self.size}, more than the images' {height} x {width}. Crop less."
            )
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return x[..., top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class Resize(Transform):
    """Resize each image by antialiased linear interpolation, back onto its grid of values.

    Attributes:
        size: the side of the result, or (height, width).

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.data.Resize((24, 32))(torch.zeros(5, 3, 48, 64)).shape
        torch.Size([5, 3, 24, 32])
    """

    size: int | tuple[int, int]
    once = True
    for_images = True
    keeps_range = True

    def __post_init__(self) -> None:
        for side in self._sides:
            require_count(self, "size", side)
        if len(self._sides) != 2:
            raise ConfigError(f"`size` of Resize is {self.size}; it must be a side or (height, width).")

    @property
    def _sides(self) -> tuple[int, ...]:
        return tuple(self.size) if isinstance(self.size, Sequence) else (self.size, self.size)

    def __call__(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=self._sides, mode="bilinear", antialias=True, align_corners=False)

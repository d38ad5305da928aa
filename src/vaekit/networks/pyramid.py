r"""Pyramids: an encoder halves an image level by level, and a decoder doubles a small map back to exactly the image's size.

A convolution of stride 2 with kernel k and padding :math:`p = \lfloor (k - 1) / 2 \rfloor`, and its transpose with output
padding o, change the height and the width by

.. math::
    n \mapsto \lfloor (n + 2 p - k) / 2 \rfloor + 1, \qquad m \mapsto 2 (m - 1) - 2 p + k + o, \quad o \in \{0, 1\}

A decoder computes the sizes through which an encoder would shrink its output and chooses o at every level to walk them
backwards, so any size, odd ones included, is met exactly. Odd kernels give :math:`n \mapsto \lceil n / 2 \rceil`, which
leaves 1 at 1: they suit any number of levels. Even kernels give :math:`\lfloor n / 2 \rfloor` and need an image large enough.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from vaekit.arguments import require_maker
from vaekit.errors import ConfigError, ShapeError
from vaekit.networks.inputs import checked, way_out
from vaekit.networks.linear import Linear
from vaekit.shapes import Shape, as_shape

Activation: TypeAlias = Callable[[], nn.Module]
Normalization: TypeAlias = Callable[[int], nn.Module]


def image_shape(size: int | Sequence[int], owner: str) -> tuple[int, int, int]:
    """Read a shape as (channels, height, width).

    Raises:
        ShapeError: if it is not three positive numbers.
    """
    shape = as_shape(size)
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(
            f"{owner} needs images of shape (channels, height, width), and was given {size}. Reshape the data, or use "
            f"an MLP, which takes any shape."
        )
    return shape[0], shape[1], shape[2]


def halvings(height: int, width: int, levels: int, kernel: int) -> list[tuple[int, int]]:
    """List the sizes of an image before, between and after `levels` halvings.

    Raises:
        ShapeError: if an even kernel meets a side of length 1.

    Example:
        >>> halvings(28, 5, levels=3, kernel=3)
        [(28, 5), (14, 3), (7, 2), (4, 1)]
    """
    sizes = [(height, width)]
    for _ in range(levels):
        if kernel % 2 == 0 and min(sizes[-1]) == 1:
            raise ShapeError(
                f"A kernel of {kernel} halves {height} x {width} at most {len(sizes) - 1} times, and `channels` asks for "
                f"{levels}. Give fewer channels or an odd kernel, which leaves a side of 1 as it is."
            )
        h, w = ((n + 2 * _padding(kernel) - kernel) // 2 + 1 for n in sizes[-1])
        sizes.append((h, w))
    return sizes


def halve(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Make the convolution that halves a map."""
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=_padding(kernel))


def double(inputs: int, outputs: int, kernel: int, sizes: Sequence[tuple[int, int]]) -> nn.ConvTranspose2d:
    """Make the transposed convolution that doubles a map from exactly `sizes[0]` to exactly `sizes[1]`."""
    least = (2 * (n - 1) - 2 * _padding(kernel) + kernel for n in sizes[0])
    h, w = (after - size for after, size in zip(sizes[1], least, strict=True))
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=_padding(kernel), output_padding=(h, w))


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2


class Residual(nn.Module):
    """Add to a map two 3 x 3 convolutions of it, each preceded by normalisation and activation (He et al., 2016b).

    Arguments:
        channels: of the map, which keeps its shape (N, channels, H, W).
        normalization: makes the normalisation of a number of channels; None for none.
        activation: makes the activation module.
    """

    def __init__(self, channels: int, normalization: Normalization | None, activation: Activation) -> None:
        super().__init__()
        self.channels, self.normalization, self.activation = channels, normalization, activation
        self.layers = nn.Sequential(*(layer for _ in range(2) for layer in self._step()))

    def _step(self) -> Iterator[nn.Module]:
        if self.normalization is not None:
            yield self.normalization(self.channels)
        yield self.activation()
        yield nn.Conv2d(self.channels, self.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return torch.add(x, self.layers(x))


@dataclass(frozen=True)
class PyramidLevels:
    """What the levels of a pyramid are made of.

    Arguments:
        channels: of the levels, from the image inwards; there is one halving a level.
        kernel: of the convolutions that change the size.
        normalization: makes the normalisation of a number of channels; None for none.
        activation: makes the activation module.
        blocks: how many residual blocks end every level.

    Raises:
        ConfigError: if there is no level, a number is out of range, or what is to make modules does not.
    """

    channels: Sequence[int]
    kernel: int
    normalization: Normalization | None
    activation: Activation
    blocks: int = 0

    def __post_init__(self) -> None:
        if not self.channels or min(*self.channels, self.kernel) < 1 or self.blocks < 0:
            raise ConfigError(
                f"`channels` are {tuple(self.channels)}, `kernel` is {self.kernel} and `blocks` is {self.blocks}; a network "
                f"of images has at least one level, a kernel and channels of at least 1, and no negative number of blocks."
            )

        require_maker("activation", self.activation, "nn.ReLU")
        if self.normalization is not None:
            require_maker("normalization", self.normalization, "nn.BatchNorm2d", 1)

    def layers(self, resize: nn.Conv2d | nn.ConvTranspose2d) -> Iterator[nn.Module]:
        """Yield the layers of one level, which starts with a change of size."""
        yield resize
        if self.normalization is not None:
            yield self.normalization(resize.out_channels)
        yield self.activation()
        for _ in range(self.blocks):
            yield Residual(resize.out_channels, self.normalization, self.activation)


class Pyramid(nn.Module, ABC):
    """What encoders and decoders of images share: their settings and their answer to inputs of a wrong shape."""

    def __init__(self, inputs: int | Shape, outputs: int | Shape, levels: PyramidLevels, context: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.context = inputs, outputs, context
        self.channels, self.kernel = tuple(levels.channels), levels.kernel
        self.normalization, self.activation, self.blocks = levels.normalization, levels.activation, levels.blocks

    def refuse(self, inputs: Sequence[Tensor]) -> ShapeError:
        """Say that the inputs have other shapes than the network was built for."""
        return ShapeError(
            f"{type(self).__name__} was built with inputs={self.inputs} and context={self.context}, and got inputs of shape "
            f"{[tuple(i.shape[1:]) for i in inputs]}. "
            + way_out(self, inputs, "Build it for the data's shape and the context's total width.")
        )


class Encoder(Pyramid):
    """Maps images, shape (N, C, H, W), through the levels and a linear layer to vectors, shape (N, outputs)."""

    def __init__(self, inputs: int | Shape, outputs: int, levels: PyramidLevels, context: int) -> None:
        super().__init__(inputs, outputs, levels, context)
        depth, height, width = self.image = image_shape(inputs, type(self).__name__)
        h, w = halvings(height, width, len(self.channels), self.kernel)[-1]
        steps = (halve(before, after, self.kernel) for before, after in pairwise((depth + context, *self.channels)))
        self.levels = nn.Sequential(*(layer for step in steps for layer in levels.layers(step)))
        self.head = Linear(self.channels[-1] * h * w, outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map images, shape (N, C, H, W), and contexts, shape (N, ...), to shape (N, outputs).

        Raises:
            ShapeError: if the images or the contexts have another shape than the network was built for.
        """
        x, *context = checked(self, inputs, cast(nn.Conv2d, self.levels[0]).weight)
        flat = [c.flatten(1) for c in context]
        if x.shape[1:] != self.image or sum(c.shape[1] for c in flat) != self.context:
            raise self.refuse(inputs)
        maps = (c[:, :, None, None].expand(-1, -1, *self.image[1:]) for c in flat)
        output: Tensor = self.head(self.levels(torch.cat([x, *maps], 1) if flat else x).flatten(1))
        return output


class Decoder(Pyramid):
    """Maps vectors, shape (N, inputs), through a linear layer, the levels and a 3 x 3 convolution to images (N, *outputs)."""

    def __init__(self, inputs: int, outputs: int | Shape, levels: PyramidLevels, context: int) -> None:
        super().__init__(inputs, outputs, levels, context)
        depth, height, width = image_shape(outputs, type(self).__name__)
        sizes = halvings(height, width, len(self.channels), self.kernel)[::-1]
        inward, (h, w) = self.channels[::-1], sizes[0]
        self.width, self.first = inputs + context, (inward[0], h, w)
        self.stem = Linear(self.width, inward[0] * h * w)
        steps = zip(pairwise((*inward, inward[-1])), pairwise(sizes), strict=True)
        layers = (layer for (a, b), change in steps for layer in levels.layers(double(a, b, self.kernel, change)))
        self.levels = nn.Sequential(*layers, nn.Conv2d(inward[-1], depth, 3, padding=1))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map vectors, shape (N, inputs), and contexts, shape (N, ...), to images, shape (N, *outputs).

        Raises:
            ShapeError: if the inputs have another total width than the network was built for.
        """
        x = torch.cat([part.flatten(1) for part in checked(self, inputs, self.stem.weight)], 1)
        if x.shape[1] != self.width:
            raise self.refuse(inputs)
        output: Tensor = self.levels(self.stem(x).unflatten(1, self.first))
        return output

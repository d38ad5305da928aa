"""Residual networks between images of any size and vectors: convolutional ones whose levels end with residual blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vaekit.networks.normalization import GroupNorm
from vaekit.networks.pyramid import Activation, Decoder, Encoder, Normalization, PyramidLevels
from vaekit.shapes import Shape


class ResidualEncoder(Encoder):
    """A convolution of stride 2 and residual blocks a level, then a linear layer (He et al., 2016).

    Arguments:
        inputs: the shape (channels, height, width) of one image.
        outputs: how many numbers an image is mapped to.
        channels: of the levels, from the image inwards; there is one halving a level.
        blocks: how many residual blocks, of two 3 x 3 convolutions each, end every level.
        kernel: of the convolutions of stride 2.
        normalization: makes the normalisation of a number of channels; None for none.
        activation: makes the activation module.
        context: the total width of further inputs, which are spread over the image as channels.

    Raises:
        ShapeError: if `inputs` is no image, or too small for an even kernel; in use, if inputs have other shapes.
        ConfigError: if a number is out of range.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.ResidualEncoder((1, 28, 28), 8, channels=(8, 16))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        inputs: int | Shape,
        outputs: int,
        *,
        channels: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        kernel: int = 3,
        normalization: Normalization | None = GroupNorm,
        activation: Activation = nn.SiLU,
        context: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, PyramidLevels(channels, kernel, normalization, activation, blocks), context)


class ResidualDecoder(Decoder):
    """A linear layer, a transposed convolution of stride 2 and residual blocks a level, and a 3 x 3 convolution.

    Arguments:
        inputs: the width of the vectors.
        outputs: the shape (channels, height, width) of one image, which is met exactly.
        channels: of the mirrored encoder's levels, from the image inwards; the decoder passes through them in reverse.
        blocks: how many residual blocks, of two 3 x 3 convolutions each, end every level.
        kernel: of the transposed convolutions.
        normalization: makes the normalisation of a number of channels; None for none.
        activation: makes the activation module.
        context: the total width of further inputs, which are concatenated with the vectors.

    Raises:
        ShapeError: if `outputs` is no image, or too small for an even kernel; in use, if inputs have another total width.
        ConfigError: if a number is out of range.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.ResidualDecoder(8, (1, 28, 28), channels=(8, 16))(torch.zeros(5, 8)).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | Shape,
        *,
        channels: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        kernel: int = 3,
        normalization: Normalization | None = GroupNorm,
        activation: Activation = nn.SiLU,
        context: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, PyramidLevels(channels, kernel, normalization, activation, blocks), context)

"""Convolutional networks between images of any size and vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vaekit.networks.pyramid import Activation, Decoder, Encoder, Normalization, PyramidLevels
from vaekit.shapes import Shape


class ConvEncoder(Encoder):
    """Convolutions of stride 2, each with normalisation and activation, then a linear layer.

    Arguments:
        inputs: the shape (channels, height, width) of one image.
        outputs: how many numbers an image is mapped to.
        channels: of the levels, from the image inwards; there is one halving a level.
        kernel: of the convolutions.
        normalization: makes the normalisation of a number of channels, such as `nn.BatchNorm2d` or `GroupNorm`.
        activation: makes the activation module.
        context: the total width of further inputs, which are spread over the image as channels.

    Raises:
        ShapeError: if `inputs` is no image, or too small for an even kernel; in use, if inputs have other shapes.
        ConfigError: if a number is out of range.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.ConvEncoder((3, 33, 17), 8, normalization=torch.nn.BatchNorm2d)(torch.zeros(5, 3, 33, 17)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        inputs: int | Shape,
        outputs: int,
        *,
        channels: Sequence[int] = (32, 64, 128),
        kernel: int = 3,
        normalization: Normalization | None = None,
        activation: Activation = nn.ReLU,
        context: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, PyramidLevels(channels, kernel, normalization, activation), context)


class ConvDecoder(Decoder):
    """A linear layer, transposed convolutions of stride 2 with normalisation and activation, and a 3 x 3 convolution.

    Arguments:
        inputs: the width of the vectors.
        outputs: the shape (channels, height, width) of one image, which is met exactly.
        channels: of the mirrored encoder's levels, from the image inwards; the decoder passes through them in reverse.
        kernel: of the transposed convolutions.
        normalization: makes the normalisation of a number of channels, such as `nn.BatchNorm2d` or `GroupNorm`.
        activation: makes the activation module.
        context: the total width of further inputs, which are concatenated with the vectors.

    Raises:
        ShapeError: if `outputs` is no image, or too small for an even kernel; in use, if inputs have another total width.
        ConfigError: if a number is out of range.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.ConvDecoder(8, (3, 33, 17), normalization=torch.nn.BatchNorm2d)(torch.zeros(5, 8)).shape
        torch.Size([5, 3, 33, 17])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | Shape,
        *,
        channels: Sequence[int] = (32, 64, 128),
        kernel: int = 3,
        normalization: Normalization | None = None,
        activation: Activation = nn.ReLU,
        context: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, PyramidLevels(channels, kernel, normalization, activation), context)

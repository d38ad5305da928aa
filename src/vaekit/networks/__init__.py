"""Networks: ordinary modules from tensors to tensors. They know nothing of variational autoencoders."""

from vaekit.networks.convolutional import ConvDecoder, ConvEncoder
from vaekit.networks.corruption import Corrupted, Corruption, GaussianNoise, Masking, SaltAndPepper
from vaekit.networks.mlp import MLP
from vaekit.networks.normalization import GroupNorm
from vaekit.networks.residual import ResidualDecoder, ResidualEncoder
from vaekit.networks.symlog import Symlog

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Corrupted",
    "Corruption",
    "GaussianNoise",
    "GroupNorm",
    "Masking",
    "ResidualDecoder",
    "ResidualEncoder",
    "SaltAndPepper",
    "Symlog",
]

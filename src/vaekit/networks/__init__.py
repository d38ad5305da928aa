"""Networks: ordinary modules from tensors to tensors. They know nothing of variational autoencoders."""

from vaekit.networks.compressed import Compressed
from vaekit.networks.convolutional import ConvDecoder, ConvEncoder
from vaekit.networks.corruption import Corrupted, Corruption, GaussianNoise, Masking, SaltAndPepper
from vaekit.networks.mlp import MLP
from vaekit.networks.normalisation import GroupNorm
from vaekit.networks.residual import ResidualDecoder, ResidualEncoder

__all__ = [
    "MLP",
    "Compressed",
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
]

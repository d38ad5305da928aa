"""Networks: ordinary modules from tensors to tensors. They know nothing of variational autoencoders."""

from vaekit.networks.mlp import MLP

__all__ = ["MLP"]

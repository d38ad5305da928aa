"""Normalisation that treats every example by itself, built like `nn.BatchNorm2d` from the number of channels alone."""

from __future__ import annotations

from math import gcd

from torch import nn


class GroupNorm(nn.GroupNorm):
    """Normalise groups of channels (Wu and He, 2018), in as many groups, up to `groups`, as divide both numbers.

    Arguments:
        channels: of the map, shape (N, channels, H, W).
        groups: the number of groups wanted.

    Example:
        >>> import vaekit as vk
        >>> vk.networks.GroupNorm(12).num_groups, vk.networks.GroupNorm(32).num_groups
        (4, 8)
    """

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__(gcd(channels, groups), channels)
        self.channels, self.groups = channels, groups

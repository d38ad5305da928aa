"""Priors over the latent vector: modules whose `forward()`, or `forward(context)`, returns p(z)."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit import distributions
from vaekit.arguments import require_count
from vaekit.conditional import Conditional
from vaekit.errors import ConfigError


class StandardNormal(Conditional):
    r"""The prior :math:`p(z) = N(0, I)` (Kingma and Welling, 2014). Context is accepted and has no influence.

    Arguments:
        latent: the number of latents D.

    Raises:
        ConfigError: if there is no latent.

    Example:
        >>> import vaekit as vk
        >>> vk.priors.StandardNormal(16)().event_shape
        torch.Size([16])
    """

    zeros: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        require_count(self, "latent", latent)
        self.latent = latent
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def forward(self, *given: Tensor) -> distributions.StandardNormal:
        zeros = self.zeros.expand(len(given[0]), -1) if given else self.zeros
        return distributions.StandardNormal(zeros, validate_args=self.validate_args)

    def extra_repr(self) -> str:
        return f"latent={self.latent}"


class UniformCategorical(Conditional):
    """The uniform prior over groups of one-hot categories (Jang, Gu and Poole, 2017). Context has no influence.

    Arguments:
        latent: the number of latents, groups times categories.
        categories: K, the number of categories of each group.

    Raises:
        ConfigError: if the number of latents is not a multiple of the categories.

    Example:
        >>> import vaekit as vk
        >>> vk.priors.UniformCategorical(200, categories=10)().sample().sum()
        tensor(20.)
    """

    zeros: Tensor

    def __init__(self, latent: int, categories: int = 10) -> None:
        super().__init__()
        require_count(self, "latent", latent)
        if categories < 2 or latent % categories:
            raise ConfigError(
                f"`latent` of UniformCategorical is {latent} and `categories` is {categories}; latents are whole groups of at "
                f"least 2 categories each. For 20 groups, give latent={20 * max(categories, 2)}."
            )
        self.latent, self.categories = latent, categories
        self.register_buffer("zeros", torch.zeros(latent // categories, categories), persistent=False)

    def forward(self, *given: Tensor) -> distributions.OneHotCategoricals:
        zeros = self.zeros.expand(len(given[0]), -1, -1) if given else self.zeros
        return distributions.OneHotCategoricals(zeros, validate_args=self.validate_args)

    def extra_repr(self) -> str:
        return f"latent={self.latent}, categories={self.categories}"

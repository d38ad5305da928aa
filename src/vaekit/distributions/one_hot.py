r"""Groups of categorical variables as one flat latent vector of one-hot blocks, exact and relaxed.

A latent of G groups with K categories each is a vector of G K numbers. The relaxed distribution is the Concrete, or
Gumbel-softmax, law: :math:`\mathrm{softmax}((l + g) / \tau)` with standard Gumbel noise g, which tends to the exact one as the
temperature :math:`\tau` goes to 0 (Maddison, Mnih and Teh, 2017; Jang, Gu and Poole, 2017).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

TINY = 1e-20


class OneHotCategoricals(Distribution):
    """Independent groups of one-hot categorical variables.

    Arguments:
        logits: shape (*B, G, K).
        validate_args: whether to check parameters.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.OneHotCategoricals(torch.zeros(3, 5, 10)).sample((2,)).shape
        torch.Size([2, 3, 50])
    """

    arg_constraints = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-2], torch.Size([logits.shape[-2] * logits.shape[-1]]), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.boolean, 1)

    @property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities, shape (*B, G, K)."""
        return self.logits.log_softmax(-1)

    @property
    def mean(self) -> Tensor:
        return self.logits.softmax(-1).flatten(-2)

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self.logits.argmax(-1))

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def expand(self, batch_shape: Any, _instance: Any = None) -> OneHotCategoricals:
        return OneHotCategoricals(self.logits.expand(*batch_shape, *self.logits.shape[-2:]), self._validate_args)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        groups, categories = self.logits.shape[-2:]
        probs = self.logits.softmax(-1).expand(*sample_shape, *self.batch_shape, groups, categories)
        drawn = torch.multinomial(probs.reshape(-1, categories), 1, replacement=True)
        return self._one_hot(drawn.reshape(probs.shape[:-1]))

    def log_prob(self, value: Tensor) -> Tensor:
        blocks: Tensor = value.unflatten(-1, self.logits.shape[-2:])
        return (blocks * self.log_probs).sum((-2, -1))

    def entropy(self) -> Tensor:
        return -(self.log_probs.exp() * self.log_probs).sum((-2, -1))

    def _one_hot(self, index: Tensor) -> Tensor:
        return F.one_hot(index, self.logits.shape[-1]).to(self.logits.dtype).flatten(-2)


class RelaxedCategoricals(Distribution):
    r"""Independent groups of Concrete variables, each on the simplex of K categories.

    .. math::
        p(y) = (K-1)!\, \tau^{K-1} \prod_k \frac{\alpha_k y_k^{-\tau-1}}{\sum_i \alpha_i y_i^{-\tau}}, \qquad \alpha = e^l

    Arguments:
        logits: l, shape (*B, G, K).
        temperature: :math:`\tau`, a scalar.
        straight_through: pass the one-hot vector of the largest coordinate forward, and the gradient of the relaxed one back.
        validate_args: whether to check parameters.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.distributions.RelaxedCategoricals(torch.zeros(3, 5, 10), temperature=0.5).rsample().shape
        torch.Size([3, 50])
    """

    arg_constraints = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.unit_interval, 1)
    has_rsample = True

    def __init__(
        self,
        logits: Tensor,
        temperature: float | Tensor,
        straight_through: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.temperature, self.straight_through = logits, temperature, straight_through
        super().__init__(logits.shape[:-2], torch.Size([logits.shape[-2] * logits.shape[-1]]), validate_args)

    @property
    def exact(self) -> OneHotCategoricals:
        """The exact distribution that this one relaxes."""
        return OneHotCategoricals(self.logits, self._validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean of the exact distribution."""
        return self.exact.mean

    @property
    def variance(self) -> Tensor:
        """The variance of the exact distribution."""
        return self.exact.variance

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        uniform = torch.rand((*sample_shape, *self.logits.shape), dtype=self.logits.dtype, device=self.logits.device)
        gumbel = -torch.log(-torch.log(uniform.clamp_min(TINY)))
        relaxed = ((self.logits + gumbel) / self.temperature).softmax(-1)
        if not self.straight_through:
            return relaxed.flatten(-2)
        hard = F.one_hot(relaxed.argmax(-1), relaxed.shape[-1]).to(relaxed.dtype)
        return (hard + (relaxed - relaxed.detach())).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        log_y: Tensor = value.unflatten(-1, self.logits.shape[-2:]).clamp_min(TINY).log()
        categories = self.logits.new_tensor(float(self.logits.shape[-1]))
        temperature = torch.as_tensor(self.temperature, dtype=self.logits.dtype, device=self.logits.device)
        score = self.logits - temperature * log_y
        constant = torch.lgamma(categories) + (categories - 1) * temperature.log()
        log_density = (score - log_y).sum(-1) - categories * score.logsumexp(-1) + constant
        return log_density.sum(-1)

"""Penalties that wrap an objective and are reported as terms of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaekit.arguments import require_number, require_object
from vaekit.model import VAE
from vaekit.objectives.terms import Objective, Terms


@dataclass(frozen=True)
class L2(Objective):
    r"""Add :math:`w \sum_i \theta_i^2` over *all* trainable parameters of the model to another objective's loss.

    The bound stays the wrapped objective's; the penalty is reported as the extra term ``l2``.

    Arguments:
        objective: what is penalised.
        weight: w, in nats per example.

    Raises:
        ConfigError: if the weight is negative or not finite, or the objective is a class.

    Example:
        >>> import vaekit as vk
        >>> vk.objectives.L2(vk.objectives.IWAE(samples=50), weight=0.1)
        L2(objective=IWAE(samples=50), weight=0.1)
    """

    objective: Objective
    weight: float = 0.01

    def __post_init__(self) -> None:
        require_object("objective", self.objective)
        require_number(self, "weight", self.weight, least=0)

    @property
    def tightens_with_samples(self) -> bool:
        return self.objective.tightens_with_samples

    @property
    def couples_batch(self) -> bool:
        return self.objective.couples_batch

    def __call__(self, model: VAE, x: Tensor, *context: Tensor) -> Terms:
        terms = self.objective(model, x, *context)
        norms = torch._foreach_norm([p for p in model.parameters() if p.requires_grad])
        penalty = self.weight * torch.stack(norms).square().sum()
        return replace(terms, loss=terms.loss + penalty, extras={**terms.extras, "l2": penalty})

r"""The model: three distributions, and nothing else.

    prior :math:`p(z)`,  posterior :math:`q(z \mid x)`,  likelihood :math:`p(x \mid z)`

It holds no loss. Objectives ask it for a `Trace`, which is everything that one pass over a batch computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.arguments import require_distribution, require_factor, require_generator, require_sizes, require_values
from vaekit.errors import ConfigError, ShapeError


class Trace(NamedTuple):
    """What one pass over a batch computes.

    Attributes:
        z: latents drawn from the posterior, reparameterised where it can be, shape (*S, B, D).
        posterior: q(z|x), batch shape (B,).
        prior: p(z), batch shape () or (B,).
        likelihood: p(x|z) at the drawn latents, batch shape (*S, B).

    Example:
        >>> import vaekit as vk
        >>> model = vk.compose("digits", latent=2)
        >>> x = model.sample(5)
        >>> trace = model.trace(x, samples=(3,))
        >>> trace.z.shape, trace.log_likelihood(x).shape
        (torch.Size([3, 5, 2]), torch.Size([3, 5]))
    """

    z: Tensor
    posterior: Distribution
    prior: Distribution
    likelihood: Distribution

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Compute log p(x|z) in nats, shape (*S, B), for data x, shape (B, *event).

        Raises:
            ShapeError: if x has another shape, or the likelihood scores elements of an example apart.
        """
        return _scored(self.likelihood, x, self.z)


class VAE(nn.Module):
    r"""A variational autoencoder: a prior, a posterior and a likelihood (Kingma and Welling, 2014; Rezende et al., 2014).

    Arguments:
        prior: returns p(z) for `prior()`, or p(z|c) for `prior(c)`.
        posterior: returns q(z|x) for `posterior(x)`, or q(z|x, c).
        likelihood: returns p(x|z) for `likelihood(z)`, or p(x|z, c).

    Each is any module whose forward returns a `torch.distributions.Distribution`.

    Raises:
        ConfigError: if one of them is a class, or no module.

    Attributes:
        step: how many training steps the model has taken; annealed quantities are functions of it.

    Example:
        >>> import vaekit as vk
        >>> model = vk.VAE(
        ...     prior=vk.priors.StandardNormal(2),
        ...     posterior=vk.posteriors.DiagonalNormal(vk.networks.MLP(9, 8, 4)),
        ...     likelihood=vk.likelihoods.Bernoulli(vk.networks.MLP(2, 8, 9), event_shape=(1, 3, 3)),
        ... )
        >>> model.sample((5,)).shape
        torch.Size([5, 1, 3, 3])
    """

    step: Tensor

    def __init__(self, prior: nn.Module, posterior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        for name, factor in (("prior", prior), ("posterior", posterior), ("likelihood", likelihood)):
            require_factor(name, factor)
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def trace(self, x: Tensor, *context: Tensor, samples: Sequence[int] = ()) -> Trace:
        """Pass a batch, shape (B, *event), through the three factors, with latents of shape (*samples, B, D).

        Raises:
            ConfigError: in training, if draws from the posterior have no gradient.
        """
        posterior = self._law("posterior", x, *context)
        if self.training and torch.is_grad_enabled() and not posterior.has_rsample:
            raise ConfigError(
                f"The posterior returned {type(posterior).__name__}, whose draws have no gradient, so its network would learn "
                f"from the rate alone. Return a reparameterised distribution in training, as posteriors.Concrete does."
            )
        z = (posterior.rsample if posterior.has_rsample else posterior.sample)(torch.Size(samples))
        return Trace(z, posterior, self._law("prior", *context), self._law("likelihood", z, *context))

    def forward(self, x: Tensor, *context: Tensor, samples: Sequence[int] = ()) -> Trace:
        """Return `trace`: what a model is called for by those who call, compile or parallelise modules."""
        return self.trace(x, *context, samples=samples)

    def log_joint(self, x: Tensor, z: Tensor, *context: Tensor) -> Tensor:
        """Compute log p(x, z) in nats, shape (*S, B), for data (B, *event) and latents (*S, B, D).

        Raises:
            ShapeError: if the likelihood scores elements of an example apart, or the prior latents.

        Example:
            >>> import torch
            >>> import vaekit as vk
            >>> model = vk.compose("digits", latent=2)
            >>> model.log_joint(torch.zeros(5, 1, 8, 8), torch.zeros(3, 5, 2)).shape
            torch.Size([3, 5])
        """
        prior = self._law("prior", *context)
        log_prior = _per_draw("prior", prior, prior.log_prob(z), z, "1 dimension, the latents")
        return log_prior + _scored(self._law("likelihood", z, *context), x, z)

    @torch.no_grad()
    def sample(
        self,
        shape: int | Sequence[int] = (),
        *context: Tensor,
        mean: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw x from the model: z from the prior, then x from p(x|z), or its mean.

        Arguments:
            shape: how many: a number N, for S = (N,), or a shape S.
            context: conditions, each of shape (B, ...); absent, there is no batch dimension.
            mean: return the mean of p(x|z) instead of a draw, as figures do.
            generator: the source of randomness; torch's default one if absent.

        Returns:
            Data, shape (*S, *event), or (*S, B, *event) with context.

        Raises:
            ConfigError: if `shape` is no number or shape, or `generator` no generator.

        Example:
            >>> import torch
            >>> import vaekit as vk
            >>> model = vk.compose("digits", latent=2)
            >>> model.sample(5, mean=True, generator=torch.Generator().manual_seed(0)).shape
            torch.Size([5, 1, 8, 8])
        """
        with evaluating(self), randomness(generator, self.step.device):
            z = self._law("prior", *context).sample(require_sizes("shape", shape))
            return self._emit(z, context, mean)

    @torch.no_grad()
    def encode(
        self, x: Tensor, *context: Tensor, sample: bool = False, generator: torch.Generator | None = None
    ) -> Tensor:
        """Map data, shape (B, *event), to latents, shape (B, D): the posterior's mean, or a draw when asked.

        Raises:
            ConfigError: for what is no tensor, or 8-bit; for a mean that the posterior does not know.

        Example:
            >>> import vaekit as vk
            >>> model = vk.compose("digits", latent=2)
            >>> model.encode(model.sample(5)).shape
            torch.Size([5, 2])
        """
        with evaluating(self), randomness(generator, self.step.device):
            return self._code(x, context, sample)

    @torch.no_grad()
    def decode(self, z: Tensor, *context: Tensor) -> Tensor:
        """Map latents, shape (*S, B, D), to the mean of p(x|z), shape (*S, B, *event).

        Raises:
            ConfigError: for what is no tensor, or 8-bit.

        Example:
            >>> import torch
            >>> import vaekit as vk
            >>> model = vk.compose("digits", latent=2)
            >>> model.decode(torch.zeros(5, 2)).shape
            torch.Size([5, 1, 8, 8])
        """
        with evaluating(self):
            return self._emit(z, context, mean=True)

    @torch.no_grad()
    def reconstruct(
        self, x: Tensor, *context: Tensor, sample: bool = False, generator: torch.Generator | None = None
    ) -> Tensor:
        """Encode and decode data, shape (B, *event): through the posterior's mean, or through a draw of z when asked.

        Raises:
            ConfigError: for what is no tensor, or 8-bit; for a mean that the posterior does not know.

        Example:
            >>> import vaekit as vk
            >>> model = vk.compose("digits", latent=2)
            >>> model.reconstruct(model.sample(5)).shape
            torch.Size([5, 1, 8, 8])
        """
        with evaluating(self), randomness(generator, self.step.device):
            return self._emit(self._code(x, context, sample), context, mean=True)

    def advance(self) -> None:
        """Count one training step, for the model and for every annealed part (each buffer named `step`)."""
        torch._foreach_add_(self.clocks(), 1)

    def clocks(self) -> list[Tensor]:
        """Return the counters of training steps: the model's, and that of every annealed part."""
        return [b for name, b in self.named_buffers() if name.rpartition(".")[2] == "step"]

    def _law(self, factor: str, *given: Tensor) -> Distribution:
        """Ask a factor for its distribution."""
        return require_distribution(factor, getattr(self, factor)(*given))

    def _code(self, x: Tensor, context: Sequence[Tensor], sample: bool) -> Tensor:
        require_values("x", x)
        posterior = self._law("posterior", x, *context)
        try:
            return posterior.sample() if sample else posterior.mean
        except NotImplementedError as error:
            raise ConfigError(
                f"The posterior returned {type(posterior).__name__}, which does not know its mean. Draw a code: sample=True."
            ) from error

    def _emit(self, z: Tensor, context: Sequence[Tensor], mean: bool) -> Tensor:
        require_values("z", z)
        likelihood = self._law("likelihood", z, *context)
        return likelihood.mean if mean else likelihood.sample()


def _scored(likelihood: Distribution, x: Tensor, z: Tensor) -> Tensor:
    """Compute log p(x|z), shape (*S, B), and refuse other shapes of x or of it, which averages over examples would hide."""
    event = likelihood.event_shape
    if event and x.shape[1:] != event:
        raise ShapeError(
            f"The data has shape {tuple(x.shape)}, and the likelihood scores (B, {', '.join(map(str, event))}). Bring the examples "
            f"into that shape."
        )
    over = f"{x.ndim - 1} dimension{'s' * (x.ndim > 2)}, those of an event"
    return _per_draw("likelihood", likelihood, likelihood.log_prob(x), z, over)


def _per_draw(factor: str, law: Distribution, values: Tensor, z: Tensor, over: str) -> Tensor:
    """Return log-densities of a distribution, and refuse those that are not one number a latent of z, shape (*S, B, D)."""
    if values.shape != z.shape[:-1]:
        raise ShapeError(
            f"`log_prob` of the {factor}'s {type(law).__name__} has shape {tuple(values.shape)}; one number an example and "
            f"draw has shape {tuple(z.shape[:-1])}. Return torch.distributions.Independent of it over {over}, so that its "
            f"elements are added up."
        )
    return values


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode and give every module its own mode back afterwards."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def randomness(generator: torch.Generator | None, device: torch.device) -> Iterator[None]:
    """Draw from an explicit generator, which distributions do not accept, by lending its state to the default one."""
    if generator is None:
        yield
        return
    require_generator(generator)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        default = torch.cuda.default_generators[device.index or 0] if devices else torch.default_generator
        default.set_state(generator.get_state())
        yield
        generator.set_state(default.get_state())

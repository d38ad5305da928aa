"""A process of its own that fits digits and prints the seconds of its imports, of opening the data, and of the first step."""

from __future__ import annotations

import time

start = time.perf_counter()

import torch  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

import vaekit as vk  # noqa: E402
import vaekit.data  # noqa: E402
from vaekit.fitting import fit  # noqa: E402


class Stepped(BaseException):
    """The first step is done; no error, so that nothing explains it away."""


def stop(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    """Leave training after the first step."""
    raise Stepped


def main() -> None:
    """Fit until the first step is done, and print three times."""
    imported = time.perf_counter()
    data = vaekit.data.open("digits")
    opened = time.perf_counter()
    hook = register_optimizer_step_post_hook(stop)
    encoder, decoder = vk.networks.MLP(64, 100, 16), vk.networks.MLP(8, 100, data.event_shape)
    likelihood = vk.likelihoods.Bernoulli(decoder, data.event_shape, relaxed=True)
    model = vk.VAE(vk.priors.StandardNormal(8), vk.posteriors.DiagonalNormal(encoder), likelihood)
    try:
        fit(model, data=data, epochs=1, progress=False)
    except Stepped:
        done = time.perf_counter()
    finally:
        hook.remove()
    print(imported - start, opened - imported, done - opened)


if __name__ == "__main__":
    main()

"""Large linear layers by oneDNN: what torch computes, everywhere that torch's own layers work, and only where it is meant to be."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LATENT, QUIET, WIDTH, tiny_data, tiny_model
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

import vaekit as vk
from vaekit import onednn
from vaekit.evaluation import log_likelihood
from vaekit.onednn import linear, onednn_layers

OPERATION = torch.ops.mkldnn._linear_pointwise.default
pytestmark = [
    pytest.mark.skipif(not onednn._is_chosen(), reason="torch has no oneDNN beside MKL here"),
    pytest.mark.filterwarnings("ignore:TF32 acceleration", "ignore:`torch.jit.script` is deprecated"),
]
Map = Callable[[Tensor, Tensor, Tensor], Tensor]


class Products(TorchDispatchMode):
    """Counts layers that oneDNN computes."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func is OPERATION
        return func(*args, **(kwargs or {}))


@contextmanager
def least(multiplications: int) -> Iterator[None]:
    """Call layers large from so many multiplications on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "LEAST", multiplications)
        yield


def count(function: Callable[[], object]) -> int:
    """Count the layers that oneDNN computes in a call, all of them being large."""
    with least(0), Products() as products:
        function()
    return products.count


def factors(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw x, shape (*S, N), weights, shape (M, N), and a bias, for a shape (*S, N, M)."""
    *lead, n, m = shape
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.randn(size, generator=generator) for size in ((*lead, n), (m, n), (m,)))
    return tuple(t.requires_grad_() for t in drawn)  # type: ignore[return-value]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.booleans(), st.integers(0, 9))
def test_values_and_gradients_are_as_close_to_the_truth_as_single_precision_is(
    shape: list[int], has_bias: bool, seed: int
) -> None:
    given = factors(*shape, seed=seed)[: 2 + has_bias]
    exact = [t.detach().double().requires_grad_() for t in given]
    with least(0):
        y, truth = linear(*given), F.linear(*exact)
        gradients = torch.autograd.grad(y.cos().sum(), given)
    for found, expected in zip((y, *gradients), (truth, *torch.autograd.grad(truth.cos().sum(), exact)), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "layout", [lambda x: x.t().contiguous().t(), lambda x: x[:1].expand(6, 5), lambda x: x.repeat(1, 2)[:, ::2]]
)
def test_the_layout_in_memory_does_not_matter(layout: Callable[[Tensor], Tensor]) -> None:
    x, weight, bias = factors(6, 5, 4)
    with least(0):
        torch.testing.assert_close(linear(layout(x), weight, bias), F.linear(layout(x), weight, bias))


def second(function: Map, *given: Tensor) -> tuple[Tensor, ...]:
    """Differentiate the squared gradient."""
    gradients = torch.autograd.grad(function(*given).cos().sum(), given, create_graph=True)
    return torch.autograd.grad(sum(g.square().sum() for g in gradients), given)  # type: ignore[arg-type]


def dual(function: Map, *given: Tensor) -> tuple[Tensor, ...]:
    """Differentiate forward, by x alone, the bias alone, and all three."""
    found = []
    for moving in ((0,), (2,), (0, 1, 2)):
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(t, t.cos()) if i in moving else t for i, t in enumerate(given)]
            found.append(forward_ad.unpack_dual(function(*duals)).tangent)
    return tuple(found)


def hessian(function: Map, *given: Tensor) -> tuple[Tensor, ...]:
    """Differentiate twice by torch.func."""
    x, weight, bias = given
    return (torch.func.hessian(lambda w: function(x, w, bias).cos().sum())(weight),)


def batched(function: Map, *given: Tensor) -> tuple[Tensor, ...]:
    """Map over batches of weights."""
    x, weight, bias = given
    return (torch.vmap(function, (None, 0, None))(x, torch.stack([weight, -weight]), bias),)


@pytest.mark.parametrize("use", [second, dual, hessian, batched])
def test_other_derivatives_and_batching_are_those_of_torch(use: Callable[..., tuple[Tensor, ...]]) -> None:
    given = factors(3, 5, 4)
    with least(0):
        for found, expected in zip(use(linear, *given), use(F.linear, *given), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("has_gradient", [True, False])
def test_only_large_layers_are_computed_so(has_gradient: bool) -> None:
    layer, x = nn.Linear(8, 4), torch.ones(2, 8, requires_grad=True)
    for multiplications, products in ((64, 1 + has_gradient), (65, 0)):
        with least(multiplications), onednn_layers(layer), Products() as found, torch.set_grad_enabled(has_gradient):
            y = layer(x)
            if has_gradient:
                y.sum().backward()
        assert found.count == products


class Halved(nn.Linear):
    """A layer that is more than torch's."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) / 2


def with_own_forward() -> nn.Module:
    """Make a layer whose owner replaced what it computes."""
    layer = nn.Linear(3, 3)
    layer.forward = lambda input: 2 * input  # type: ignore[method-assign]
    return layer


@pytest.mark.parametrize(
    "layer",
    [Halved(3, 3), with_own_forward(), parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3).double()],
    ids=["subclass", "own forward", "weight norm", "double"],
)
def test_other_layers_stay_as_they_are(layer: nn.Module) -> None:
    x = torch.ones(2, 3, dtype=next(layer.parameters()).dtype)
    own, expected = vars(layer).get("forward"), layer(x)
    with onednn_layers(layer):
        assert count(lambda: torch.testing.assert_close(layer(x), expected)) == 0
    assert vars(layer).get("forward") is own


@contextmanager
def medium_precision() -> Iterator[None]:
    """Let torch round the factors of products."""
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    "wanted",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.backends.mkldnn.flags(enabled=False),
        medium_precision,
    ],
    ids=["mixed precision", "oneDNN switched off", "less precision"],
)
def test_what_the_user_wants_of_products_is_done(wanted: Callable[[], Any]) -> None:
    layer = nn.Linear(3, 3)
    with wanted(), onednn_layers(layer):
        assert count(lambda: layer(torch.ones(2, 3))) == 0


def fails_within(layer: nn.Module) -> None:
    """Leave two blocks, the outer one by an error."""
    with onednn_layers(layer):
        with onednn_layers(layer):
            inner = copy.deepcopy(layer)
        assert count(lambda: layer(torch.ones(2, 3))) == count(lambda: inner(torch.ones(2, 3))) == 1
        raise KeyError


def test_layers_are_torchs_again_afterwards() -> None:
    layer = nn.Linear(3, 3)
    with pytest.raises(KeyError):
        fails_within(layer)
    assert "forward" not in vars(layer)


def test_compilers_see_torchs_own_layers() -> None:
    layer, seen = nn.Linear(3, 3), []

    def compiler(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        seen.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    with onednn_layers(layer), least(0):
        torch.compile(layer, backend=compiler, fullgraph=True)(torch.ones(2, 3))
    assert seen == [F.linear]


def test_hooks_of_a_layer_are_called() -> None:
    layer, seen = nn.Linear(3, 3), []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with onednn_layers(layer):
        y = layer(torch.ones(2, 3))
    assert seen == [y]


@pytest.mark.parametrize("use", ["fit", "evaluation"])
def test_models_are_fitted_and_judged_so(use: str) -> None:
    model = tiny_model()
    if use == "fit":
        assert count(lambda: vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=1, **QUIET)) > 4
    else:
        assert count(lambda: log_likelihood(model, torch.ones(4, WIDTH), samples=8)) == 4
    assert count(lambda: model.decode(torch.zeros(3, LATENT))) == 0


def test_fits_agree_but_for_rounding() -> None:
    ends = []
    for multiplications in (0, 2**62):
        torch.manual_seed(0)
        model = tiny_model()
        with least(multiplications):
            vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=3, **QUIET)
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends)

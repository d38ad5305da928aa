"""Large linear layers by oneDNN: what torch computes, everywhere that torch's own layers work, and only where it is meant to be."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import QUIET, WIDTH, tiny_data, tiny_model
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import vaekit as vk
from vaekit.evaluation import log_likelihood
from vaekit.networks import linear
from vaekit.networks.linear import Linear

OPERATION = torch.ops.mkldnn._linear_pointwise.default
pytestmark = [
    pytest.mark.skipif(not linear.IS_BUILT, reason="torch has no oneDNN beside MKL here"),
    pytest.mark.filterwarnings("ignore:TF32 acceleration", "ignore:`torch.jit", "ignore:Sparse"),
]
Map = Callable[[Tensor], Tensor]


class Products(TorchDispatchMode):
    """Counts products by oneDNN."""

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
        patch.setattr(linear, "LEAST", multiplications)
        yield


def count(function: Callable[[], object]) -> int:
    """Count the products by oneDNN in a call, all layers being large."""
    with least(0), Products() as products:
        function()
    return products.count


def pair(n: int, m: int, bias: bool = True) -> tuple[Linear, nn.Linear]:
    """Make a layer, and torch's of the same weights."""
    torch.manual_seed(0)
    layer, plain = Linear(n, m, bias), nn.Linear(n, m, bias)
    plain.load_state_dict(layer.state_dict())
    return layer, plain


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=3), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_values_and_gradients_are_as_close_to_the_truth_as_single_precision_is(
    lead: list[int], n: int, m: int, bias: bool
) -> None:
    layer, plain = pair(n, m, bias)
    x = torch.randn(*lead, n, requires_grad=True)
    exact, inputs = plain.double(), x.detach().double().requires_grad_()
    with least(0), Products() as products:
        y, truth = layer(x), exact(inputs)
        gradients = torch.autograd.grad(y.cos().sum(), (x, *layer.parameters()))
    expected = torch.autograd.grad(truth.cos().sum(), (inputs, *exact.parameters()))
    assert products.count == 2
    for found, true in zip((y, *gradients), (truth, *expected), strict=True):
        torch.testing.assert_close(found.double(), true, rtol=1e-5, atol=1e-4)


LAYOUTS: dict[str, Map] = {
    "transposed": lambda x: x.t().contiguous().t(),
    "expanded": lambda x: x[:1].expand(6, 5),
    "strided": lambda x: x.repeat(1, 2)[:, ::2],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_does_not_matter(layout: str) -> None:
    layer, plain = pair(5, 4)
    x = LAYOUTS[layout](torch.randn(6, 5))
    with least(0):
        torch.testing.assert_close(layer(x), plain(x))


def second(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Differentiate the squared gradient."""
    given = (x.requires_grad_(), *layer.parameters())
    gradients = torch.autograd.grad(layer(x).cos().sum(), given, create_graph=True)
    return torch.autograd.grad(sum(g.square().sum() for g in gradients), given)  # type: ignore[arg-type]


def dual(layer: nn.Module, x: Tensor) -> Tensor:
    """Differentiate forward."""
    with forward_ad.dual_level():
        moved = layer(forward_ad.make_dual(x, x.cos()))
        return torch.stack(forward_ad.unpack_dual(moved)[:2])


def dual_bias(layer: nn.Module, x: Tensor) -> Tensor:
    """Differentiate forward by the bias."""
    bias = next(p for name, p in layer.named_parameters() if name == "bias")
    with forward_ad.dual_level():
        moved = torch.func.functional_call(layer, {"bias": forward_ad.make_dual(bias, bias.cos())}, x)
        return torch.stack(forward_ad.unpack_dual(moved)[:2])


def hessian(layer: nn.Module, x: Tensor) -> Tensor:
    """Differentiate twice by torch.func."""
    return torch.func.hessian(lambda x: layer(x).cos().sum())(x)


def forward_jacobian(layer: nn.Module, x: Tensor) -> Any:
    """Differentiate forward by all inputs at once."""
    return torch.autograd.functional.jacobian(layer, x, vectorize=True, strategy="forward-mode")


def in_place(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Change the output in place before the backward pass, and the weights of a first layer after it was used."""
    y = F.relu(layer(x[:, None]), inplace=True)
    with torch.no_grad():
        dict(layer.named_parameters())["weight"].mul_(2)
    return torch.autograd.grad(y.sum(), tuple(layer.parameters()))


def sparse(layer: nn.Module, x: Tensor) -> Tensor:
    """Map a sparse matrix."""
    return layer(x.relu().to_sparse())


def traced(layer: nn.Module, x: Tensor) -> Tensor:
    """Trace for saving."""
    return torch.jit.trace(layer, x)(x + 1)


def of_weights(layer: nn.Module, x: Tensor) -> Tensor:
    """Map over batches of weights."""
    weight = dict(layer.named_parameters())["weight"]
    call = torch.vmap(lambda w: torch.func.functional_call(layer, {"weight": w}, x))
    return call(torch.stack([weight, -weight]))


@pytest.mark.parametrize(
    "use", [second, dual, dual_bias, hessian, forward_jacobian, in_place, sparse, traced, of_weights]
)
def test_what_works_with_torchs_layers_works_with_large_ones(use: Callable[[nn.Module, Tensor], Any]) -> None:
    layer, plain = pair(5, 4)
    x = torch.randn(3, 5)
    with least(0):
        torch.testing.assert_close(use(layer, x.clone()), use(plain, x.clone()))


def test_frozen_layers_keep_no_inputs() -> None:
    layer, kept = Linear(5, 4).requires_grad_(False), []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with least(0), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(3, 5, requires_grad=True))
    assert [tuple(tensor.shape) for tensor in kept] == [(4, 5)]


@pytest.mark.parametrize(("multiplications", "products"), [(64, 2), (65, 0)])
def test_only_large_layers_are_computed_so(multiplications: int, products: int) -> None:
    layer, x = Linear(8, 4), torch.ones(2, 8, requires_grad=True)
    with least(multiplications), Products() as found:
        layer(x).sum().backward()
    assert found.count == products


@contextmanager
def medium_precision() -> Iterator[None]:
    """Let torch round the factors of products."""
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def newer_precision() -> Iterator[None]:
    """Choose the precision of another device by torch's newer settings, after which the older ones cannot be read."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


WISHES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "mixed precision": lambda: torch.autocast("cpu", torch.bfloat16),
    "oneDNN switched off": lambda: torch.backends.mkldnn.flags(enabled=False),
    "less precision": medium_precision,
    "less precision by newer settings": newer_precision,
}


@pytest.mark.parametrize("wish", WISHES)
def test_what_the_user_wants_of_products_is_done(wish: str) -> None:
    layer = Linear(3, 3)
    with WISHES[wish]():
        assert count(lambda: layer(torch.ones(2, 3))) == 0
    assert count(lambda: layer(torch.ones(2, 3))) == 1


def test_models_are_fitted_and_judged_whatever_settings_chose_the_precision() -> None:
    model = tiny_model()
    with newer_precision():
        assert count(lambda: vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=1, **QUIET).evaluate()) == 0


@pytest.mark.parametrize("change", [nn.Module.double, lambda layer: copy.deepcopy(layer).to("meta")])
def test_other_types_and_devices_stay_with_torch(change: Callable[[nn.Module], nn.Module]) -> None:
    layer = change(Linear(3, 3))
    x = torch.ones_like(next(layer.parameters()))
    assert count(lambda: layer(x)) == 0


def test_another_width_is_refused_by_torchs_own_error() -> None:
    with least(0), pytest.raises(RuntimeError, match="mat1 and mat2"):
        Linear(3, 4)(torch.ones(2, 5))


def test_compilers_see_torchs_own_layers() -> None:
    layer, seen = Linear(3, 3), []

    def compiler(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        seen.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    with least(0):
        torch.compile(layer, backend=compiler, fullgraph=True, dynamic=True)(torch.ones(2, 3))
    assert F.linear in seen
    assert linear.Product not in seen


def test_layers_are_copied_and_pickled() -> None:
    layer, x = Linear(3, 3), torch.ones(2, 3)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))


def test_models_are_fitted_and_judged_so() -> None:
    model = tiny_model()
    assert count(lambda: vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=1, **QUIET)) > 4
    assert count(lambda: log_likelihood(model, torch.ones(4, WIDTH), samples=8)) == 4


def test_fits_agree_but_for_rounding() -> None:
    ends = []
    for multiplications in (0, 2**62):
        torch.manual_seed(0)
        model = tiny_model()
        with least(multiplications):
            vk.fit(model, vk.objectives.ELBO(), tiny_data(), epochs=3, **QUIET)
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends)

"""Networks: exact sizes for any image, the published architectures, context, gradients, and errors that say the way out."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vaekit.errors import ConfigError, ShapeError
from vaekit.networks import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    Corrupted,
    GaussianNoise,
    GroupNorm,
    Masking,
    ResidualDecoder,
    ResidualEncoder,
    SaltAndPepper,
)
from vaekit.networks.pyramid import Residual, halvings

PAIRS = [(ConvEncoder, ConvDecoder), (ResidualEncoder, ResidualDecoder)]
ENCODERS = [ConvEncoder, ResidualEncoder]
DECODERS = [ConvDecoder, ResidualDecoder]
NORMALIZATIONS = [None, nn.BatchNorm2d, GroupNorm]
IMAGE = (2, 5, 7)

images = st.tuples(st.integers(1, 3), st.integers(1, 33), st.integers(1, 33))
levels = st.lists(st.integers(1, 3), min_size=1, max_size=5)


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
@given(image=images, channels=levels, kernel=st.sampled_from([1, 3, 5]))
def test_any_image_size_is_met_exactly(encoder, decoder, image, channels, kernel):
    into = encoder(image, 3, channels=channels, kernel=kernel)
    out = decoder(3, image, channels=channels, kernel=kernel)
    x = out(torch.zeros(2, 3))
    assert x.shape == (2, *image)
    assert into(x).shape == (2, 3)
    assert into.levels(x).shape[1:] == out.first


@given(image=images, channels=levels, kernel=st.sampled_from([2, 4]))
def test_even_kernels_meet_the_size_or_say_that_the_image_is_too_small(image, channels, kernel):
    if min(image[1:]) >> len(channels) == 0:
        with pytest.raises(ShapeError, match="fewer channels or an odd kernel"):
            ConvEncoder(image, 3, channels=channels, kernel=kernel)
        return
    x = ConvDecoder(3, image, channels=channels, kernel=kernel)(torch.zeros(2, 3))
    assert x.shape == (2, *image)
    assert ConvEncoder(image, 3, channels=channels, kernel=kernel)(x).shape == (2, 3)


@given(size=st.tuples(st.integers(1, 300), st.integers(1, 300)), count=st.integers(0, 9))
def test_odd_kernels_halve_rounding_up_and_stop_at_one(size, count):
    expected = [tuple(-(-n // 2**i) for n in size) for i in range(count + 1)]
    assert halvings(*size, levels=count, kernel=3) == expected


@pytest.mark.parametrize("channels", [(32, 64, 128, 256, 512), (512, 256, 128, 64, 32)])
def test_the_faces_network_is_expressible_with_its_channels_in_both_orders(channels):
    inner = channels[-1]
    encoder = ConvEncoder((3, 64, 64), 2 * 128, channels=channels, normalization=nn.BatchNorm2d)
    decoder = ConvDecoder(128, (3, 64, 64), channels=channels, normalization=nn.BatchNorm2d)
    down = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in down] == list(channels)
    assert [(m.in_channels, m.out_channels) for m in up] == list(
        zip(channels[::-1], (*channels[-2::-1], channels[0]), strict=True)
    )
    assert {(m.kernel_size, m.stride) for m in down + up} == {((3, 3), (2, 2))}
    assert [type(m) for m in encoder.levels] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 5
    assert (encoder.head.in_features, encoder.head.out_features) == (4 * inner, 256)
    assert decoder.first == (inner, 2, 2)
    assert isinstance(last := decoder.levels[-1], nn.Conv2d)
    assert (last.in_channels, last.out_channels, last.kernel_size) == (channels[0], 3, (3, 3))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_every_change_of_size_is_normalised_as_asked(encoder, decoder, normalization):
    networks = (
        encoder(IMAGE, 3, channels=(4, 6), normalization=normalization),
        decoder(3, IMAGE, channels=(4, 6), normalization=normalization),
    )
    for network in networks:
        found = [m for m in network.levels if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm))]
        assert [type(m) for m in found] == [normalization] * (2 if normalization else 0)


def test_a_perceptron_reads_the_data_first_and_then_the_context_in_order():
    network, x, first, second = MLP(4, 3, context=3), torch.randn(5, 2, 2), torch.randn(5, 2), torch.randn(5, 1)
    whole = torch.cat([x.flatten(1), first, second], 1)
    torch.testing.assert_close(network(x, first, second), network.layers(whole))


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Tanh])
@pytest.mark.parametrize("build", [*ENCODERS, MLP])
def test_the_activation_is_the_one_asked_for(build, activation):
    settings = {"hidden": (3,)} if build is MLP else {"channels": (2,)}
    network = build(IMAGE, 3, activation=activation, **settings)
    assert any(isinstance(m, activation) for m in network.modules())
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


def test_a_residual_block_adds_to_its_input():
    block = Residual(4, GroupNorm, nn.ReLU)
    nn.init.zeros_(block.layers[-1].weight)
    nn.init.ones_(block.layers[-1].bias)
    x = torch.randn(2, 4, 3, 5)
    assert torch.equal(block(x), x + 1)


@pytest.mark.parametrize("channels", [1, 3, 12, 32])
def test_group_normalisation_treats_every_example_by_itself(channels):
    norm, x = GroupNorm(channels), torch.randn(5, channels, 4, 4)
    assert channels % norm.num_groups == 0
    torch.testing.assert_close(norm(x)[2:3], norm(x[2:3]))


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]] = {
    "MLP": lambda: (MLP(70, 5, 3), (torch.randn(4, *IMAGE),)),
    "MLP-context": lambda: (
        MLP(IMAGE, 3, hidden=(5,), context=6),
        (torch.randn(4, *IMAGE), torch.randn(4, 2), torch.randn(4, 4)),
    ),
    "ConvEncoder": lambda: (ConvEncoder(IMAGE, 3, channels=(4, 4)), (torch.randn(4, *IMAGE),)),
    "ConvEncoder-context": lambda: (
        ConvEncoder(IMAGE, 3, channels=(4,), context=2),
        (torch.randn(4, *IMAGE), torch.randn(4, 2)),
    ),
    "ConvEncoder-batch": lambda: (
        ConvEncoder(IMAGE, 3, channels=(4,), normalization=nn.BatchNorm2d),
        (torch.randn(4, *IMAGE),),
    ),
    "ConvDecoder": lambda: (ConvDecoder(3, IMAGE, channels=(4, 4)), (torch.randn(4, 3),)),
    "ConvDecoder-context": lambda: (
        ConvDecoder(3, IMAGE, channels=(4,), context=2),
        (torch.randn(4, 3), torch.randn(4, 2)),
    ),
    "ResidualEncoder": lambda: (
        ResidualEncoder(IMAGE, 3, channels=(4, 4), context=1),
        (torch.randn(4, *IMAGE), torch.randn(4, 1)),
    ),
    "ResidualDecoder": lambda: (ResidualDecoder(3, IMAGE, channels=(4, 4)), (torch.randn(4, 3),)),
}


@pytest.fixture(params=NETWORKS)
def built(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return NETWORKS[request.param]()


def test_every_parameter_and_every_input_gets_a_finite_gradient(built):
    network, inputs = built
    inputs = tuple(i.requires_grad_() for i in inputs)
    network(*inputs).square().sum().backward()
    gradients = [t.grad for t in (*network.parameters(), *inputs)]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert all(i.grad.abs().sum() > 0 for i in inputs)


def test_rows_are_independent_in_evaluation(built):
    network, inputs = built
    network.eval()
    torch.testing.assert_close(network(*inputs)[1:2], network(*(i[1:2] for i in inputs)))


def test_a_copy_in_double_precision_agrees(built):
    network, inputs = built
    double = copy.deepcopy(network).double()
    torch.testing.assert_close(double(*(i.double() for i in inputs)).float(), network(*inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("second", [lambda: MLP(6, 3, hidden=(5, 4)), lambda: MLP(6, 5, 3, hidden=(4,))])
def test_hidden_widths_come_before_the_last(second):
    first, second = MLP(6, 5, 4, 3), second()
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 6)
    assert torch.equal(first(x), second(x))


def test_an_mlp_folds_its_output_and_flattens_its_input():
    assert MLP(IMAGE, 9, IMAGE)(torch.zeros(2, *IMAGE)).shape == (2, *IMAGE)


CORRUPTIONS = {
    "Masking": (Masking(0.3), lambda x, y: (y == 0, y == x)),
    "SaltAndPepper": (SaltAndPepper(0.3), lambda x, y: (y != x, y == x)),
    "Dropout": (nn.Dropout(0.3), lambda x, y: (y == 0, torch.isclose(y, x / 0.7))),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_hits_its_share_of_elements_in_training_alone(name):
    (corruption, kinds), x = CORRUPTIONS[name], torch.rand(200, 100) * 0.8 + 0.1
    network = Corrupted(corruption, nn.Identity())
    hit, kept = kinds(x, network(x))
    assert (hit ^ kept).all()
    assert abs(hit.float().mean().item() - 0.3) < 4 * (0.3 * 0.7 / x.numel()) ** 0.5
    assert torch.equal(network.eval()(x), x)


def test_salt_and_pepper_are_as_frequent():
    y = SaltAndPepper(1.0)(torch.full((200, 100), 0.5))
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert abs(y.mean().item() - 0.5) < 4 * 0.5 / y.numel() ** 0.5


def test_gaussian_noise_has_its_scale_in_training_alone():
    noise, x = GaussianNoise(0.25), torch.rand(200, 100)
    assert abs((noise(x) - x).std().item() - 0.25) < 4 * 0.25 / (2 * x.numel()) ** 0.5
    assert torch.equal(noise.eval()(x), x)


def test_corruption_leaves_further_inputs_alone():
    network = Corrupted(Masking(1.0), MLP(2, 3, context=2))
    x, c = torch.randn(4, 2), torch.randn(4, 2)
    assert torch.equal(network(x, c), network.network(torch.zeros_like(x), c))


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_of_corruption_is_checked(probability):
    with pytest.raises(ConfigError, match="at least 0 and at most 1"):
        Masking(probability)


def test_an_mlp_ends_and_starts_as_asked():
    network = MLP(50, 40, 30, output_activation=nn.Sigmoid, initial_deviation=0.01)
    assert isinstance(network.layers[-1], nn.Sigmoid)
    values = torch.cat([p.flatten() for p in network.parameters()])
    assert abs(values.std().item() - 0.01) < 4 * 0.01 / (2 * len(values)) ** 0.5
    assert abs(values.mean().item()) < 4 * 0.01 / len(values) ** 0.5


ERRORS = {
    "an MLP is given another width": (lambda: MLP(9, 4, 2)(torch.zeros(5, 8)), r"built for 9 input features and got 8"),
    "an encoder is given a width": (lambda: ConvEncoder(784, 4), r"needs images of shape \(channels, height, width\)"),
    "an encoder is given height and width": (lambda: ResidualEncoder((28, 28), 4), "an MLP, which takes any shape"),
    "a decoder is given a width": (lambda: ConvDecoder(4, (784,)), "ConvDecoder needs images"),
    "a side is empty": (lambda: ConvDecoder(4, (1, 0, 3)), r"was given \(1, 0, 3\)"),
    "an image has another shape": (
        lambda: ConvEncoder((1, 8, 8), 4)(torch.zeros(5, 1, 8, 9)),
        r"got inputs of shape \[\(1, 8, 9\)\]",
    ),
    "context is missing": (lambda: ConvEncoder((1, 8, 8), 4, context=3)(torch.zeros(5, 1, 8, 8)), "context=3"),
    "context is unexpected": (
        lambda: ConvDecoder(4, (1, 8, 8))(torch.zeros(5, 4), torch.zeros(5, 2)),
        "context's total width",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_shape_is_refused_with_the_way_out_when(case):
    act, message = ERRORS[case]
    with pytest.raises(ShapeError, match=message):
        act()


@pytest.mark.parametrize("settings", [{"channels": ()}, {"channels": (4, 0)}, {"kernel": 0}, {"blocks": -1}])
@pytest.mark.parametrize(
    "build", [lambda **s: ResidualEncoder(IMAGE, 3, **s), lambda **s: ResidualDecoder(3, IMAGE, **s)]
)
def test_a_setting_out_of_range_is_refused(build, settings):
    with pytest.raises(ConfigError, match="at least one level"):
        build(**settings)

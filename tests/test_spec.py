"""Describing objects as plain data and building them again."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
import yaml
import zuko
from torch import nn

import vaekit as vk
from vaekit import spec
from vaekit.errors import ConfigError


class Remembers(nn.Module):
    """A user's module that follows the convention."""

    def __init__(self, width: int, slope: float = 0.5) -> None:
        super().__init__()
        self.width, self.slope = width, slope
        self.layer = nn.Linear(width, width)


class Forgets(nn.Module):
    """A user's module that keeps its argument nowhere."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


def halve(width: int) -> nn.Linear:
    """A user's factory."""
    return nn.Linear(width, width // 2)


MODULES = {
    "linear": lambda: nn.Linear(3, 2, bias=False),
    "convolution": lambda: nn.Conv2d(3, 2, 3, stride=2, padding=1),
    "sequential": lambda: nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1, bias=False)),
    "perceptron": lambda: vk.networks.MLP(9, 8, 7, (1, 2, 2), activation=partial(nn.Softplus, beta=2.0)),
    "convolutional encoder": lambda: vk.networks.ConvEncoder((1, 9, 7), 6, channels=(4, 5)),
    "residual decoder": lambda: vk.networks.ResidualDecoder(3, (2, 9, 7), channels=(4, 5)),
    "batch norm": lambda: nn.BatchNorm2d(3, affine=False),
    "user's": lambda: Remembers(3, slope=0.1),
    "flow": lambda: spec.call(zuko.flows.NSF, 3, transforms=1),
    "user's factory": lambda: spec.call(halve, 8),
}


def test_what_is_public_is_named_by_its_room() -> None:
    module = vk.posteriors.DiagonalNormal(vk.networks.MLP(3, 4))
    described = spec.describe(module)
    assert described["class_path"] == "vaekit.posteriors.DiagonalNormal"
    assert described["init_args"]["network"]["class_path"] == "vaekit.networks.MLP"


def test_a_module_that_two_parts_share_is_shared_again() -> None:
    shared = Remembers(3)
    pair = nn.Sequential(shared, shared, nn.Sequential(shared), Remembers(3))
    first, second, (third,), other = spec.build(yaml.safe_load(yaml.safe_dump(spec.describe(pair))))
    assert first is second is third
    assert first is not other


@pytest.mark.parametrize("name", MODULES)
def test_a_module_survives_the_way_through_yaml(name: str) -> None:
    module = MODULES[name]()
    described = yaml.safe_load(yaml.safe_dump(spec.describe(module)))
    rebuilt = spec.build(described)
    rebuilt.load_state_dict(module.state_dict())
    assert type(rebuilt) is type(module)
    assert spec.rebuilt(module, described)
    assert spec.describe(rebuilt) == described


@pytest.mark.parametrize(
    "objective",
    [
        vk.objectives.ELBO(beta=vk.objectives.Linear(steps=3), free_bits=0.1),
        vk.objectives.IWAE(5),
        vk.objectives.L2(vk.objectives.ELBO(beta=2.0), weight=0.1),
    ],
)
def test_an_objective_survives_the_way_through_yaml(objective: vk.objectives.Objective) -> None:
    assert spec.build(yaml.safe_load(yaml.safe_dump(spec.describe(objective)))) == objective


def test_a_module_that_keeps_its_argument_nowhere_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="Forgets keeps its constructor argument `width` in no attribute"):
        spec.describe(Forgets(3))


def test_tied_weights_are_noticed() -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert not spec.rebuilt(tied, spec.describe(tied))


@pytest.mark.parametrize(
    "path", ["os.system", "subprocess.Popen", "builtins.eval", "builtins.print", "shutil.rmtree", "pathlib.Path"]
)
def test_a_hostile_configuration_runs_nothing(path: str) -> None:
    with pytest.raises(ConfigError, match="neither a module, nor a dataclass"):
        spec.build({"class_path": path, "args": ["true"]})


@pytest.mark.parametrize("path", ["nowhere.Thing", "vaekit.Nothing", "Linear", ""])
def test_a_class_that_is_not_there_is_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        spec.build({"class_path": path})


def test_arguments_that_have_no_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="some of whose arguments have no name"):
        spec.describe_factory(partial(nn.Sequential, nn.ReLU()))


def test_a_local_class_is_refused_by_name() -> None:
    class Local(nn.Module):
        pass

    with pytest.raises(ConfigError, match=r"is local\. Define it in a module"):
        spec.describe(Local())


def test_rebuilding_leaves_the_random_state_alone() -> None:
    module = nn.Linear(3, 2)
    before = torch.get_rng_state()
    assert spec.rebuilt(module, spec.describe(module))
    assert torch.equal(before, torch.get_rng_state())


def test_importing_a_class_leaves_the_global_checks_of_torch_alone() -> None:
    code = (
        "from torch.distributions import Distribution; from vaekit import spec; spec.import_object('zuko.flows.NSF');"
        "import sys; print(Distribution._validate_args, 'zuko' in sys.modules)"
    )
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert end.stdout.split() == ["True", "True"]

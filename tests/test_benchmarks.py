"""The benchmark's peers train the network that vaekit trains, and its tables and page say what was measured."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import first_step
from benchmarks.cases import FACES, MNIST, RECTANGLES, Case
from benchmarks.losses import Plain
from benchmarks.measure import Ratio, compare
from benchmarks.networks import Network, Perceptron
from benchmarks.page import page
from benchmarks.peers import load, ours
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells
from benchmarks.tables import NAMES
from benchmarks.tables import load as load_table
from benchmarks.tables.arithmetic import recorded
from benchmarks.tables.importance import saved
from benchmarks.tables.training import CAPTURED, PEERS
from vaekit.evaluation import log_likelihood

TINY = Case("tiny", Perceptron((1, 28, 28), 2, (8,)), batch=4, steps=2)


@pytest.mark.parametrize("place", ["ours.epoch", *PEERS.values()])
def test_every_peer_trains_for_an_epoch(place: str) -> None:
    peer = load(place)
    if peer is None:
        pytest.skip(f"{place} is not installed")
    assert peer(TINY) > 0
    assert torch.distributions.Distribution._validate_args


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("place", CAPTURED.values())
def test_a_step_captured_by_hand_trains_for_an_epoch(place: str) -> None:
    peer = load(place)
    assert peer is not None
    assert peer(Case("tiny", TINY.network, 4, 2, device="cuda")) > 0


@pytest.mark.parametrize("network", [MNIST, RECTANGLES, FACES])
def test_peers_have_the_layers_of_vaekits_model(network: Network) -> None:
    plain = Plain(Case("", network, 1, 1))
    shapes = [p.shape for p in (*plain.encoder.parameters(), *plain.decoder.parameters())]
    assert [p.shape for p in network.model().parameters()] == shapes


def test_weights_written_by_hand_estimate_what_vaekit_estimates() -> None:
    plain, model = Plain(TINY), TINY.network.model()
    linear = [m for m in plain.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        for mine, its in zip((m for m in model.modules() if isinstance(m, torch.nn.Linear)), linear, strict=True):
            mine.load_state_dict(its.state_dict())
        linear[1].weight[2:], linear[1].bias[2:] = 2 * linear[1].weight[2:], 2 * linear[1].bias[2:]
        x = torch.rand(3, 1, 28, 28)
        log_weights = plain.log_weights(x.flatten(1), samples := 10_000)
        share = log_weights.softmax(0)
        error = (
            (samples * share.square().sum(0) - 1).div(samples).sqrt()
        )  # of the logarithm of a mean, by the delta method
        gap = log_weights.logsumexp(0) - math.log(samples) - log_likelihood(model, x, samples=samples)
    assert (gap.abs() < 4 * math.sqrt(2) * error).all()
    assert (error < 0.1).all()


def test_products_are_those_of_a_step() -> None:
    widths, inner = [(784, 8), (8, 4), (2, 8), (8, 784)], 3 * 2 * 4
    work = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in recorded(TINY))
    assert work == sum(inner * a * b for a, b in widths) - 2 * 4 * 784 * 8


def test_memory_of_importance_weights_grows_with_samples() -> None:
    few, many = (saved(Case("", TINY.network, 4, 1, samples=k)) for k in (10, 20))
    assert 1.8 < many / few <= 2


def test_ratios_are_medians_of_pairs_after_a_warm_up() -> None:
    times = iter([100.0, 1.0, 1.0, 4.0])
    ratio = compare(lambda case: 1.0, lambda case: next(times), TINY, rounds=3)
    assert (ratio.value, ratio.low, ratio.high, ratio.theirs) == (1.0, 1.0, 2.5, 1.0)


def test_the_page_shows_tables_and_whether_goals_are_met() -> None:
    table = Table("Speed", ("case", "ratio", "quartiles", "goal"), "That is all.")
    table.add("first", *ratio_cells(Ratio(1.2, 1.1, 1.3, 1.0, 1.2), 1.0))
    table.add("second", *ratio_cells(Ratio(0.8, 0.7, 0.9, 1.0, 0.8), 1.0))
    text = page([table.render()], "python -m benchmarks", ["a machine"], Setting())
    assert "| first | 1.20 | 1.10 to 1.30 | 1.00, met |" in text
    assert "| second | 0.80 | 0.70 to 0.90 | 1.00, not met |" in text
    assert "- a machine" in text
    assert "There was none" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_found(name: str) -> None:
    assert callable(load_table(name))


def test_vaekit_is_timed_without_a_folder() -> None:
    assert ours.trainer(TINY).saver.folder is None


def test_the_first_step_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    first_step.main()
    assert all(float(seconds) > 0 for seconds in capsys.readouterr().out.split()[-3:])


def test_items_of_the_tutorial_are_the_images() -> None:
    by_pyro = pytest.importorskip("benchmarks.peers.by_pyro")
    for shape in ((1, 28, 28), (3, 6, 5)):
        stored = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
        assert torch.equal(by_pyro.Decoded(stored, shape)[2], stored[2] / 255)

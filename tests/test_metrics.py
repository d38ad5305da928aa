"""What a run records: averages over examples, tables that lose no term, and events that appear once."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from shell import LAST
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import LATENT, QUIET, WIDTH, fitted, tiny_data, tiny_model
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import vaekit as vk
from vaekit.objectives import ELBO, Terms
from vaekit.training import Progress, checkpoint
from vaekit.training import meter as meter_room
from vaekit.training.meter import Meter, Reading
from vaekit.training.recorder import METRICS, Recorder, read_table

SIZES = (7, 7, 7, 2)


def batch(i: int, late: bool) -> Terms:
    """Make the terms of a batch, some of which are short; all values are integers, whose sums are exact in any order."""
    rows = torch.arange(SIZES[i % len(SIZES)])
    extras = {"beta": float(i), **({"late": torch.tensor(2.0 * i)} if late else {})}
    rates = rows[:, None] + torch.tensor([i, 3.0])
    trace = tiny_model().trace(torch.zeros(1, WIDTH))
    return Terms(torch.tensor(float(i * i)), i - rows, rows * i, rates, trace, True, extras)


@pytest.mark.parametrize("large", [0, 100])
@pytest.mark.parametrize("fold", [False, True])
def test_averages_are_over_examples_however_batches_are_added_up(
    fold: bool, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_room, "LARGE", large)
    meter, terms = Meter(), [batch(i, late=i >= 22) for i in range(44)]
    for each in terms:
        meter.add(each)
        if fold:
            meter.fold()
            assert len(meter) < 16
    reading, late = meter.read(), terms[22:]
    rows, late_rows = (sum(len(each.bound) for each in some) for some in (terms, late))
    assert reading.examples == rows
    assert reading.values == {
        "loss": sum(each.loss.item() * len(each.bound) for each in terms) / rows,
        "bound": sum(each.bound.sum().item() for each in terms) / rows,
        "distortion": sum(each.distortion.sum().item() for each in terms) / rows,
        "rate": pytest.approx(sum(each.rate.sum().item() for each in terms) / rows, rel=1e-14),
        "beta": sum(each.extras["beta"] * len(each.bound) for each in terms) / rows,
        "late": sum(each.extras["late"].item() * len(each.bound) for each in late) / late_rows,
    }
    means = torch.cat([each.rates for each in terms]).double().mean(0).tolist()
    assert reading.rates == {"latent_0": means[0], "latent_1": means[1]}
    assert len(meter.read().steps) == len(meter) == 0


def test_an_epoch_averages_a_term_over_the_examples_that_have_it() -> None:
    progress = Progress()
    for counts, values in [({"loss": 2}, {"loss": 1.0}), ({"loss": 6, "late": 3}, {"loss": 5.0, "late": 7.0})]:
        progress.collect(Reading(counts, values, {}, []))
    assert progress.epoch_average() == {"loss": 4.0, "late": 7.0}
    progress.next_epoch()
    assert progress.epoch_average() == {}


class Late(vk.objectives.Objective):
    """Reports a further term from a step on, in training alone."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> Terms:
        terms = ELBO()(model, x, *context)
        if not model.training or model.step < self.step:
            return terms
        return replace(terms, extras={**terms.extras, "late, and odd": terms.loss.detach() * 0 + model.step})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("stop", [None, 1, 2])
def test_a_term_that_appears_late_is_recorded(tmp_path: Path, every_step: bool, stop: int | None) -> None:
    settings: dict[str, Any] = {"every_step": every_step, "log_every": 1, "objective": Late(6)}
    if stop is not None:
        fitted(tmp_path / "run", stop, **settings)
    run = fitted(tmp_path / "run", 3, resume=stop is not None, **settings)
    late = run.history["train"]["late, and odd"]
    assert late == pytest.approx([math.nan] * 6 + [6, 7, 8, 9, 10, 11], nan_ok=True)
    assert run.history["epoch"]["late, and odd"] == pytest.approx([math.nan, 19 / 3, 65 / 7], nan_ok=True)
    assert "late, and odd" not in run.history["validation"]
    if every_step:
        assert [row["late, and odd"] for row in table(tmp_path / "run" / "steps.csv")][5:8] == ["", "6.0", "7.0"]
    run.report(samples=1, limit=5)


def test_rows_after_the_checkpoint_are_cut_off_also_from_a_table_that_has_become_wider(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 2, objective=ELBO(), log_every=1)
    before = checkpoint.load(tmp_path / "run" / LAST)["tables"]
    recorder = Recorder(tmp_path / "run", False, before)
    recorder.record("train", 9, 3, {"loss": 1.0, "late": 2.0}, {})
    recorder.record("train", 10, 3, {"loss": 1.0, "late": 2.0}, {})
    assert recorder.rows[METRICS] == before[METRICS] + 2
    run = fitted(tmp_path / "run", 2, resume=True, objective=ELBO(), log_every=1)
    rows = table(tmp_path / "run" / METRICS)
    assert len(rows) == before[METRICS]
    assert all(row["late"] == "" for row in rows)
    assert run.history["train"]["step"] == list(range(1, 9))


def test_a_kill_while_a_table_becomes_wider_leaves_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path, False)
    recorder.record("train", 1, 1, {"loss": 1.0}, {})
    before = (tmp_path / METRICS).read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        recorder.record("train", 2, 1, {"loss": 1.0, "late": 2.0}, {})
    assert (tmp_path / METRICS).read_bytes() == before


def test_a_table_that_ends_in_the_middle_of_a_row_is_cut_to_whole_rows(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("step,epoch,split,loss\n1,1,train,2.0\n2,1,tr")
    recorder = Recorder(tmp_path, False, {METRICS: 5})
    assert recorder.rows[METRICS] == 1
    recorder.record("train", 2, 1, {"loss": 3.0}, {})
    assert read_table(tmp_path / METRICS) == {"train": {"step": [1, 2], "epoch": [1, 1], "loss": [2, 3]}}


def test_a_step_of_several_batches_is_one_row(tmp_path: Path) -> None:
    fitted(tmp_path / "run", 2, every_step=True, accumulate=3, log_every=1)
    steps, reports = (table(tmp_path / "run" / name) for name in ("steps.csv", METRICS))
    trained = [row for row in reports if row["split"] == "train"]
    assert [row["step"] for row in steps] == ["1", "2", "3", "4"] == [row["step"] for row in trained]
    for step, report in zip(steps, trained, strict=True):
        assert {name: float(step[name]) for name in step} == pytest.approx({name: float(report[name]) for name in step})


class Flowing(vk.Conditional):
    """A posterior that knows neither its mean nor its variance."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> Distribution:
        loc = self.network(*given)[:, :LATENT]
        base = Independent(Normal(loc, torch.ones_like(loc)), 1)
        return torch.distributions.TransformedDistribution(base, [torch.distributions.ExpTransform()])


@pytest.mark.parametrize("posterior", [vk.posteriors.Delta, Flowing])
def test_a_variance_that_is_not_there_is_not_reported(
    tmp_path: Path, posterior: Callable[[nn.Module], nn.Module]
) -> None:
    model = tiny_model(posterior=posterior(vk.networks.MLP(WIDTH, 5, LATENT)))
    run = vk.fit(model, ELBO(), tiny_data(), run=tmp_path / "run", epochs=1, every_step=True, **QUIET)
    for row in (*table(tmp_path / "run" / "steps.csv"), *table(tmp_path / "run" / METRICS)):
        assert "posterior_log_variance" not in row
    assert all(map(math.isfinite, run.history["train"]["posterior_mean"]))


CONCRETE: dict[str, Any] = {
    "prior": vk.priors.UniformCategorical(LATENT * 2, categories=2),
    "posterior": vk.posteriors.Concrete(vk.networks.MLP(WIDTH, 5, LATENT * 2), categories=2),
    "likelihood": vk.likelihoods.Bernoulli(vk.networks.MLP(LATENT * 2, 5, WIDTH), WIDTH),
}
GREY: dict[str, Any] = {"likelihood": vk.likelihoods.Bernoulli(vk.networks.MLP(LATENT, 5, WIDTH), WIDTH, relaxed=True)}


@pytest.mark.parametrize(
    ("parts", "trained", "validated", "rates"),
    [
        ({}, {"bound", "rate"}, {"bound", "rate"}, ["latent_0", "latent_1"]),
        ({"posterior": Flowing(vk.networks.MLP(WIDTH, 5, LATENT))}, {"bound", "rate"}, {"bound", "rate"}, ["total"]),
        ({"posterior": vk.posteriors.Delta(vk.networks.MLP(WIDTH, 5, LATENT))}, {"prior_cost"}, {"prior_cost"}, []),
        (CONCRETE, {"relaxed_bound", "rate"}, {"bound", "rate"}, ["group_0", "group_1"]),
        (GREY, {"relaxed_bound", "rate"}, {"relaxed_bound", "rate"}, ["latent_0", "latent_1"]),
    ],
    ids=["numbers", "flow", "point", "categories", "cross-entropy"],
)
@pytest.mark.parametrize("every_step", [False, True])
def test_terms_are_called_what_they_are(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    parts: dict[str, Any],
    trained: set[str],
    validated: set[str],
    rates: list[str],
    every_step: bool,
) -> None:
    settings = {**QUIET, "progress": True, "every_step": every_step}
    run = vk.fit(tiny_model(**parts), ELBO(), tiny_data(), run=tmp_path / "run", epochs=1, **settings)
    distortion = "relaxed_distortion" if parts is GREY else "distortion"
    named, second = {"bound", "relaxed_bound", "rate", "prior_cost"}, "rate" if rates else "prior cost"
    for split, expected in (("train", trained), ("epoch", trained), ("validation", validated)):
        row = {name: values[-1] for name, values in run.history[split].items()}
        assert set(row) & named == expected
        part = row.get("rate", row.get("prior_cost", 0))
        assert row["loss"] == pytest.approx(row[distortion] + part, rel=1e-5)
        assert [name for name in run.rates[split] if name not in ("step", "epoch")] == (
            rates if split != "epoch" else []
        )
    if rates:
        assert sum(run.rates["validation"][name][0] for name in rates) == pytest.approx(row["rate"])
    if every_step:
        assert trained <= set(table(tmp_path / "run" / "steps.csv")[0])
    assert re.search(
        rf"nats \({distortion.replace('_', ' ')} [\d.]+, {second} [-\d.]+\), validation", capsys.readouterr().err
    )
    drawn = {i.name for i in run.illustrate()}
    assert {"bounds", "rates"} & drawn == ({"bounds", "rates"} if rates else set())


def scalars(folder: Path) -> dict[str, list[int]]:
    """Return the steps of each curve that TensorBoard shows, but for the speed."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags: Sequence[str] = events.Tags()["scalars"]
    return {tag: [event.step for event in events.Scalars(tag)] for tag in tags}


class Killed(vk.objectives.Objective):
    """Fails at a step, if it comes to that."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, model: vk.VAE, x: Tensor, *context: Tensor) -> Terms:
        if model.training and model.step == self.step:
            raise RuntimeError("killed")
        return ELBO()(model, x, *context)


@pytest.mark.parametrize(("step", "saved"), [(3, 0), (6, 4)])
def test_events_after_the_checkpoint_appear_once_and_those_before_it_stay(
    tmp_path: Path, step: int, saved: int
) -> None:
    settings: dict[str, Any] = {"tensorboard": True, "log_every": 1}
    fitted(tmp_path / "whole", 2, objective=ELBO(), **settings)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(tmp_path / "killed", 2, objective=Killed(step), **settings)
    assert checkpoint.load(tmp_path / "killed" / LAST)["model"]["step"] == saved
    assert scalars(tmp_path / "killed")["train/loss"] == list(range(1, step + 1))
    fitted(tmp_path / "killed", 2, resume=True, objective=Killed(-1), **settings)
    assert scalars(tmp_path / "killed") == scalars(tmp_path / "whole")
    assert scalars(tmp_path / "whole")["train/loss"] == list(range(1, 9))

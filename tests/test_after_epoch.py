"""What a fit gives back without a folder, what it calls after each epoch, and where a second fit of a model begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_checkpoints import Validates
from tiny import QUIET, fitted, same, tiny_data, tiny_model

import vaekit as vk
from vaekit.errors import ConfigError
from vaekit.objectives import ELBO, Linear


def test_averages_are_told_after_each_epoch_as_they_are_recorded(tmp_path: Path) -> None:
    told: list[tuple[int, Mapping[str, Any]]] = []
    run = fitted(tmp_path / "run", 2, after_epoch=lambda *given: told.append(given))
    assert [epoch for epoch, _ in told] == [1, 2]
    for kept, split in (("epoch", "train"), ("validation", "validation")):
        assert run.history[kept]["loss"] == pytest.approx([found[split]["loss"] for _, found in told])


def test_training_stops_where_it_is_told_to(tmp_path: Path) -> None:
    run = fitted(tmp_path / "run", 5, after_epoch=lambda epoch, found: epoch == 2)
    assert run.progress is not None
    assert run.progress.epoch == 2
    assert fitted(tmp_path / "run", 3, resume=True).progress.epoch == 3  # type: ignore[union-attr]


class PrunedError(Exception):
    """What a sweep raises."""


def test_what_is_raised_after_an_epoch_finds_it_saved(tmp_path: Path) -> None:
    def prune(epoch: int, found: Mapping[str, Any]) -> None:
        raise PrunedError

    with pytest.raises(PrunedError):
        fitted(tmp_path / "run", 3, after_epoch=prune)
    resumed, straight = fitted(tmp_path / "run", 3, resume=True), fitted(tmp_path / "straight", 3)
    assert same(dict(resumed.model.state_dict()), dict(straight.model.state_dict()))


def test_a_run_without_a_folder_is_worth_as_much(tmp_path: Path) -> None:
    settings = {"objective": Validates([3.0, 5.0, 4.0, 6.0]), "patience": 3}
    kept, held = (fitted(folder, 4, **settings) for folder in (tmp_path / "run", None))
    assert kept.checkpoint == held.checkpoint == "best-epoch0001"
    assert same(dict(kept.model.state_dict()), dict(held.model.state_dict()))
    assert kept.history == held.history
    assert kept.rates == held.rates


def test_a_second_fit_begins_at_step_0() -> None:
    model, warm_up = tiny_model(), ELBO(beta=Linear(steps=100))
    vk.fit(model, data=tiny_data(), epochs=2, **QUIET)
    run = vk.fit(model, warm_up, data=tiny_data(), epochs=1, **QUIET)
    assert run.history["train"]["beta"][0] < 0.1


def test_patience_needs_validation() -> None:
    with pytest.raises(ConfigError, match="`patience` is 2, but there are no rows for validation"):
        vk.fit(tiny_model(), data=vk.data.open(tiny_data().train.x, validation=0), patience=2, **QUIET)


def test_what_is_called_after_each_epoch_is_a_function() -> None:
    with pytest.raises(ConfigError, match="`after_epoch` is 3; it must be a function"):
        vk.fit(tiny_model(), data=tiny_data(), epochs=1, after_epoch=3, **QUIET)  # type: ignore[arg-type]

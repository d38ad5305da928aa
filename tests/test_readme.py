"""The tables of the pages are what the code says: each is made anew from the code and compared."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import yaml
from catalogue import compose
from prose import PAGES, ROOT, blocks, quoted, table
from surface import members
from torch import nn

import vaekit as vk
from vaekit import cli, evaluation, likelihoods, recipes, training
from vaekit.data.reading import NAMES
from vaekit.errors import ConfigError, VaekitError
from vaekit.objectives import Objective, Schedule, Terms
from vaekit.spec import keeping_checks

README, DOCS = ROOT / "README.md", ROOT / "docs"


def concrete(room: ModuleType, base: type) -> set[str]:
    """Name the classes of a room that can be made and are of a kind."""
    classes = members(room).items()
    return {n for n, c in classes if isinstance(c, type) and issubclass(c, base) and not inspect.isabstract(c)}


def networks() -> set[str]:
    """Name the networks that map events to vectors, or back."""
    kinds = concrete(vk.networks, nn.Module)
    return {name for name in kinds if "outputs" in inspect.signature(getattr(vk.networks, name)).parameters}


PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "prior": lambda: concrete(vk.priors, vk.Conditional),
    "posterior": lambda: concrete(vk.posteriors, vk.Conditional),
    "likelihood": lambda: concrete(likelihoods, likelihoods.Likelihood),
    "scale of a likelihood": lambda: concrete(likelihoods, likelihoods.Scale),
    "network": networks,
    "corruption of the encoder's input": lambda: concrete(vk.networks, vk.networks.Corruption),
    "objective": lambda: concrete(vk.objectives, Objective),
    "schedule": lambda: concrete(vk.objectives, Schedule),
    "transform of data": lambda: concrete(vk.data, vk.data.Transform),
    "data by name": lambda: NAMES,
    "command": lambda: cli.COMMANDS,
    "recipe": recipes.names,
}


def test_the_table_of_parts_has_a_row_for_each():
    assert [row[0] for row in table(README, "part")[1:]] == list(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_the_table_of_parts_lists_what_there_is(part: str):
    (row,) = (row for row in table(README, "part") if row[0] == part)
    assert sorted(quoted(row[1])) == sorted(PARTS[part]())


def flow(latent: int) -> nn.Module:
    with keeping_checks():
        from zuko.flows import NSF

        return NSF(latent, transforms=1, hidden_features=(4,))


COMPANIONS: dict[str, Callable[[Any], Any]] = {
    "`StandardNormal`": lambda make: make(prior=partial(vk.priors.StandardNormal, 2)),
    "`UniformCategorical`": lambda make: make(prior=partial(vk.priors.UniformCategorical, 2, categories=2)),
    "a flow": lambda make: make(prior=partial(flow, 2)),
    "`ELBO`": lambda make: make(objective=vk.objectives.ELBO()),
    "`IWAE`": lambda make: make(objective=vk.objectives.IWAE(samples=3)),
}
POSTERIORS = {
    name: partial(vk.posteriors.Concrete, categories=2) if name == "Concrete" else getattr(vk.posteriors, name)
    for name in sorted(concrete(vk.posteriors, vk.Conditional))
}


def verdict(posterior: str, companion: str) -> str:
    """Say whether a posterior goes with a prior, or is trained by an objective."""
    usual = COMPANIONS["`UniformCategorical`" if posterior == "Concrete" else "`StandardNormal`"](dict)["prior"]
    chosen = {"prior": usual, "objective": vk.objectives.ELBO(), **COMPANIONS[companion](dict)}
    model = compose(prior=chosen["prior"], posterior=POSTERIORS[posterior])
    x = torch.randint(2, (4, 1, 5, 4)).float()
    try:
        chosen["objective"](model.train(), x).loss.backward()
    except ConfigError:
        return "no"
    bound = evaluation.evaluate(model, [x], samples=2).elbo
    return "no bound" if bound is None and "objective" in COMPANIONS[companion](dict) else "yes"


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_table_of_compositions_is_what_happens(posterior: str):
    head, *rows = table(README, "posterior")
    (row,) = (row for row in rows if quoted(row[0]) == [posterior])
    companions = [cell.removeprefix("with ").removeprefix("by ") for cell in head[1:]]
    assert dict(zip(companions, row[1:], strict=True)) == {c: verdict(posterior, c) for c in COMPANIONS}


DRAWS = np.random.default_rng(0)
KINDS = {
    "zeros and ones": DRAWS.integers(0, 2, (100, 1, 4, 4)).astype(np.uint8),
    "256 levels": DRAWS.integers(0, 256, (100, 1, 4, 4)).astype(np.uint8),
    "real in [0, 1]": DRAWS.random((100, 1, 4, 4)).astype(np.float32),
    "real": DRAWS.standard_normal((100, 5)).astype(np.float32),
    "counts": DRAWS.poisson(3, (100, 5)),
}
CHANGES = {"Dequantize": "dequantised", "Standardize": "standardised"}
SCORERS: dict[str, Callable[..., likelihoods.Likelihood]] = {
    **{f"`{name}`": getattr(likelihoods, name) for name in sorted(PARTS["likelihood"]()) if name != "Mixed"},
    "`Categorical`": partial(likelihoods.Categorical, levels=256, grid=True),
    "`Bernoulli`, `relaxed=True`": partial(likelihoods.Bernoulli, relaxed=True),
}


def scored(likelihood: str, kind: str) -> str:
    """Say how a likelihood scores data."""
    data = vk.data.open(KINDS[kind])
    scorer = SCORERS[likelihood](nn.Identity(), data.event_shape)
    ready = data.prepared_for(scorer)
    try:
        scorer.check(next(ready.batches("train", 100))[0])
    except VaekitError:
        return "no"
    changes = [CHANGES[type(transform).__name__] for transform in ready.transforms]
    return ", ".join(changes + ["bits"] * (ready.bits_offset(scorer) is not None)) or "as it is"


@pytest.mark.parametrize("likelihood", SCORERS)
def test_the_table_of_likelihoods_is_what_happens(likelihood: str):
    head, *rows = table(DOCS / "data.md", "likelihood")
    (row,) = (row for row in rows if row[0] == likelihood)
    assert dict(zip(head[1:], row[1:], strict=True)) == {kind: scored(likelihood, kind) for kind in KINDS}


def test_the_table_of_likelihoods_has_a_row_for_each():
    assert {row[0] for row in table(DOCS / "data.md", "likelihood")[1:]} == set(SCORERS)


LISTS: dict[tuple[str, str], Callable[[], Iterable[str]]] = {
    ("data", "transform"): PARTS["transform of data"],
    ("training", "setting"): lambda: [f.name for f in fields(training.Settings)],
    ("evaluation", "number"): lambda: [f.name for f in fields(evaluation.Evaluation)],
    ("model", "field"): lambda: [f.name for f in fields(Terms)],
    ("articles", "recipe"): recipes.names,
}


@pytest.mark.parametrize(("page", "corner"), LISTS)
def test_a_table_lists_what_there_is(page: str, corner: str):
    listed = [name for row in table(DOCS / f"{page}.md", corner)[1:] for name in quoted(row[0])]
    assert sorted(listed) == sorted(LISTS[page, corner]())


def test_the_table_of_settings_has_their_defaults():
    shown = {quoted(row[0])[0]: quoted(row[1])[0] for row in table(DOCS / "training.md", "setting")[1:]}
    defaults = {f.name: getattr(f.default, "__name__", repr(f.default)) for f in fields(training.Settings)}
    assert shown == defaults


@pytest.mark.parametrize("name", recipes.names())
def test_the_table_of_recipes_has_their_numbers(name: str):
    (row,) = (row for row in table(DOCS / "articles.md", "recipe") if quoted(row[0]) == [name])
    flags = yaml.safe_load(recipes.find(name).read_text(encoding="utf-8"))
    assert [int(cell) for cell in row[2:]] == [flags[key] for key in ("latent", "batch_size", "epochs")]


ROOMS = (vk, vk.data, vk.distributions, evaluation, likelihoods, likelihoods.columns, vk.networks, vk.objectives)
OTHERS = (nn, torch.optim, torch.optim.lr_scheduler, torch.distributions, torch.utils.data, datasets)
HOMES = (*ROOMS, vk.posteriors, vk.priors, training, *OTHERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_classes_that_a_page_names_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    named = {word for code in quoted(prose) for word in re.findall(r"(?<![\w/-])[A-Z][a-z]+[A-Z]?\w*", code)}
    own = set(re.findall(r"class (\w+)", "\n".join(block.text for block in blocks(page))))
    assert {n for n in named - own if not any(hasattr(home, n) for home in HOMES)} <= {"None", "True", "False"}

"""`vaekit fit`: data, model, training, and a judgement at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields

import torch
from jsonargparse import Namespace
from rich.console import Console

from vaekit import data as data_room
from vaekit.arguments import require_count
from vaekit.commands.as_flags import as_flags
from vaekit.commands.flags import parse_fit, run_folder
from vaekit.commands.loading import judged
from vaekit.composition import Composition
from vaekit.data.dataset import Dataset
from vaekit.errors import ConfigError
from vaekit.evaluation.scorer import scorer
from vaekit.fitting import fit as fit_model
from vaekit.runs.claim import refuse_used
from vaekit.runs.report import LIVE, has_live_page
from vaekit.runs.run import Run
from vaekit.training import Settings
from vaekit.training.processes import is_first, may_restart


def fit(arguments: Sequence[str]) -> int:
    """Fit a model, as the flags say; return the exit code."""
    flags, config = parse_fit(arguments)
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False, quiet=not is_first())
    settings = {f.name: flags[f.name] for f in fields(Settings)}
    Settings(**settings)
    for name, least in (("samples", 0), ("figure_examples", 1)):
        require_count("", f"--{name}", flags[name], least)
    resume = _resumes(flags)
    refuse_used(flags.resume or flags.run, resume)
    opened = data_room.open(**vars(flags.data))
    opened.parts(flags.figure_split)
    torch.manual_seed(flags.seed)
    parts = {f.name: flags[f.name] for f in fields(Composition)}
    composition = Composition(**parts)
    model = composition.build(opened)
    data = opened.prepared_for(scorer(model, *opened.train.first_context()))
    console.print(as_flags(data.describe(), "fit"), markup=False)
    if composition.likelihood is None and composition.model is None and not told(data):
        console.print(f"likelihood: {data.propose().reason}", markup=False)
    console.print(repr(model), markup=False)
    folder = flags.resume or run_folder(flags.run, data.name)
    console.print(f"run: {folder}", markup=False)
    if has_live_page(data, flags.figures_every):
        console.print(f"live: {folder / LIVE}", markup=False)
    run = fit_model(model, flags.objective, data, run=folder, resume=resume, config=config, **settings)
    if not run.steps_this_fit:
        done = run.progress.epoch if run.progress else 0
        console.print(
            f"nothing was left to train after epoch {done}; to go on: vaekit fit --resume {folder} --epochs {done + 1}"
        )
    return _finish(run, flags, console)


def told(data: Dataset) -> bool:
    """Tell whether the reason of a proposed likelihood was told with the data, or is none, as other transforms were chosen."""
    proposal = data.propose()
    kinds = [[type(transform) for transform in transforms] for transforms in (proposal.transforms, data.transforms)]
    return kinds[0] != kinds[1] or proposal.reason in data.describe()


def _resumes(flags: Namespace) -> bool | None:
    """Tell whether there must be a run to continue; None if there may be one.

    Raises:
        ConfigError: if the job may be restarted, and would not find its folder again.
    """
    if flags.resume is not None:
        return True
    if not flags.restartable and not may_restart():
        return False
    if flags.run is None:
        raise ConfigError("A job that may be restarted must find its folder again. Name it: `--run DIR`.")
    return None


def _finish(run: Run, flags: Namespace, console: Console) -> int:
    """Say how a run can be resumed, or judge it."""
    stopped = run.progress.interrupted if run.progress else None
    if stopped is not None:
        console.print(f"stopped; continue with: vaekit fit --resume {run.folder}", markup=False)
        return 128 + stopped
    if flags.samples and is_first():
        evaluation = run.evaluate(samples=flags.samples)
        console.print(judged(run), markup=False)
        console.print(evaluation)
        shown = {"limit": flags.figure_examples, "span": flags.figure_span, "split": flags.figure_split}
        for path in (*run.figures(**shown), run.report(**shown)):
            console.print(f"wrote {path}", markup=False)
    return 0

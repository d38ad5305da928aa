"""`compile=True`: what it gains, and what it costs before the first step."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import TRAINING, Case
from benchmarks.measure import compare
from benchmarks.peers import ours
from benchmarks.setting import Setting
from benchmarks.table import Table, ratio_cells


def table(setting: Setting) -> Table:
    """Measure a compiled objective against an eager one."""
    result = Table("Compilation", ("case", "over eager", "quartiles", "goal", "warm-up, s"))
    for case in (
        replace(c, device=setting.device) for c in TRAINING if c.batch in (16, 128) and c.name.startswith("MLP")
    ):
        warm_up, *_ = ours.epochs(replace(case, compiled=True))
        ratio = compare(_compiled, ours.epoch, case, setting.rounds)
        result.add(case.name, *ratio_cells(ratio, None), f"{warm_up:.0f}")
    result.remarks = (
        "The warm-up is the first epoch, in which torch.compile works; a run in which it is to pay must save that."
    )
    return result


def _compiled(case: Case) -> float:
    return ours.epoch(replace(case, compiled=True))

"""The page that the command writes: what was run where, the tables, and what they leave open."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.rows import source
from benchmarks.setting import Setting

INTRODUCTION = """\
# Performance

Every number on this page was measured by one command, which measures them again and writes the page anew:

    {command}

The peers are dependencies of the benchmark only: `pip install -e '.[benchmarks]'`, and `pip install --no-deps pythae`, which would
otherwise install `dataclasses`, a copy of a module of the standard library. The rows are {rows}.

{machine}

A ratio is the median over {rounds} pairs of runs, one of each side in turn in one process, after a pair that does not count;
the quartiles over the pairs stand beside it. Only ratios are comparable between runs: the machine may have been doing other
work at the same time, which slows both sides of a pair alike. Where only arithmetic is measured, the threads of both sides are
bound to their cores (`OMP_PROC_BIND=true`).
"""
NO_CUDA = """\
## On a GPU

There was none when this page was written. `python -m benchmarks --device cuda` measures the same tables there, with a step
that is captured by hand as a CUDA graph as one more peer; the goals on an H200 are at least 20 times Pyro, 10 times pythae and
4 times the eager loop at batch 128, and 0.9 of the captured step.
"""


def page(found: Sequence[str], command: str, machine: Sequence[str], setting: Setting) -> str:
    """Write the page.

    Arguments:
        found: the tables as they were printed, in order.
        command: what was run.
        machine: what it was run on, a line each.
        setting: how much was measured.
    """
    facts = "\n".join(f"- {line}" for line in machine)
    first = INTRODUCTION.format(command=command, rows=source(), machine=facts, rounds=setting.rounds)
    return "\n".join([first, *found, *([] if setting.device == "cuda" else [NO_CUDA])])

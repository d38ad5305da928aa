"""Several processes: the throughput of two that share each batch, against one that uses as many threads."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.cases import TRAINING, Case
from benchmarks.measure import compare
from benchmarks.setting import Setting
from benchmarks.table import COLUMNS, Table, ratio_cells

PROCESSES = 2
REMARKS = """\
Two processes with one thread each take half of every batch and exchange gradients by gloo; one process has two threads. That
they compute the same numbers is tested, not measured here."""


def table(setting: Setting) -> Table:
    """Measure two processes on one machine's processor."""
    result = Table("Two processes", COLUMNS, REMARKS)
    for case in (c for c in TRAINING if c.name.startswith("MLP") and c.batch in (256, 2048)):
        ratio = compare(partial(launched, PROCESSES), partial(launched, 1), case, max(2, setting.rounds // 3))
        cells = ratio_cells(ratio, None)
        result.add(case.name, f"one process, {PROCESSES} threads", *cells, f"{case.rows / ratio.ours:,.0f}")
    return result


def launched(processes: int, case: Case) -> float:
    """Train in so many processes, and return the time of the first's last epoch."""
    program = ["-m", "benchmarks.worker", str(TRAINING.index(case)), str(processes), str(PROCESSES // processes)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    output = subprocess.run([sys.executable, *launcher, *program], check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])

"""A process of its own that streams an epoch of a file's rows and prints its peak memory in MiB."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import vaekit.data


def main(path: str) -> None:
    """Read an epoch."""
    data = vaekit.data.open(path, transforms=(), validation=0, test=0)
    for batch in data.loader(128, device="cpu", seed=0, resident=False).epoch(0):
        assert len(batch.given[0])
    print(peak() / 1024)


def peak() -> float:
    """Return the peak of this process's memory, in KiB, as Linux counts it: without what its parent had before it began."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return float(found[1]) if found else float("nan")


if __name__ == "__main__":
    main(sys.argv[1])

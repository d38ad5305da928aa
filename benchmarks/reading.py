"""A process of its own that streams an epoch of a file's rows and prints its peak memory in MiB."""

from __future__ import annotations

import resource
import sys

import vaekit.data


def main(path: str) -> None:
    """Read an epoch."""
    data = vaekit.data.open(path, transforms=(), validation=0, test=0)
    for _ in data.loader(128, device="cpu", seed=0, resident=False).epoch(0):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(sys.argv[1])

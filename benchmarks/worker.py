"""One of several processes that train together; the first prints the seconds of the last epoch."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial

import torch

from benchmarks.cases import TRAINING
from benchmarks.peers import ours


def main(case: int, processes: int, threads: int) -> None:
    """Train a case of the table, and let go of the other processes before this one ends."""
    torch.set_num_threads(threads)
    make = partial(ours.trainer, TRAINING[case], devices=processes)
    training = make(strategy="ddp") if processes > 1 else make()
    training.run()
    if os.environ.get("RANK", "0") == "0":
        print(training.seconds[-1])
    del training
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

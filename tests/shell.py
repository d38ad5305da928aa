"""Running commands: within the test's process, which is fast, and in one of their own, which can be killed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from vaekit import cli
from vaekit.training import checkpoint

TESTS = Path(__file__).parent
LAST = Path("checkpoints/last.safetensors")
SMALL = ("--epochs=1", "--latent=2", "--network.hidden=[5]", "--batch_size=16", "--tensorboard=false", "--samples=0")


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def vaekit(*words: object) -> Outcome:
    """Run a command in this process; a warning of any kind is an error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def done(*words: object) -> Outcome:
    """Run a command that must succeed."""
    end = vaekit(*words)
    assert end.code == 0, end.err
    return end


def refused(*words: object) -> str:
    """Run a command that must be refused in one line; return the line."""
    end = vaekit(*words)
    assert (end.code, end.err.count("\n")) == (2, 1), end
    return end.err


def fitted(run: Path, *flags: object) -> Path:
    """Fit a small model by command, and return the run's folder."""
    end = vaekit("fit", *SMALL, *flags, "--run", run)
    assert end.code == 0, end.err
    return run


def spawned(*words: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own, on one thread, which finds the user's parts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "vaekit.cli", *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{**pipes, "env": environment, **options})


def flags_of(run: Path, name: str = "config.yaml") -> dict[str, Any]:
    """Read what a run says of itself."""
    content: dict[str, Any] = yaml.safe_load((run / name).read_text(encoding="utf-8"))
    return content


def weights_of(run: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read the weights of a run's last checkpoint."""
    return {name: tensor.numpy() for name, tensor in checkpoint.load(run / LAST)["model"].items()}


def same_weights(one: Path, other: Path) -> bool:
    """Tell whether two runs ended with the same weights, bit by bit."""
    a, b = weights_of(one), weights_of(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def refusal(*words: object) -> str:
    """Run a command that must be refused in one line, and leave nothing; return the line."""
    before = sorted(Path().rglob("*"))
    end = vaekit(*words)
    assert end.code == 2, end
    assert re.fullmatch(rf"vaekit {words[0]}: [^\n]+\n", end.err), end.err
    assert [p for p in sorted(Path().rglob("*")) if "cache" not in p.parts] == before
    return end.err

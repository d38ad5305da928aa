"""The command line: help, flags from annotations, files of flags, and what is printed."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from shell import SMALL, done, fitted, flags_of, same_weights, spawned, vaekit

import vaekit as vk
from vaekit import cli
from vaekit.commands.flags import fit_parser
from vaekit.defaults import SAMPLES


@pytest.fixture(autouse=True)
def _beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, and cache pictures there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    np.save("real.npy", np.random.default_rng(0).normal(3.0, 2.0, (60, 5)))


LIGHT = """
import contextlib, io, sys, time
before = time.process_time()
from vaekit.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(time.process_time() - before, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["evaluate", "--help"], ["sample", "--help"], ["encode", "--help"], ["recipes", "--help"]]
)
def test_help_is_quick_and_imports_no_torch(words: list[str]) -> None:
    end = subprocess.run([sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, check=True)
    seconds, torch = end.stdout.split()
    assert (float(seconds) < 0.5, torch, end.stderr) == (True, "False", "")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "usage: vaekit COMMAND"),
        (["--help"], 0, "usage: vaekit COMMAND"),
        (["--version"], 0, vk.__version__),
        (["fir"], 2, "There is no command `fir`; did you mean `fit`?"),
    ],
)
def test_without_a_command(words: list[str], code: int, told: str) -> None:
    end = vaekit(*words)
    assert end.code == code
    assert told in end.out + end.err


def test_the_program_lists_every_command() -> None:
    assert all(f"  {name} " in vaekit("--help").out for name in cli.COMMANDS)


@pytest.mark.parametrize(
    "told",
    [
        "The parts of a model:",
        "The settings of the training loop:",
        "--data SOURCE",
        "--prior PRIOR",
        "StandardNormal, UniformCategorical",
        "default: DiagonalNormal",
        "ConvEncoder, ResidualEncoder, MLP",
        "--objective OBJECTIVE",
        "ELBO, IWAE, L2",
        "passes over the training split.",
        "examples:",
    ],
)
def test_the_help_of_fit_speaks_of(told: str) -> None:
    assert told in " ".join(vaekit("fit", "--help").out.split())


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_is_for_people(command: str) -> None:
    end = vaekit(command, "--help")
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith(f"usage: vaekit {command}")
    assert max(map(len, end.out.splitlines())) <= 132
    assert not re.search(r"class_path|<class|Callable\[|Union\[|Namespace|:math:", end.out)


def test_the_help_of_fit_names_what_fit_takes() -> None:
    shown = set(re.findall(r"\w+", vaekit("fit", "--help").out))
    assert {"Adam", "SGD", "StepLR", "InverseTimeLR", "CosineAnnealingLR"} <= shown
    assert not {"LBFGS", "SparseAdam", "Muon", "ReduceLROnPlateau", "ChainedScheduler", "LambdaLR"} & shown


def test_one_number_of_samples_holds_where_none_is_given() -> None:
    asked = (vk.evaluation.evaluate, vk.Run.evaluate, vk.Run.score)
    defaults = {inspect.signature(ask).parameters["samples"].default for ask in asked}
    assert {fit_parser().get_defaults().samples, *defaults} == {SAMPLES}


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--likelihood.help=Normal", "--likelihood.scale SCALE"),
        ("--network.help=MLP", "--network.hidden"),
        ("--posterior.help=Concrete", "default: Exponential"),
        ("--prior.help=user_parts.LearnedNormal", "--prior.spread SPREAD"),
        ("--data.options.help=Decoding", "--data.options.crop CROP"),
    ],
)
def test_the_help_of_a_part_lists_its_options(flag: str, told: str) -> None:
    assert told in vaekit("fit", flag).out


Flags = list[str]
PARTS: dict[str, tuple[Flags, Callable[[Any], bool]]] = {
    "a short name": (["--prior=StandardNormal"], lambda run: type(run.model.prior) is vk.priors.StandardNormal),
    "an objective": (["--objective=IWAE", "--objective.samples=3"], lambda run: run.objective.samples == 3),
    "an objective of its own": (["--objective=user_parts.Halved"], lambda run: run.objective.factor == 0.5),
    "a schedule": (
        ["--objective.beta=Linear", "--objective.beta.steps=7"],
        lambda run: run.objective.beta == vk.objectives.Linear(steps=7),
    ),
    "a part of a part": (
        ["--likelihood=Normal", "--likelihood.scale=SharedScale"],
        lambda run: type(run.model.likelihood.scale) is vk.likelihoods.SharedScale,
    ),
    "a number for a part": (
        ["--likelihood=Normal", "--likelihood.scale=0.5"],
        lambda run: run.model.likelihood.scale.value == 0.5,
    ),
    "an option without its class": (
        ["--network.hidden=[4,3]"],
        lambda run: run.model.posterior.network.hidden == (4, 3),
    ),
    "transforms": (["--data.transforms=[Standardize]"], lambda run: len(run.data.transforms[0].mean) == 5),
    "no transforms": (["--data.transforms=[]"], lambda run: run.data.transforms == ()),
    "an optimiser": (["--optimizer=SGD", "--optimizer.lr=0.01"], lambda run: True),
    "a learning rate": (["--optimizer.lr=0.01"], lambda run: True),
    "a learning-rate schedule": (["--schedule=ExponentialLR", "--schedule.gamma=0.9"], lambda run: True),
    "a switch without a value": (["--every_step"], lambda run: (run.folder / "steps.csv").exists()),
    "a prior of one's own": (
        ["--prior=user_parts.LearnedNormal", "--prior.spread=2"],
        lambda run: (type(run.model.prior).__name__, run.model.prior.spread) == ("LearnedNormal", 2.0),
    ),
    "a network of one's own": (
        ["--encoder=user_parts.Gated", "--encoder.width=4"],
        lambda run: run.model.posterior.network.width == 4,
    ),
    "a factory of one's own": (["--decoder=user_parts.shallow"], lambda run: len(run.model.likelihood.network) == 3),
    "a flow": (
        ["--prior=zuko.flows.NSF", "--prior.transforms=1", "--prior.hidden_features=[4]"],
        lambda run: type(run.model.prior).__name__ == "NSF",
    ),
    "a short name that another library has too": (
        ["--prior=zuko.flows.NSF", "--prior.transforms=1", "--network", "MLP", "--network.hidden=[4]"],
        lambda run: type(run.model.posterior.network) is vk.networks.MLP,
    ),
    "corruption": (
        ["--corruption=Masking", "--corruption.probability=0.2"],
        lambda run: run.model.posterior.network.corruption.probability == 0.2,
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_a_flag_and_comes_back_from_the_folder(name: str, tmp_path: Path) -> None:
    flags, holds = PARTS[name]
    assert holds(vk.load(fitted(tmp_path / "run", "--data=real.npy", *flags)))


@pytest.mark.parametrize(
    ("flags", "hidden", "channels"),
    [
        (["--network.hidden=[4]"], (4,), None),
        (["--encoder.channels=[4,5]"], None, (4, 5)),
        (["--encoder=ResidualEncoder", "--encoder.channels=[8]"], None, (8,)),
    ],
)
def test_flags_override_a_recipe(flags: Flags, hidden: Any, channels: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "data: {source: digits}\nlatent: 3\nnetwork: {class_path: vaekit.networks.MLP, init_args: {hidden: [9]}}\n"
    )
    end = vaekit("fit", "mine.yaml", *flags, "--run=run", "--samples=0", "--epochs=1", "--tensorboard=false")
    assert end.code == 0, end.err
    network = vk.load("run").model.posterior.network
    assert (getattr(network, "hidden", None), getattr(network, "channels", None)) == (hidden, channels)


def test_print_config_fed_back_gives_the_same_run(tmp_path: Path) -> None:
    flags = [
        *SMALL,
        "--data=real.npy",
        "--prior=zuko.flows.NSF",
        "--prior.transforms=1",
        "--optimizer.lr=0.01",
        "--seed=3",
    ]
    Path("whole.yaml").write_text(vaekit("fit", *flags, "--print_config").out)
    runs = [fitted(tmp_path / "a", *flags), tmp_path / "b"]
    assert vaekit("fit", "--config=whole.yaml", f"--run={runs[1]}").code == 0
    assert flags_of(runs[0]) == flags_of(runs[1])
    assert same_weights(*runs)


@pytest.mark.parametrize(
    "flags", [["--data=real.npy"], ["digits", "--latent=3"], ["--data=real.npy", "--objective=IWAE"]]
)
def test_the_configuration_of_a_run_runs_it_again(flags: Flags, tmp_path: Path) -> None:
    first = vaekit("fit", *flags, *SMALL, "--run=a")
    again = vaekit("fit", "--config=a/config.yaml", "--run=b")
    assert (first.code, again.code) == (0, 0)
    assert (Path("a/metrics.csv").read_text(), flags_of(tmp_path / "a")) == (
        Path("b/metrics.csv").read_text(),
        flags_of(tmp_path / "b"),
    )
    assert same_weights(tmp_path / "a", tmp_path / "b")


def test_a_file_of_flags_holds_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("labels.npy", np.arange(60) % 3)
    labels = ["--data.options=ArrayFile", "--data.options.labels=labels.npy"]
    run = fitted(tmp_path / "run", "--data=real.npy", *labels)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert vaekit("fit", "--config", run / "config.yaml", "--run=again").code == 0
    assert same_weights(run, Path("again"))


def test_a_folder_named_like_a_data_set_is_not_taken_for_it(tmp_path: Path) -> None:
    Path("digits").mkdir()
    assert flags_of(fitted(tmp_path / "run", "--data=digits"))["data"]["source"] == "digits"


def test_a_run_without_a_name_finds_a_free_one() -> None:
    ends = [vaekit("fit", "--data=real.npy", *SMALL).code for _ in range(2)]
    assert (ends, sorted(p.name for p in Path("runs").iterdir())) == ([0, 0], ["real-1", "real-2"])


def test_a_module_in_the_working_folder_is_found(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "user_parts.py", tmp_path / "beside_me.py")
    job = spawned("fit", "--data=real.npy", *SMALL, "--run=run", "--prior=beside_me.LearnedNormal", env=None)
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert flags_of(tmp_path / "run")["prior"]["class_path"] == "beside_me.LearnedNormal"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--data=grey.npy"], ["Binarize"]),
        (["--data=grey.npy", "--likelihood=Normal"], ["Dequantize"]),
        (["--data=grey.npy", "--likelihood=Bernoulli", "--likelihood.relaxed=true"], []),
        (["--data=grey.npy", "--likelihood=Normal", "--data.transforms=[]"], []),
        (["--data=real.npy"], ["Standardize"]),
        (["--data=real.npy", "--data.transforms=[]"], []),
    ],
)
def test_the_transforms_that_are_printed_are_those_that_are_done(flags: Flags, told: Flags) -> None:
    np.save(
        "grey.npy",
        np.random.default_rng(0).choice([0, 1, 100, 255], (40, 5), p=[0.45, 0.05, 0.05, 0.45]).astype(np.uint8),
    )
    end = vaekit("fit", *flags, *SMALL, "--run=run")
    assert end.code == 0, end.err
    assert [type(transform).__name__ for transform in vk.load("run").needs_data().transforms] == told
    assert re.findall(r"^Transforms: (\w+)", end.out, re.M) == told
    assert ("standardised" in end.out, "dequantised" in end.out) == (told == ["Standardize"], told == ["Dequantize"])


def test_what_a_command_prints(tmp_path: Path) -> None:
    end = vaekit("fit", "--data=real.npy", *SMALL[:-1], "--samples=2", "--run=run", "--figure_examples=20")
    assert end.out.startswith("real: 48 rows to train on, 6 to validate, 6 to test.\n")
    assert "VAE(\n  (prior): StandardNormal(latent=2)" in end.out
    assert "Normal with a learned scale for each element" in end.out
    assert "\nrun: run\n" in end.out
    assert "\nrun, weights: best-epoch0001; real, split: test\n" in end.out
    assert end.out.rstrip().splitlines()[-1] == "wrote run/report.html"
    assert re.fullmatch(r"epoch 1: train \S+ nats \(distortion \S+, rate \S+\), validation \S+ \(\S+, \S+\)\n", end.err)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {
        "config.yaml",
        "model.yaml",
        "metrics.csv",
        "rates.csv",
        "checkpoints",
        "evaluation.json",
        "report.html",
    }
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["latent"] == 2


def test_ctrl_c_outside_training_ends_quietly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*source: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vaekit.data.opening.read", interrupted)
    monkeypatch.chdir(tmp_path)
    end = vaekit("data", "digits")
    assert (end.code, end.out) == (130, "")


@pytest.mark.parametrize(
    ("words", "part", "kept"),
    [
        (["--objective=IWAE"], "objective", {"samples": 50}),
        (["--objective", "IWAE", "--objective.samples", "7"], "objective", {"samples": 7}),
        (["--config=flags.yaml"], "objective", {"samples": 50}),
        (["--optimizer=AdamW"], "optimizer", {"lr": 1e-3, "weight_decay": 0.01}),
        (["--optimizer={class_path: torch.optim.NAdam}"], "optimizer", {"lr": 2e-3}),
        (["--encoder=ResidualEncoder", "--encoder.kernel=5"], "encoder", {"channels": [32, 64, 128], "kernel": 5}),
    ],
)
def test_a_class_that_is_named_has_its_own_defaults(
    words: list[str], part: str, kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flags.yaml").write_text("objective: {class_path: vaekit.objectives.IWAE}\n")
    chosen = yaml.safe_load(done("fit", "--data=digits", *words, "--print_config").out)[part]["init_args"]
    assert {name: chosen[name] for name in kept} == kept

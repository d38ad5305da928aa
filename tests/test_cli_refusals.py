"""What the command line refuses: each in one sentence that names the flag, and with nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shell import SMALL, refusal

from vaekit import spec


@pytest.fixture(autouse=True)
def _beside_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that holds nothing but an array."""
    monkeypatch.chdir(tmp_path)
    np.save("real.npy", np.random.default_rng(0).normal(3.0, 2.0, (60, 5)))


REFUSED: dict[str, tuple[list[str], str]] = {
    "a misspelt option": (["--epohcs=3"], "There is no option `--epohcs`; did you mean `--epochs`?"),
    "an abbreviated option": (["--epoch", "3"], "There is no option `--epoch`; did you mean `--epochs`?"),
    "a shorter one": (["--opt=SGD"], "There is no option `--opt`; did you mean `--optimizer`?"),
    "an option of nothing": (["--frobnicate"], "There is no option `--frobnicate`"),
    "a misspelt option of a class": (
        ["--network.hiden=[3]"],
        "`--network`: MLP has no option `hiden`. Did you mean `hidden`?",
    ),
    "an option of another class": (["--prior.scale=3"], "StandardNormal has no option `scale`"),
    "an option of a schedule": (["--objective.beta=Linear", "--objective.beta.stepz=3"], "Did you mean `steps`?"),
    "an option before its class": (["--schedule.gamma=3"], "`--schedule.gamma` needs a class first"),
    "a misspelt class": (
        ["--prior=StandardNormall"],
        "`--prior` is 'StandardNormall' ... Did you mean `StandardNormal`?",
    ),
    "a class of a missing module": (["--prior=nowhere.Prior"], "cannot be imported (No module named 'nowhere')"),
    "an objective of a missing module": (
        ["--objective=no.where.X"],
        "`--objective` is 'no.where.X', which cannot be imported",
    ),
    "an optimiser of a missing module": (["--optimizer=no.where.X"], "`--optimizer` is 'no.where.X', which cannot be"),
    "a function of the system": (["--prior=os.system"], "`--prior` is 'os.system', which no flag may name"),
    "a function that makes no module": (["--prior=numpy.save"], "does not make a Module"),
    "a class that lacks an argument": (["--likelihood=Categorical"], "Add --likelihood.levels VALUE"),
    "an abstract class": (["--likelihood=Normal", "--likelihood.scale.value=1"], "Scale is an abstract one"),
    "a word for a number": (["--epochs=three"], "`--epochs` is 'three'; it must be a whole number"),
    "a word for a schedule": (["--objective.beta=much"], "neither a number nor the name of a class"),
    "one transform for a list": (["--data.transforms=Binarize"], "Write '[Binarize]'"),
    "a misspelt transform": (["--data.transforms=[Binarise]"], "Did you mean `Binarize`?"),
    "a flag without its value": (["--epochs"], "`--epochs` needs a value"),
    "an argument too many": (["more"], "`more` is one argument too many"),
    "a span of one number": (["--figure_span=[1]"], "must be a list of 2"),
    "no such file of flags": (["--config=none.yaml"], "none.yaml', which is no file"),
    "no batch": (["--batch_size=0"], "`batch_size` is 0"),
    "no latent": (["--latent=0"], "`latent` is 0"),
    "a seed below 0": (["--seed=-1"], "`seed` is -1"),
    "no such split": (
        ["--figure_split=half"],
        "`split` is 'half', which is no split. Name another: train, validation, test, or all",
    ),
    "negative samples": (["--samples=-1"], "`--samples` is -1"),
    "a value that a part refuses": (
        ["--corruption=Masking", "--corruption.probability=3"],
        "`probability` of Masking is 3",
    ),
    "a schedule that must measure": (
        ["--schedule=ReduceLROnPlateau"],
        "ReduceLROnPlateau, which needs a measured value",
    ),
    "a likelihood of other data": (["--likelihood=Bernoulli"], "outside [0, 1]"),
    "a likelihood of a table": (["--likelihood=Mixed"], "scores the columns of a table"),
    "a network of images": (["--encoder.channels=[8,16]"], "ConvEncoder needs images"),
    "a prior that is none": (["--prior=torch.nn.Identity"], "The first step failed"),
    "a likelihood that is none": (["--likelihood=torch.nn.Linear"], "The likelihood cannot be made"),
    "a prior of another kind": (["--prior=UniformCategorical"], "whole groups"),
    "a posterior and a prior that do not meet": (
        ["--latent=10", "--posterior=Concrete"],
        "Pair posteriors.Concrete with priors.UniformCategorical",
    ),
    "a learning rate below 0": (
        ["--optimizer.lr=-1"],
        "`optimizer.lr` is -1.0, which Adam refuses: Invalid learning rate",
    ),
    "one of two numbers": (["--optimizer.betas=[0.5,2]"], "`optimizer.betas` is (0.5, 2.0), which Adam refuses"),
    "an optimiser that needs a closure": (
        ["--optimizer=LBFGS"],
        "`optimizer` is LBFGS, which computes the loss several times a step ... such as Adam or SGD",
    ),
    "an optimiser that lacks an argument": (
        ["--optimizer=SGD", "--optimizer.nesterov=true"],
        "`optimizer` is SGD(nesterov=True), which SGD refuses: Nesterov momentum requires",
    ),
    "a schedule that refuses": (
        ["--schedule=ConstantLR", "--schedule.factor=3"],
        "`schedule.factor` is 3.0, which ConstantLR refuses",
    ),
    "no word of a schedule's": (
        ["--schedule=CyclicLR", "--schedule.base_lr=1", "--schedule.max_lr=2", "--schedule.mode=flat"],
        "`--schedule.mode` is 'flat'; it must be one of 'triangular', 'triangular2', 'exp_range'",
    ),
    "no such device": (["--accelerator=abacus"], "Lightning Fabric refuses"),
    "a model that is none": (["--model={class_path: torch.nn.ReLU}"], "must describe a vaekit.model.VAE"),
    "a hostile model": (["--model={class_path: os.system}"], "neither a module, nor a dataclass"),
    "labels that are not there": (["--data.context"], "not all of the data has labels"),
    "options of another reader": (["--data.options=Decoding"], "`options` is Decoding"),
    "a folder that cannot be made": (["--run=real.npy/run"], "`real.npy/run` cannot be made"),
    "a file for a folder": (["--run=real.npy"], "`real.npy` is a file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_flags_are_refused_by_name(name: str) -> None:
    flags, told = REFUSED[name]
    base = [flag for flag in SMALL if not flag.startswith(("--network", "--latent"))]
    said = refusal("fit", "--data=real.npy", "--run=run", *base, *flags)
    assert all(part in said for part in told.split(" ... ")), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit"], "`--data` is needed"),
        (["fit", "digitz"], "There is no recipe `digitz`; did you mean `digits`?"),
        (["fit", "real.npy"], "To fit a model to it, write --data real.npy"),
        (["fit", "--resume"], "holds no run"),
        (["fit", "--resume", "nothing"], "`nothing` holds no run"),
        (["evaluate"], "`run` is needed"),
        (["evaluate", "nothing"], "`nothing` holds no run"),
        (["evaluate", "nothing", "--josn"], "did you mean `--json`?"),
        (["evaluate", "nothing", "--js"], "did you mean `--json`?"),
        (["sample", "nothing", "--out=x.jpg"], "must end with .npy (an array), .csv (a table) or .png (a picture)."),
        (["encode", "nothing", "--out=x.png"], "`out` is x.png; it must end with .npy (an array) or .csv (a table)."),
        (["score", "nothing", "--out=x.png"], "`out` is x.png; it must end with .npy"),
        (["encode", "nothing", "--chosen.split=all"], "There is no option `--chosen.split`"),
        (["data", "missing.csv"], "There is no file, folder or data set `missing.csv`"),
        (["recipes", "--show=digit"], "did you mean `digits`?"),
    ],
)
def test_wrong_words_are_refused(words: list[str], told: str) -> None:
    assert told in refusal(*words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epochs: [", "is not YAML"),
        ("- 3", "holds no flags"),
        ("epohcs: 3", "did you mean `--epochs`?"),
        ("", "no flags"),
        ("network: MLP", "the name of several classes. Write one of them whole: ... vaekit.networks.MLP"),
    ],
)
def test_wrong_files_of_flags_are_refused(text: str, told: str) -> None:
    spec.import_object("zuko.flows.NSF")
    Path("mine.yaml").write_text(text)
    said = refusal("fit", "mine.yaml")
    assert all(part in said for part in told.split(" ... ")), said

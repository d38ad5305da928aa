"""What each recipe must be: the sizes and numbers of its source, and what its run leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

IMAGES = {"reconstructions", "draws", "samples"}
PATHS = {"interpolations-linear", "interpolations-spherical", "traversals"}
MANIFOLDS = {"manifold-linear", "manifold-normal"}
PROJECTED = {"codes-pca", "codes-tsne"}
COURSE = {"curves", "bounds", "rates"}
ALWAYS = {"config.yaml", "model.yaml", "metrics.csv", "rates.csv", "checkpoints/last.safetensors"}
JUDGED = ("evaluation.json", "report.html")
RECTANGLES = "--data.source.count"


class Expected(NamedTuple):
    """What a recipe is.

    Attributes:
        encoder: the widths of its perceptron; none where it is convolutional.
        decoder: likewise.
        numbers: what its source says, by flag.
        small: flags for a run on little data.
        figures: what the run draws in the end; nothing where it is not judged.
        pictured: the epochs that it takes pictures of.
        steps: whether it keeps the numbers of every step.
        best: how many best checkpoints it leaves.
    """

    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    numbers: dict[str, Any]
    small: tuple[str, ...]
    figures: set[str]
    pictured: tuple[int, ...] = ()
    steps: bool = False
    best: int = 1

    @property
    def files(self) -> set[str]:
        """What the run leaves besides its best checkpoints and TensorBoard's events."""
        named = [*(self.figures | COURSE if self.figures else ())]
        named += [f"{kind}-epoch{epoch:04d}" for epoch in self.pictured for kind in ("reconstructions", "samples")]
        chosen = {"steps.csv": self.steps, "live.html": self.pictured, **dict.fromkeys(JUDGED, self.figures)}
        return ALWAYS | {f"figures/{name}.png" for name in named} | {name for name, left in chosen.items() if left}


RECIPES: dict[str, Expected] = {
    "rectangles": Expected(
        (576, 1152, 1152, 4),
        (2, 1152, 1152, 576),
        {
            "data.source.init_args": {"count": 50_000, "size": 24, "smallest": 8, "largest": 8, "seed": 0},
            "latent": 2,
            "batch_size": 16,
            "epochs": 10,
            "optimizer.init_args.lr": 1e-3,
            "schedule": {"class_path": "vaekit.training.InverseTimeLR", "init_args": {"rate": 1e-4}},
            "schedule_per_step": True,
            "objective.init_args.beta": 1.0,
            "log_every": 50,
            "every_step": True,
            "figure_span": [-0.95, 0.95],
        },
        (f"{RECTANGLES}=832",),
        IMAGES | PATHS | MANIFOLDS | {"codes-0", "codes-1"},
        steps=True,
    ),
    "rectangles-denoising": Expected(
        (576, 1152, 1152, 4),
        (2, 1152, 1152, 576),
        {"latent": 2, "corruption.init_args.probability": 0.05, "batch_size": 16, "epochs": 10},
        (f"{RECTANGLES}=40", "--samples=0"),
        set(),
        steps=True,
    ),
    "rectangles-categorical": Expected(
        (576, 512, 256, 200),
        (200, 512, 256, 576),
        {"latent": 200, "posterior.init_args.categories": 10, "prior.init_args.categories": 10},
        (f"{RECTANGLES}=40",),
        IMAGES | {"categories"} | {f"{name}-{factor}" for name in PROJECTED for factor in (0, 1)},
    ),
    "mnist-gaussian": Expected(
        (784, 256, 64, 20),
        (10, 64, 256, 784),
        {
            "latent": 10,
            "likelihood.init_args.scale.init_args.value": pytest.approx(0.5**0.5),
            "objective.init_args.beta": 1.0,
            "batch_size": 32,
            "epochs": 176,
            "optimizer.init_args.lr": 1e-3,
            "figures_every": 1,
        },
        ("--epochs=2",),
        IMAGES | PATHS | MANIFOLDS | PROJECTED,
        pictured=(1, 2),
    ),
    "mnist-bernoulli": Expected(
        (784, 400, 100),
        (50, 400, 784),
        {
            "latent": 50,
            "batch_size": 256,
            "epochs": 100,
            "data.validation": 0.0,
            "optimizer.init_args.lr": 1e-3,
            "objective": {"class_path": "vaekit.objectives.ELBO"},
            "test_every": 5,
            "figures_every": 5,
            "figure_examples": 10_000,
        },
        ("--epochs=5",),
        IMAGES | PATHS | MANIFOLDS | PROJECTED,
        pictured=(5,),
        best=0,
    ),
    "mnist-denoising": Expected(
        (784, 200, 200, 100),
        (50, 200, 200, 784),
        {"latent": 50, "corruption.init_args.probability": 0.05},
        ("--samples=0",),
        set(),
    ),
    "mnist-categorical": Expected(
        (784, 400, 200),
        (200, 400, 784),
        {"latent": 200, "posterior.init_args.categories": 10, "prior.init_args.categories": 10, "epochs": 100},
        ("--samples=0",),
        set(),
    ),
    "manifold": Expected(
        (784, 500, 4),
        (2, 500, 784),
        {
            "data.validation": pytest.approx(1 / 6),
            "latent": 2,
            "batch_size": 100,
            "epochs": 500,
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-3}},
            "objective.init_args.weight": 0.01,
            "log_every": 20_000 // 100,
            "evaluate_every": 1,
            "figure_split": "validation",
        },
        (),
        IMAGES | PATHS | MANIFOLDS | {"codes"},
    ),
    "faces": Expected(
        (),
        (),
        {
            "data.options.init_args": {"crop": 148, "size": 64},
            "data.transforms": [{"class_path": "vaekit.data.HorizontalFlip"}],
            "latent": 128,
            "likelihood.init_args.scale.init_args.value": 1.0,
            "objective.init_args.beta": pytest.approx(0.00025 * 3 * 64 * 64 / 2),
            "batch_size": 64,
            "epochs": 100,
            "seed": 1265,
            "optimizer.init_args.lr": 0.005,
            "optimizer.init_args.weight_decay": 0.0,
            "schedule.init_args.gamma": 0.95,
            "schedule_per_step": False,
            "keep_best": 2,
            "figures_every": 1,
        },
        (
            "--encoder.channels=[4]",
            "--decoder.channels=[4]",
            "--latent=3",
            "--epochs=3",
            "--data.options.workers=1",
            "--data.options.size=16",
        ),
        IMAGES | PATHS | MANIFOLDS | {f"{name}-{factor}" for name in PROJECTED for factor in (0, 1)},
        pictured=(1, 2, 3),
        best=2,
    ),
    "digits": Expected(
        (64, 256, 256, 16),
        (8, 256, 256, 384),
        {"latent": 8, "batch_size": 64, "epochs": 60},
        ("--samples=0",),
        set(),
    ),
}

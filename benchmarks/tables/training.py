"""Training: vaekit's examples per second over each peer's."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import TRAINING, Case
from benchmarks.measure import compare
from benchmarks.peers import load, ours
from benchmarks.setting import Setting
from benchmarks.table import COLUMNS, Table, ratio_cells

PEERS = {
    "a loop written by hand": "handwritten.eager",
    "Pyro, its tutorial's DataLoader": "by_pyro.tutorial",
    "Pyro, a DataLoader of tensors": "by_pyro.loader",
    "Pyro, resident data": "by_pyro.resident",
    "pythae": "by_pythae.epoch",
    "Lightning Trainer": "by_lightning.epoch",
}
TUNED = ("Pyro, resident data", "pythae", "Lightning Trainer")
CAPTURED = {"a step captured by hand as a CUDA graph": "handwritten.captured"}
GOALS = {
    "cpu": {
        (16, "a loop written by hand"): 0.90,
        (128, "a loop written by hand"): 0.95,
        (128, "Pyro, its tutorial's DataLoader"): 3.0,
        (256, "Pyro, its tutorial's DataLoader"): 3.0,
        (128, "Pyro, resident data"): 1.5,
        (256, "Pyro, resident data"): 1.5,
        (128, "pythae"): 1.4,
        **{(batch, "Lightning Trainer"): 1.1 for batch in (16, 128, 256, 2048)},
    },
    "cuda": {
        (128, "a loop written by hand"): 4.0,
        (128, "Pyro, its tutorial's DataLoader"): 20.0,
        (128, "pythae"): 10.0,
        (128, "a step captured by hand as a CUDA graph"): 0.9,
    },
}
REMARKS = """\
A ratio above 1 says that vaekit is faster. Of each side the second of two epochs is timed, without what comes before and after
it; vaekit's has its reports of the running averages every 50 steps. pythae runs without its progress bar and prints, Pyro
without validation, Lightning without logging and checkpoints. Pyro's tutorial reads MNIST by torchvision, which makes an image
of every item and a tensor of every image, in one worker; a DataLoader of tensors does without. The loop written by hand has
resident data and the fused Adam. Peers are as they come: Adam as they make it, and in Pyro, as in its tutorial, a decoder that
ends in a sigmoid. vaekit has the C library keep memory that a step frees; for peers the system clears it anew, which shows
where blocks are large. In the rows *tuned* they have what vaekit does unasked: the fused Adam, and logits in Pyro."""


def table(setting: Setting) -> Table:
    """Measure training."""
    result = Table("Training", COLUMNS, REMARKS)
    peers = PEERS | CAPTURED if setting.device == "cuda" else PEERS
    for case in TRAINING:
        placed = replace(case, device=setting.device)
        for name, place in peers.items():
            _add(result, placed, name, place, setting)
        for name in TUNED if case.batch in (128, 256) else ():
            _add(result, replace(placed, tuned=True), f"{name}, tuned", PEERS[name], setting)
    return result


def _add(result: Table, case: Case, name: str, place: str, setting: Setting) -> None:
    peer = load(place)
    if peer is None:
        result.add(case.name, name, "not installed", "", "", "")
        return
    ratio = compare(ours.epoch, peer, case, setting.rounds)
    goal = GOALS[setting.device].get((case.batch, name)) if case.name.startswith("MLP") else None
    result.add(case.name, name, *ratio_cells(ratio, goal), f"{case.rows / ratio.ours:,.0f}")

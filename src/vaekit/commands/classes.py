"""Which classes the help names for an option: the public ones of vaekit that fit the place, by their short names."""

from __future__ import annotations

import inspect
from argparse import Action
from collections.abc import Callable

ANY_MODULE = "torch.nn.Module"
# What `vaekit fit` refuses: bases; optimisers that need a closure, sparse gradients, or matrices alone; schedules that are
# made of functions or of other schedules, which no flag can name, or are advanced by a measured value.
UNSUITED = {
    *("Optimizer", "LBFGS", "SparseAdam", "Muon"),
    *("LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "ReduceLROnPlateau"),
}


def known_classes(action: Action) -> list[str]:
    """List the short names of the classes that an option takes; none where any module would do, or no class."""
    paths = _own_paths(action) if action.dest in PLACES else _paths(action)
    if ANY_MODULE in paths:
        return []
    names = [path.rpartition(".")[2] for path in paths if path.startswith("torch.optim.") or _is_public(path)]
    return [name for name in names if name not in UNSUITED]


def own_class(action: Action, name: str) -> str | None:
    """Return the path of the class of vaekit that a part of a model is meant to be by a short name; None if there is none."""
    if action.dest not in PLACES:
        return None
    return next((path for path in _own_paths(action) if path.rpartition(".")[2] == name), None)


def _own_paths(action: Action) -> list[str]:
    """List the classes of vaekit for a part of a model."""
    from vaekit.spec import import_object

    room, fits = PLACES[action.dest]
    paths = (path for path in _paths(action) if path.startswith(room) and _is_public(path))
    return [path for path in paths if fits(import_object(path))]


def _paths(action: Action) -> list[str]:
    """List all classes that there are for an option."""
    return str(getattr(action, "extra_help", str)()).rpartition("known subclasses: ")[2].split(", ")


def takes_module(action: Action) -> bool:
    """Tell whether any module would do."""
    return ANY_MODULE in getattr(action, "extra_help", str)()


def _is_public(path: str) -> bool:
    """Tell whether a class is one of a room of vaekit, vaekit.ROOM.CLASS."""
    return path.startswith("vaekit.") and path.count(".") == 2


def _starts_with(name: str) -> Callable[[type], bool]:
    """Tell classes whose constructor's first argument has this name."""
    return lambda target: not inspect.isabstract(target) and next(iter(inspect.signature(target).parameters)) == name


def _takes_shape(*places: int) -> Callable[[type], bool]:
    """Tell classes whose constructor takes a shape at these places among its arguments."""

    def fits(target: type) -> bool:
        annotations = [str(p.annotation) for p in inspect.signature(target).parameters.values()]
        return len(annotations) > max(places) and all("Shape" in annotations[place] for place in places)

    return fits


PLACES: dict[str, tuple[str, Callable[[type], bool]]] = {
    "prior": ("vaekit.priors.", _starts_with("latent")),
    "posterior": ("vaekit.posteriors.", _starts_with("network")),
    "likelihood": ("vaekit.likelihoods.", _starts_with("network")),
    "network": ("vaekit.networks.", _takes_shape(0, 1)),
    "encoder": ("vaekit.networks.", _takes_shape(0)),
    "decoder": ("vaekit.networks.", _takes_shape(1)),
    "corruption": ("vaekit.networks.", lambda target: "Corruption" in (base.__name__ for base in target.__mro__[1:])),
}

"""Checkpoints: one safetensors file each, with everything that is not a tensor as JSON in its header.

A checkpoint is a tree of dictionaries and lists whose leaves are tensors, numbers, strings and None. One file holds
weights, optimiser, schedules, averages, random state and position, so that they are always of the same moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaekit.errors import ConfigError, RunError
from vaekit.files import write_atomically

Tree: TypeAlias = Any
_TENSOR = "tensor:"
_INTEGER_KEY = "int:"


def save(path: Path, tree: Tree) -> Path:
    """Write a tree to a file, atomically.

    Raises:
        ConfigError: if a leaf is neither a tensor nor plain data.
        RunError: if the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    header = {"vaekit": json.dumps(_pack(tree, "", tensors))}
    return write_atomically(path, partial(_write, tensors, header))


def _write(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Write a file of tensors; safetensors reports a full disk as an error of its own."""
    try:
        save_file(tensors, path, metadata=header)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load(path: Path) -> Tree:
    """Read a tree from a file. Nothing is unpickled.

    Raises:
        RunError: if the file is missing, damaged, or not a checkpoint of vaekit.
    """
    if not path.is_file():
        raise RunError(f"There is no checkpoint `{path}`. Train first, or name another run or checkpoint.")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {})["vaekit"]
            return _unpack(json.loads(header), {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"`{path}` is damaged or not a checkpoint of vaekit ({error}). Use another checkpoint of the run."
        ) from error


def _pack(tree: Tree, name: str, tensors: dict[str, Tensor]) -> Tree:
    """Replace every tensor by a reference to its name, and collect the tensors."""
    if isinstance(tree, Tensor):
        tensors[name] = tree.detach().cpu().clone().contiguous()
        return _TENSOR + name
    if isinstance(tree, Mapping):
        return {_key(k): _pack(v, f"{name}/{k}" if name else str(k), tensors) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise ConfigError(
        f"A checkpoint cannot hold `{name}` of type {type(tree).__name__}: only tensors, numbers, strings and lists."
    )


def _unpack(tree: Tree, tensors: Mapping[str, Tensor]) -> Tree:
    if isinstance(tree, str) and tree.startswith(_TENSOR):
        return tensors[tree.removeprefix(_TENSOR)]
    if isinstance(tree, dict):
        return {_original_key(k): _unpack(v, tensors) for k, v in tree.items()}
    return [_unpack(v, tensors) for v in tree] if isinstance(tree, list) else tree


def _key(key: str | int) -> str:
    return f"{_INTEGER_KEY}{key}" if isinstance(key, int) else key


def _original_key(key: str) -> str | int:
    return int(key.removeprefix(_INTEGER_KEY)) if key.startswith(_INTEGER_KEY) else key

"""What a run starts with: a method by name, and weights of a dense model."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from leanbrain.checks import UserError
from leanbrain.files import read_tensors
from leanbrain.pruning.host.checkpoints import (
    newest_checkpoint,
    require_dense,
    require_pruned,
)
from leanbrain.pruning.methods import load_method
from leanbrain.shipped import find_yaml

__all__ = [
    "connect_pruner",
    "load_dense",
    "make_pruner",
    "method_pruner",
]

StrPath = str | os.PathLike[str]


def make_pruner(
    file: StrPath, own: Mapping[str, Any] | None, seed: int, **common: Any
) -> Any:
    """The pruner that a method's file describes.

    Arguments
    ---------
    file : path
        Its YAML file.
    own : mapping or None
        Keys of the file with the user's values.
    seed : int
        For methods that draw random numbers: files with a key `seed`.
    **common
        What the recipe gives to every method: `total_steps`, `pathways`. The
        user's own values go before.

    Returns
    -------
    AdaptivePruner
        Not attached yet.

    Raises
    ------
    UserError
        If `own` is no mapping or has a key that the file has not.
    """
    if not isinstance(own or {}, Mapping):
        raise UserError(
            "`pruning` must be keys of the method's file with their values, "
            f"such as {{sparsity: 0.8}}, got {own!r}."
        )
    if _draws(Path(file)):
        common["seed"] = seed
    return load_method(file, **{**common, **(own or {})})["pruner"]


def method_pruner(hparams: Mapping[str, Any], pathways: Sequence[str]) -> Any:
    """The pruner of a recipe whose entry file names a method.

    Arguments
    ---------
    hparams : mapping
        The loaded YAML, with `method`, `pruning`, `seed` and `total_steps`.
    pathways : sequence of str
        Names of the sub-networks.

    Returns
    -------
    AdaptivePruner
        Not attached yet.

    Raises
    ------
    UserError
        If there is no such method, or `pruning` has no keys of it.
    """
    return make_pruner(
        find_yaml("pruning", hparams["method"]),
        hparams["pruning"],
        hparams["seed"],
        total_steps=hparams["total_steps"],
        pathways=list(pathways),
    )


def connect_pruner(pruner: Any, brain: Any, hparams: Mapping[str, Any]) -> None:
    """Attaches a run's pruner, or makes sure that a dense run stays dense.

    Arguments
    ---------
    pruner : AdaptivePruner or None
        None of a dense run.
    brain : sb.Brain
        That trains.
    hparams : mapping
        The loaded YAML, with `save_folder`; with a pruner also `model`,
        `dense_checkpoint` and `monitor`.

    Raises
    ------
    UserError
        If the run's own checkpoint is of the other kind, or its start is no
        dense model of the same layers.
    """
    own = hparams["save_folder"]
    if pruner is None:
        require_dense(own)
        return
    require_pruned(own)
    if hparams["dense_checkpoint"] and newest_checkpoint(own) is None:
        load_dense(hparams["model"], hparams["dense_checkpoint"])
    pruner.attach(brain, hparams["monitor"])


def load_dense(model: torch.nn.Module, save_folder: StrPath) -> None:
    """Gives a model the weights of the newest checkpoint of a dense run.

    Arguments
    ---------
    model : nn.Module
        The recoverable `model` of the recipe, of the same layers.
    save_folder : path
        Of the dense run.

    Raises
    ------
    UserError
        If there is no checkpoint, or one that was pruned or of other layers.
    """
    require_dense(save_folder)
    start = newest_checkpoint(save_folder)
    if start is None:
        raise UserError(
            "`dense_checkpoint` must be the save folder of a dense run, got "
            f"{save_folder} without a checkpoint."
        )
    state = read_tensors(start / "model.ckpt")
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"`dense_checkpoint` must be of the same model, got {start}: "
            f"{reason}"
        ) from error


def _draws(file: Path) -> bool:
    """Whether a method draws random numbers: its file has a key `seed`."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return re.search(r"^seed:", text, re.M) is not None

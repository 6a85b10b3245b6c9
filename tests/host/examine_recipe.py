"""Looks which targets of one recipe's modules mask-aware layers can cover."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from leanbrain.checks import UserError

__all__ = [
    "Task",
    "downloads",
    "examine",
    "has_model",
    "preload",
    "stand_ins",
    "tiny_for",
]

_CLASSES = re.compile(r"!(?:new|name|apply):(speechbrain\.[\w.]+)\.\w+")
_DOWNLOAD = "needs a download: "
# Small models; a name that holds one of these words is of that kind.
_KINDS = ("wavlm", "hubert", "whisper", "wav2vec2")
_OTHERS = "wav2vec2"


class Task(NamedTuple):
    """What `examine` is given.

    Arguments
    ---------
    file : Path
        The recipe's YAML.
    folder : Path
        Where models may leave files.
    values : dict
        Other values for some of its keys.
    """

    file: Path
    folder: Path
    values: dict[str, Any]


def preload(files: list[Path]) -> None:
    """Imports what recipes name, once for all of their processes."""
    import torch

    import leanbrain.masking.nnet.known
    import leanbrain.recipes.building  # noqa: F401

    torch.set_num_threads(1)  # a process with threads must not be forked
    texts = [file.read_text(encoding="utf-8") for file in files]
    for name in sorted({x for text in texts for x in _CLASSES.findall(text)}):
        try:
            import_module(name)
        except Exception:  # the recipes that need it will say so
            continue


def has_model(file: Path) -> bool:
    """Whether a recipe has modules: others prepare, tokenize or score."""
    text = file.read_text(encoding="utf-8")
    return re.search(r"^modules:", text, re.M) is not None


def examine(task: Task) -> dict[str, Any]:
    """Builds the modules of a recipe and converts them, if nothing is lost.

    Arguments
    ---------
    task : Task
        The recipe.

    Returns
    -------
    dict
        "layers", "targets", "weights": how many; "lost": target -> why;
        "not_built": module -> why.
    """
    from leanbrain.masking import convert, cover
    from leanbrain.recipes.building import build_modules

    sys.dont_write_bytecode = True  # of the classes beside a recipe
    os.chdir(task.folder)
    values = {**stand_ins(task.file), **task.values}
    built = build_modules(task.file, values)
    targets = _targets(built.modules)
    coverage = cover(built.modules, targets) if targets else None
    if coverage and not coverage.lost:
        convert(built.modules, targets)  # what it refuses is an error here
    return {
        "layers": len(coverage.layers) if coverage else 0,
        "targets": len(targets),
        "weights": sum(target.parameter.numel() for target in targets),
        "lost": coverage.lost if coverage else {},
        "not_built": built.failed,
    }


def _targets(modules: dict[str, Any]) -> list[Any]:
    """The weights that can be masked; none if there are only others."""
    from leanbrain.masking import select_targets

    try:
        return select_targets(modules)
    except UserError:
        return []


def downloads(not_built: dict[str, str]) -> list[str]:
    """Lists the models that could not be downloaded."""
    return [
        source
        for why in not_built.values()
        if why.startswith(_DOWNLOAD)
        for source in why.removeprefix(_DOWNLOAD).split(", ")
    ]


def tiny_for(file: Path, sources: list[str], tiny: Path) -> dict[str, str]:
    """Puts small models in the place of downloads.

    Arguments
    ---------
    file : Path
        The recipe's YAML.
    sources : list
        Of str: what it downloads.
    tiny : Path
        A folder of small models, from `tiny_models`.

    Returns
    -------
    dict
        Key of the recipe -> folder of a model.
    """
    from leanbrain.recipes.tree import read_tree

    values = {**read_tree(file), **stand_ins(file)}
    texts = {key: getattr(x, "value", x) for key, x in values.items()}
    return {
        key: str(tiny / _kind(text))
        for key, text in texts.items()
        if isinstance(text, str) and text in sources
    }


def _kind(source: str) -> str:
    """The small model that is most like one of a hub."""
    found = [kind for kind in _KINDS if kind in source.lower()]
    return (found or [_OTHERS])[0]


def stand_ins(file: Path) -> dict[str, Any]:
    """Values for placeholders of modules: names of models, or numbers."""
    from leanbrain.recipes.reasons import looks_like_path
    from leanbrain.recipes.tree import needed, open_keys, read_tree

    tree = read_tree(file)
    return {
        key: "any/wav2vec2" if key.endswith("_hub") else 10
        for key in open_keys(tree, needed(tree, "modules"))
        if not looks_like_path(key)
    }

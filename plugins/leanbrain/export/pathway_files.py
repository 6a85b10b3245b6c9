"""One model per pathway, from a checkpoint's files alone."""

from __future__ import annotations

import copy
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.export.run_folder import Chosen
from leanbrain.files import (
    atomic_path,
    read_tensors,
    write_json,
    write_tensors,
)
from leanbrain.masking.maskset import MaskSet
from leanbrain.provenance import versions

__all__ = ["export_pathways"]

# Beside the models; a folder with it may be replaced by another export.
FACTS = "pathway.json"


def export_pathways(
    chosen: Chosen,
    output: str | os.PathLike[str],
    pathways: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Writes what each pathway is evaluated with, as files of a checkpoint.

    A folder per pathway holds the file of each module of the checkpoint, under
    its own name, with zeros outside the pathway's masks. They load into the
    modules of the recipe, by stock SpeechBrain or torch.

    Arguments
    ---------
    chosen : Chosen
        The checkpoint, from `choose_checkpoint`.
    output : path
        Where the folders go. One of an earlier export is replaced.
    pathways : sequence of str, optional
        Which; default: all.

    Returns
    -------
    dict
        Pathway -> its folder.

    Raises
    ------
    UserError
        If a pathway or a file is missing, does not fit the masks, or cannot
        be read or written; nothing has changed then.
    """
    masks = _masks(chosen)
    names = [
        check_known("pathway", name, masks.pathways)
        for name in dict.fromkeys(pathways or masks.pathways)
    ]
    modules = _modules(chosen, masks)
    folders = {name: Path(output) / _folder_name(name) for name in names}
    for folder in folders.values():
        if folder.exists() and not (folder / FACTS).is_file():
            raise UserError(
                f"The folder of a pathway must be new or of an earlier export, "
                f"got {folder} without {FACTS}."
            )
    with _staged(folders) as staged:
        for module, keys in modules.items():
            _write_module(chosen, module, keys, masks, staged)
        for name, folder in staged.items():
            write_json(folder / FACTS, _facts(chosen, masks, name, modules))
    return folders


def _masks(chosen: Chosen) -> MaskSet:
    """The masks of a checkpoint."""
    state = chosen.state["masks"]
    masks = MaskSet(state["shapes"], state["pathways"])
    masks.load_state_dict(state)
    return masks


def _modules(chosen: Chosen, masks: MaskSet) -> Mapping[str, dict[str, str]]:
    """File of each module -> its keys that are pruned -> their targets."""
    saved = chosen.state.get("saved_as") or {}
    modules: dict[str, dict[str, str]] = saved.get("modules") or {}
    held = {target for keys in modules.values() for target in keys.values()}
    lost = [name for name in masks.shapes if name not in held]
    if lost:
        raise UserError(
            "Every pruned weight must be in a file of the checkpoint (a module "
            f"among its recoverables), got {chosen.path} without {lost[0]!r}."
        )
    return modules


def _write_module(
    chosen: Chosen,
    module: str,
    keys: Mapping[str, str],
    masks: MaskSet,
    staged: Mapping[str, Path],
) -> None:
    """Writes one file of the checkpoint for each pathway."""
    name = f"{module}.ckpt"
    source = chosen.path / name
    if not keys:  # as it is, whatever it holds; nothing is loaded
        if not source.is_file():
            raise UserError(f"The file {source} does not exist.")
        for folder in staged.values():
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(source, temporary)
        return
    weights = read_tensors(source)
    _check_fits(source, weights, keys, masks)
    for pathway, folder in staged.items():
        write_tensors(folder / name, _masked(weights, keys, masks, pathway))


def _check_fits(
    source: Path, weights: Any, keys: Mapping[str, str], masks: MaskSet
) -> None:
    """Compares a file with the masks of its weights."""
    for key, target in keys.items():
        found = weights.get(key) if isinstance(weights, dict) else None
        shape = list(masks.shapes[target])
        if not isinstance(found, torch.Tensor) or list(found.shape) != shape:
            got = "none" if found is None else f"{list(found.shape)}"
            raise UserError(
                f"The file {source} must hold {key!r} of shape {shape}, as the "
                f"masks do, got {got}."
            )


def _masked(
    weights: Any, keys: Mapping[str, str], masks: MaskSet, pathway: str
) -> Any:
    """A state dict with zeros where a pathway has none of the weights."""
    # With what torch notes in a state dict beside its entries.
    state = copy.copy(weights)
    done: dict[str, torch.Tensor] = {}  # tied weights stay one tensor
    for key, target in keys.items():
        if target not in done:
            mask = masks.get(pathway, target)
            done[target] = weights[key].masked_fill(~mask, 0)
        state[key] = done[target]
    return state


def _facts(
    chosen: Chosen, masks: MaskSet, pathway: str, modules: Mapping[str, Any]
) -> dict[str, Any]:
    """Where the files of a pathway come from."""
    return {
        "format": "leanbrain.pathway",
        "version": 1,
        "pathway": pathway,
        "checkpoint": chosen.path.name,
        "step": int(chosen.state["step"]),
        "masks_final": bool(chosen.state["frozen"]),
        "target_weights": masks.numel(),
        "kept_weights": masks.count(pathway),
        "files": [f"{name}.ckpt" for name in modules],
        "versions": versions(),
    }


def _folder_name(pathway: str) -> str:
    """A pathway's name as that of a folder, which may not lead elsewhere."""
    name = quote(pathway, safe=" ,;=+@~()")
    return name.replace(".", "%2E") if set(name) == {"."} else name


@contextmanager
def _staged(folders: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Gives folders aside that take their places when all are complete."""
    mark = secrets.token_hex(4)
    staged = {
        name: folder.with_name(f".partial-{mark}-{folder.name}")
        for name, folder in folders.items()
    }
    try:
        yield staged
        for name, folder in staged.items():
            _replace(folder, folders[name])
    finally:
        for folder in staged.values():
            shutil.rmtree(folder, ignore_errors=True)


def _replace(new: Path, final: Path) -> None:
    """Renames a folder; one of the same name goes only afterwards."""
    old = new.with_name(f"{new.name}-old")
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)

"""Finds the checkpoint that stands for a run, from its folder alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import UserError, check_known
from leanbrain.files import load_tensors
from leanbrain.pruning.host.checkpoints import CHECKPOINT_NAME
from leanbrain.pruning.host.final_checkpoints import FINAL

__all__ = ["Chosen", "choose_checkpoint"]

META = "CKPT.yaml"


@dataclass(frozen=True)
class Chosen:
    """A checkpoint of a pruned run.

    Arguments
    ---------
    path : Path
        Its folder.
    state : dict
        What its pruner saved.
    why : str
        By what it was chosen, in words.
    """

    path: Path
    state: dict[str, Any]
    why: str


def choose_checkpoint(
    run: str | os.PathLike[str],
    *,
    min_key: str | None = None,
    max_key: str | None = None,
    unfinished: bool = False,
) -> Chosen:
    """Chooses as `Brain.evaluate` does, among checkpoints with final masks.

    Arguments
    ---------
    run : path
        Of a run, of its save folder, or of a checkpoint itself.
    min_key, max_key : str, optional
        As for `Brain.evaluate`; default: the first by which the recipe keeps
        its best checkpoints, or the newest where it does not say.
    unfinished : bool
        Whether to take a checkpoint without final masks if no other is there.

    Returns
    -------
    Chosen
        The checkpoint.

    Raises
    ------
    UserError
        If there is none, none with final masks, none with the key, or if the
        folder holds several runs.
    """
    if min_key is not None and max_key is not None:
        raise UserError("`min_key` or `max_key` must be given, got both.")
    found = _checkpoints(Path(run))
    final = [x for x in found if _is_final(x)]
    if not (final or unfinished):
        raise UserError(
            f"The masks of {run} must be final (others still change), got "
            f"{len(found)} checkpoints without final masks; `unfinished` takes "
            "them all the same."
        )
    kind = "with final masks" if final else "without final masks"
    among = final or found
    wanted = _wanted(among, min_key, max_key)
    best, words = _best(among, wanted)
    if len(among) == 1:
        why = f"the only checkpoint {kind}"
    else:
        why = f"{words} of {len(among)} checkpoints {kind}"
    return Chosen(Path(best.path), _state(best), why)


def _checkpoints(run: Path) -> list[Any]:
    """The pruned checkpoints of a run, the newest first."""
    from speechbrain.utils.checkpoints import Checkpointer

    if not run.is_dir():
        raise UserError(f"The run must be a folder, got {str(run)!r}.")
    single = (run / META).is_file()
    metas = [run / META] if single else sorted(run.rglob(f"CKPT*/{META}"))
    pruned = [
        x for x in metas if (x.parent / f"{CHECKPOINT_NAME}.ckpt").is_file()
    ]
    if not pruned:
        raise UserError(
            f"The run must hold checkpoints with {CHECKPOINT_NAME}.ckpt, got "
            + (f"{len(metas)} without one" if metas else "no checkpoint")
            + f" in {run}."
        )
    folders = sorted({x.parent.parent for x in pruned})
    if len(folders) > 1:
        listed = ", ".join(str(x) for x in folders[:3])
        raise UserError(
            "The folder must be of one run, got checkpoints in "
            f"{len(folders)}: {listed}{', ..' if len(folders) > 3 else ''}."
        )
    try:
        found = Checkpointer(folders[0]).find_checkpoints()
    # No YAML, no mapping, or one without the time.
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"The {META} of each checkpoint in {folders[0]} must be as "
            f"SpeechBrain writes it, got an error: {reason}"
        ) from error
    kept = {x.parent.resolve() for x in pruned}
    return [x for x in found if Path(x.path).resolve() in kept]


def _is_final(checkpoint: Any) -> bool:
    """Whether its masks change no more; not each way to attach notes it."""
    noted = checkpoint.meta.get(FINAL)
    return bool(_state(checkpoint)["frozen"] if noted is None else noted)


def _state(checkpoint: Any) -> dict[str, Any]:
    """What the pruner saved."""
    saved: dict[str, Any] = load_tensors(
        checkpoint.paramfiles[CHECKPOINT_NAME],
        kind=f"leanbrain.{CHECKPOINT_NAME}",
        version=1,
    )["state"]
    return saved


def _wanted(
    among: Sequence[Any], min_key: str | None, max_key: str | None
) -> tuple[str, str] | None:
    """By the lowest or highest of what to choose; None: the newest."""
    if min_key is not None:
        return "min", min_key
    if max_key is not None:
        return "max", max_key
    if len(among) == 1:
        return None
    best_by = _state(among[0]).get("saved_as", {}).get("best_by", [])
    return (best_by[0][0], best_by[0][1]) if best_by else None


def _best(
    among: Sequence[Any], wanted: tuple[str, str] | None
) -> tuple[Any, str]:
    """The best checkpoint, and why it is; the newest of equal ones."""
    if wanted is None:
        return among[0], "the newest"
    kind, key = wanted
    known = {n for x in among for n, v in x.meta.items() if _is_number(v)}
    check_known(f"{kind}_key", key, sorted(known))
    having = [x for x in among if _is_number(x.meta.get(key))]
    sign = 1 if kind == "min" else -1
    best = min(having, key=lambda x: sign * x.meta[key])
    end = "lowest" if kind == "min" else "highest"
    return best, f"the one with the {end} {key} ({best.meta[key]:.6g})"


def _is_number(value: Any) -> bool:
    """Whether a value of the meta data can be compared."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return isfinite(value)

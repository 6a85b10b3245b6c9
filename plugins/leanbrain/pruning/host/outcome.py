"""How sparse a run's model is, read off the weights that will be loaded."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.pruning.host.checkpoints import CHECKPOINT_NAME

if TYPE_CHECKING:
    from leanbrain.masking.maskset import MaskSet
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["Outcome", "outcome_of", "sentence_on"]


@dataclass(frozen=True)
class Outcome:
    """What has become of the weights of a run.

    Arguments
    ---------
    step : int
        At which the weights are.
    final : bool
        Whether their masks are.
    weights, targets : int
        How many, and in how many parameters.
    removed : dict
        Pathway -> share of the weights that are zero in it.
    stray : int
        Weights that are not zero although no pathway keeps them.
    source : str
        Where the weights are.
    unsaved : tuple of str
        Targets that the checkpoint has no weights of.
    """

    step: int
    final: bool
    weights: int
    targets: int
    removed: dict[str, float]
    stray: int
    source: str
    unsaved: tuple[str, ...] = ()

    def sentence(self, total_steps: int) -> str:
        """All of it, for the end of a run.

        Arguments
        ---------
        total_steps : int
            Of the run as it was planned.

        Returns
        -------
        str
        """
        shares = ", ".join(f"{k} {v:.2%}" for k, v in self.removed.items())
        parts = [
            f"Step {self.step} of {max(self.step, total_steps)}: removed of "
            f"{self.weights:,} weights in {self.targets} targets: {shares}; "
            f"masks are {'final' if self.final else 'NOT final'}.",
            f"Counted in {self.source}.",
        ]
        if self.stray:
            parts.append(
                f"BUT {self.stray:,} weights are not zero where the masks are."
            )
        if self.unsaved:
            parts.append(
                f"BUT the checkpoint has no weights of {len(self.unsaved)} "
                f"targets: {', '.join(self.unsaved)}."
            )
        return " ".join(parts)


def outcome_of(
    pruner: AdaptivePruner, checkpointer: Any, evaluated: bool
) -> Outcome:
    """Looks at the weights that a user of the run will load.

    Arguments
    ---------
    pruner : AdaptivePruner
        At rest.
    checkpointer : Checkpointer or None
        Of the Brain that was trained last.
    evaluated : bool
        Whether that Brain was evaluated since: then the model in memory is
        what the recipe chose. Otherwise the checkpoint counts that would be
        recovered next, if there is one.

    Returns
    -------
    Outcome
    """
    found = None if checkpointer is None else checkpointer.find_checkpoint()
    masks, step, final = pruner.masks, pruner.step, pruner.frozen
    if evaluated or found is None:
        weights = {t.name: t.parameter.detach() for t in pruner.targets}
        source = "the model that was evaluated" if evaluated else "the model"
        return _count(weights, masks, step, final, source)
    if CHECKPOINT_NAME in found.paramfiles:
        from leanbrain.checkpointing import load_state

        state = load_state(found, CHECKPOINT_NAME)
        masks, step, final = masks.clone(), state["step"], state["frozen"]
        masks.load_state_dict(state["masks"])
    weights = _saved_weights(pruner, checkpointer, found)
    source = f"the checkpoint {found.path.name}"
    return _count(weights, masks, step, final, source)


def sentence_on(pruner: AdaptivePruner) -> str:
    """What has become of the model in memory, in one sentence."""
    if not pruner.started:
        return "No masks were set."
    outcome = outcome_of(pruner, None, evaluated=False)
    return outcome.sentence(pruner.plan.total_steps)


def _count(
    weights: Mapping[str, torch.Tensor],
    masks: MaskSet,
    step: int,
    final: bool,
    source: str,
) -> Outcome:
    """Counts zeros; of several pathways, those in each one's part."""
    single = len(masks.pathways) == 1
    total = sum(w.numel() for w in weights.values())
    shown = dict.fromkeys(masks.pathways, 0)
    stray = 0
    for name, weight in weights.items():
        live = weight != 0
        kept = {p: masks.get(p, name).to(live.device) for p in masks.pathways}
        union = torch.stack(list(kept.values())).any(0)
        stray += int((live & ~union).sum())
        for pathway, mask in kept.items():
            part = live if single else live & mask
            shown[pathway] += int(part.sum())
    removed = {p: 1 - n / max(total, 1) for p, n in shown.items()}
    unsaved = tuple(name for name in masks.shapes if name not in weights)
    return Outcome(
        step, final, total, len(weights), removed, stray, source, unsaved
    )


def _saved_weights(
    pruner: AdaptivePruner, checkpointer: Any, found: Any
) -> dict[str, torch.Tensor]:
    """The targets' weights in a checkpoint, as far as it has them."""
    names = {id(t.parameter): t.name for t in pruner.targets}
    weights: dict[str, torch.Tensor] = {}
    for key, owner in checkpointer.recoverables.items():
        if key not in found.paramfiles or not hasattr(
            owner, "named_parameters"
        ):
            continue
        inner = {
            names[id(p)]: name
            for name, p in owner.named_parameters(remove_duplicate=False)
            if id(p) in names
        }
        if set(inner) <= set(weights):
            continue
        saved = _state_dict(found.paramfiles[key])
        weights.update(
            (target, saved[name])
            for target, name in inner.items()
            if name in saved
        )
    return weights


def _state_dict(path: Any) -> dict[str, torch.Tensor]:
    """A module's file; empty where it is of a kind of its own."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError):
        return {}
    return saved if isinstance(saved, dict) else {}

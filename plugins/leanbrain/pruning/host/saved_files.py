"""What a checkpoint's pruner says of the other files of the checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from leanbrain.masking.targets import Target

__all__ = ["SavedFiles"]


class SavedFiles:
    """Says which files hold the pruned weights, and which checkpoint is best.

    With it a pathway can be taken out of a checkpoint without the recipe.

    Arguments
    ---------
    checkpointer : Checkpointer
        Saves the pruner. What `save_and_keep_only` is called with is noted.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> from speechbrain.utils.checkpoints import Checkpointer
    >>> from leanbrain.masking.targets import select_targets
    >>> folder, layer = TemporaryDirectory(), torch.nn.Linear(2, 2)
    >>> files = SavedFiles(Checkpointer(folder.name, {"model": layer}))
    >>> files.facts(select_targets({"enc": layer}))
    {'modules': {'model': {'weight': 'enc.weight'}}, 'best_by': []}
    >>> folder.cleanup()
    """

    def __init__(self, checkpointer: Any) -> None:
        self._checkpointer = checkpointer
        self._best_by: list[list[str]] = []
        keep = checkpointer.save_and_keep_only
        signature = inspect.signature(keep)

        def wrapped_keep(*args: Any, **kwargs: Any) -> Any:
            """Notes the keys that say which are best."""
            self._note(signature.bind(*args, **kwargs).arguments)
            return keep(*args, **kwargs)

        checkpointer.save_and_keep_only = wrapped_keep

    def facts(self, targets: Iterable[Target]) -> dict[str, Any]:
        """Plain data, to be saved with the masks.

        Arguments
        ---------
        targets : iterable of Target
            The pruned parameters.

        Returns
        -------
        dict
            "modules": name of each module that is saved -> key in its file ->
            name of the target there. "best_by": "min" or "max" and a key of
            the meta data, by each of which the recipe keeps its best.
        """
        names = {id(target.parameter): target.name for target in targets}
        modules = {
            name: {
                key: names[id(parameter)]
                # A tied parameter has several keys.
                for key, parameter in module.named_parameters(
                    remove_duplicate=False
                )
                if id(parameter) in names
            }
            for name, module in self._checkpointer.recoverables.items()
            if isinstance(module, torch.nn.Module)
        }
        return {"modules": modules, "best_by": self._best_by}

    def _note(self, given: Mapping[str, Any]) -> None:
        """Notes by what the recipe tells which checkpoints are best."""
        self._best_by = [
            [kind, str(key)]
            for kind in ("min", "max")
            for key in given.get(f"{kind}_keys") or ()
        ]

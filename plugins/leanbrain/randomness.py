"""The state of the global random generators as part of a checkpoint."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)

from leanbrain.files import load_tensors, save_tensors

__all__ = ["RandomState"]

FORMAT, VERSION = "leanbrain.randomstate", 1


@register_checkpoint_hooks
class RandomState:
    """Saves and restores what dropout and augmentation draw from.

    SpeechBrain's checkpoints leave the generators out, so that a resumed run
    sees other dropout masks than an uninterrupted one. List this object among
    the recoverables and call ``resume()`` before every training batch: the
    state that was loaded is applied once, at the last moment, because
    recovery itself and the building of loader iterators draw numbers too.

    Example
    -------
    >>> state = RandomState()
    >>> _ = torch.manual_seed(0)
    >>> snapshot = state.capture()
    >>> a = torch.rand(3)
    >>> state.pending = snapshot
    >>> state.resume()
    True
    >>> bool((torch.rand(3) == a).all())
    True
    """

    def __init__(self) -> None:
        self.pending: dict[str, Any] | None = None

    def capture(self) -> dict[str, Any]:
        """Returns the state of the Python, NumPy and torch generators."""
        version, internal, gauss = random.getstate()
        state: Any = np.random.get_state()
        name, keys, position, has_gauss, cached = state
        return {
            "python": [version, list(internal), gauss],
            "numpy": [
                name,
                torch.from_numpy(keys.astype(np.int64)),
                position,
                has_gauss,
                cached,
            ],
            "torch": torch.get_rng_state(),
            "cuda": (
                torch.cuda.get_rng_state_all()
                if torch.cuda.is_available()
                else []
            ),
        }

    def resume(self) -> bool:
        """Applies a loaded state once; returns whether there was one."""
        if self.pending is None:
            return False
        state, self.pending = self.pending, None
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        name, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(
            (name, keys.numpy().astype(np.uint32), position, has_gauss, cached)
        )
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])
        return True

    @mark_as_saver
    def _save(self, path: Path) -> None:
        save_tensors(
            path, {"format": FORMAT, "version": VERSION, **self.capture()}
        )

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        self.pending = load_tensors(path, kind=FORMAT, version=VERSION)

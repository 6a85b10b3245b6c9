"""The state of the global random generators as part of a checkpoint."""

from __future__ import annotations

import logging
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import (
    ddp_prevent_block,
    main_process_only,
)

from leanbrain.files import load_tensors, save_tensors

__all__ = ["RandomState"]

logger = logging.getLogger(__name__)

FORMAT, VERSION = "leanbrain.randomstate", 2

State = dict[str, Any]


# Every rank takes part in saving: each has generators of its own.
@partial(register_checkpoint_hooks, save_on_main_only=False)
class RandomState:
    """Saves and restores what dropout and augmentation draw from.

    SpeechBrain's checkpoints leave the generators out, so that a resumed run
    sees other dropout masks than an uninterrupted one. List this object among
    the recoverables and call ``resume()`` before every training batch: the
    state that was loaded is applied once, at the last moment, because
    recovery itself and the building of loader iterators draw numbers too.

    One file holds the states of all ranks, and each rank goes on with its
    own. If their number has changed a warning says so; ranks that were not
    there get streams of their own, drawn from the first one's.

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
        self.pending: State | None = None

    def capture(self) -> State:
        """Returns the state of the Python, NumPy and torch generators."""
        return _capture()

    def resume(self) -> bool:
        """Applies a loaded state once; returns whether there was one."""
        if self.pending is None:
            return False
        state, self.pending = self.pending, None
        _apply(state)
        return True

    @mark_as_saver
    def _save(self, path: Path) -> None:
        _write(path, _of_all_ranks(self.capture()))

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        saved = load_tensors(path, kind=FORMAT, version=VERSION)["ranks"]
        rank, ranks = 0, 1
        if dist.is_available() and dist.is_initialized():
            rank, ranks = dist.get_rank(), dist.get_world_size()
        if len(saved) != ranks and rank == 0:
            logger.warning(
                "%s holds the random generators of %d ranks, and there are %d "
                "now: the run will not draw what it would have drawn without "
                "the break.",
                path,
                len(saved),
                ranks,
            )
        own = rank < len(saved)
        self.pending = saved[rank] if own else _derived(saved[0], rank)


def _capture() -> State:
    """The state of this process."""
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
            torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        ),
    }


def _apply(state: State) -> None:
    """Gives a state to the generators of this process."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(
        (name, keys.numpy().astype(np.uint32), position, has_gauss, cached)
    )
    torch.set_rng_state(state["torch"])
    # A run may be resumed where there are fewer devices, or none.
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, generator in zip(range(devices), state["cuda"], strict=False):
        torch.cuda.set_rng_state(generator, device)


def _derived(state: State, rank: int) -> State:
    """A stream of its own for a rank that was not there before."""
    before = _capture()
    _apply(state)
    seed = int(torch.randint(2**31, ())) + rank
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    derived = _capture()
    _apply(before)
    return derived


def _of_all_ranks(state: State) -> list[State]:
    """The states of all ranks; only this one's where no other takes part."""
    if ddp_prevent_block():
        return [state]
    states: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(states, state)
    return states


@main_process_only
def _write(path: Path, states: list[State]) -> None:
    save_tensors(path, {"format": FORMAT, "version": VERSION, "ranks": states})

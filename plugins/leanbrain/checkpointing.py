"""Checkpoints that are never half-written, and states saved with them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import (
    ddp_barrier,
    if_main_process,
    main_process_only,
)

from leanbrain._atomic import disk_refusal
from leanbrain.checks import UserError
from leanbrain.files import load_tensors, save_tensors

__all__ = ["SafeCheckpointer", "add_state", "load_state"]

PARTIAL = ".partial-"
STATE_VERSION = 1


class SafeCheckpointer(Checkpointer):
    """Writes a checkpoint aside and renames it when it is complete.

    SpeechBrain writes the meta file first: a run that is killed, or finds the
    disk full, while it saves leaves a folder that looks like the newest
    checkpoint and cannot be loaded. Use this class in its place; arguments,
    files and loading are the same.

    Example
    -------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> checkpointer = SafeCheckpointer(folder.name)
    >>> saved = checkpointer.save_checkpoint()
    >>> saved.path.name.startswith("CKPT")
    True
    >>> folder.cleanup()
    """

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        """Saves as Checkpointer does, all or nothing.

        Raises
        ------
        UserError
            If the disk refused; earlier checkpoints are as they were, as
            after any other error of what is saved, which passes unchanged.
        """
        if if_main_process():
            self._remove_partial()
        try:
            saved = super().save_checkpoint(*args, **kwargs)
        except BaseException as error:
            if if_main_process():
                self._remove_partial()
            reason = disk_refusal(error, self.checkpoints_dir)
            if reason is None:
                raise
            raise UserError(
                f"A checkpoint must be writable in {self.checkpoints_dir}, got "
                f"{reason}; the last complete one is kept."
            ) from error
        # Savers of other ranks may still write into the folder.
        ddp_barrier()
        if saved is not None:
            saved = _published(saved)
        # Whether checkpoints are listed, loaded or deleted next: every rank
        # must find the same ones, as deleting is done by all of them in step.
        ddp_barrier()
        return saved

    def _new_checkpoint_dirpath(self) -> Path:
        return _aside(super()._new_checkpoint_dirpath())

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        return _aside(super()._custom_checkpoint_dirpath(name))

    def _remove_partial(self) -> None:
        for path in Path(self.checkpoints_dir).glob(f"{PARTIAL}*"):
            logging.getLogger(__name__).info("Removing %s", path)
            shutil.rmtree(path, ignore_errors=True)


def add_state(checkpointer: Checkpointer, name: str, owner: Any) -> None:
    """Saves an object's ``state_dict`` with every checkpoint.

    Loading is optional, in contrast to what a YAML's ``recoverables`` lists:
    a checkpoint without this state starts afresh. States are plain containers
    and tensors, loaded without executing code.

    Arguments
    ---------
    checkpointer : Checkpointer
        SpeechBrain's or ours. What the state builds on, the model say, must
        have been added before.
    name : str
        The file is `<name>.ckpt`, of format `leanbrain.<name>`.
    owner : object
        With ``state_dict()`` and ``load_state_dict(state)``.
    """
    kind = f"leanbrain.{name}"

    # The other ranks wait: one that looks at the checkpoint before the file is
    # there would take the state for an optional one that is absent.
    @main_process_only
    def save(obj: Any, path: Path) -> None:
        """Writes the state, on the first rank."""
        head = {"format": kind, "version": STATE_VERSION}
        save_tensors(path, {**head, "state": obj.state_dict()})

    def load(obj: Any, path: Path, end_of_epoch: bool) -> None:
        """Gives a saved state back to its owner."""
        obj.load_state_dict(_state(path, name))

    checkpointer.add_recoverable(
        name,
        owner,
        custom_save_hook=save,
        custom_load_hook=load,
        optional_load=True,
    )


def load_state(checkpoint: Checkpoint, name: str) -> Any:
    """Reads what ``add_state`` has saved, without giving it to its owner.

    Arguments
    ---------
    checkpoint : Checkpoint
        As a Checkpointer finds it, with this state.
    name : str
        As for ``add_state``.

    Returns
    -------
    dict
    """
    return _state(checkpoint.paramfiles[name], name)


def _state(path: Path, name: str) -> Any:
    kind = f"leanbrain.{name}"
    return load_tensors(path, kind=kind, version=STATE_VERSION)["state"]


def _aside(path: Path) -> Path:
    """A name that Checkpointer does not take for a checkpoint."""
    return path.with_name(PARTIAL + path.name)


def _published(saved: Checkpoint) -> Checkpoint:
    """Gives a complete checkpoint its final name."""
    final = saved.path.with_name(saved.path.name.removeprefix(PARTIAL))
    _replace(saved.path, final)
    files = {n: final / p.name for n, p in saved.paramfiles.items()}
    return Checkpoint(final, saved.meta, files)


def _replace(new: Path, final: Path) -> None:
    """Renames; a checkpoint of the same name goes only afterwards."""
    old = final.with_name(f"{PARTIAL}old-{final.name}")
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)

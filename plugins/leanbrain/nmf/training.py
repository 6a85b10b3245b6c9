"""The training of a dictionary over a corpus: epochs, a bar, a safe stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import if_main_process, run_on_main
from torch import Tensor
from tqdm.auto import tqdm

from leanbrain.checkpointing import add_state
from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.nmf.block_frames import BlockFrames
from leanbrain.nmf.progress import Progress
from leanbrain.nmf.resuming import batches_of, length_of
from leanbrain.nmf.training_log import TrainingLog

if TYPE_CHECKING:
    from leanbrain.nmf.dictionary import NMFDictionary

__all__ = ["Training"]

STATE = "nmf_dictionary"
LOGGER = "nmf_logger"


@dataclass
class Training:
    """What ``NMFDictionary.fit`` was asked for, and how far it is.

    Arguments
    ---------
    dictionary : NMFDictionary
        What is trained.
    spectrum : Callable
        `spectrum(batch)` returns V [B, T, F] and relative lengths [B].
    loader, valid_loader : Iterable
        Batches; the second may be None.
    max_epochs, patience : int
        Most epochs; epochs without gain that end it.
    min_gain : float
        Relative fall of the divergence that counts as a gain.
    block_of : Callable | None
        `block_of(batch)` returns the block of every utterance.
    logger : TensorBoardLogger | None
        Gets curves and figures.
    checkpointer : Checkpointer | None
        Saves and resumes.
    save_every_min : float
        Minutes between two saves within an epoch.
    progress_bar : bool
        Whether a bar is shown.
    """

    dictionary: NMFDictionary
    spectrum: Callable[[Any], tuple[Tensor, Tensor | None]]
    loader: Any
    valid_loader: Any
    max_epochs: int
    patience: int
    min_gain: float
    block_of: Callable[[Any], Sequence[str]] | None
    logger: Any
    checkpointer: Checkpointer | None
    save_every_min: float
    progress_bar: bool

    def __post_init__(self) -> None:
        self.frames = BlockFrames(self.dictionary, self.spectrum, self.block_of)
        check_int("max_epochs", self.max_epochs, low=1)
        check_int("patience", self.patience, low=1)
        check_fraction("min_gain", self.min_gain, high_open=True)
        if not (self.save_every_min >= 0):
            raise UserError(
                "`save_every_min` must be a number >= 0, got "
                f"{self.save_every_min!r}."
            )
        self.log = TrainingLog(self.logger)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._mark()

    def run(self) -> Progress:
        """Trains to the end; resumes where the checkpointer has a state.

        Of several ranks the first does it, and the others get what it learnt:
        each by itself they would save at other moments, and drift apart.
        """
        progress, state = run_on_main(self._train)
        if not if_main_process():
            self.dictionary.load_state_dict(state)
        return progress

    def _train(self) -> tuple[Progress, dict[str, Tensor]]:
        """Trains in this process; returns how, and the dictionary's state."""
        self._recover()
        try:
            while not self.progress.reason:
                self._epoch()
                self._end_epoch()
        except KeyboardInterrupt:
            # It may have come in the middle of an update.
            tensors, self.progress = self._boundary
            self.dictionary.restore(tensors)
            self._save(end_of_epoch=False)
            raise
        if self.best:
            self.dictionary.restore(self.best)
        state = self.dictionary.state_dict()
        return self.progress, {name: x.cpu() for name, x in state.items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain containers and tensors."""
        return {
            "dictionary": dict(self.dictionary.state_dict()),
            "progress": asdict(self.progress),
            "best": dict(self.best),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved training."""
        saved, own = state["dictionary"], self.dictionary.state_dict()
        if {k: x.shape for k, x in saved.items()} != {
            k: x.shape for k, x in own.items()
        }:
            raise UserError(
                "The checkpoint must hold a dictionary as the one trained "
                f"here, with {_size(own)}, got one with {_size(saved)}."
            )
        self.dictionary.load_state_dict(saved)
        progress = Progress(**state["progress"])
        # With more epochs or patience than before it goes on.
        self.progress = replace(progress, reason=self._reason(progress))
        self.best = {
            name: x.to(self.dictionary.atoms.device)
            for name, x in state["best"].items()
        }

    def _recover(self) -> None:
        if self.checkpointer is None:
            return
        known = self.checkpointer.recoverables
        others = sorted(set(known) - {STATE, LOGGER})
        if others:
            raise UserError(
                "`checkpointer` must be one of the dictionary's own, since it "
                "keeps the newest checkpoint alone, got one that also saves "
                f"{', '.join(others)}."
            )
        add_state(self.checkpointer, STATE, self)
        if hasattr(self.logger, "_save") and not any(
            x is self.logger for x in known.values()
        ):
            self.checkpointer.add_recoverable(
                LOGGER, self.logger, optional_load=True
            )
        self.checkpointer.recover_if_possible()
        self._mark()

    def _epoch(self) -> None:
        """The rest of the present epoch."""
        done = self.progress.batch
        epoch = self.progress.epoch
        with tqdm(
            batches_of(self.loader, self.dictionary.seed, epoch, done),
            desc=f"dictionary, epoch {epoch + 1}/{self.max_epochs}",
            total=length_of(self.loader),
            initial=done,
            unit="batch",
            disable=not self.progress_bar,
            dynamic_ncols=True,
        ) as bar:
            saved = time.monotonic()
            for batch in bar:
                self._step(batch)
                now = self.progress
                bar.set_postfix(
                    divergence=f"{now.total / max(now.frames, 1):.4f}"
                )
                if time.monotonic() - saved >= 60 * self.save_every_min:
                    self._save(end_of_epoch=False)
                    saved = time.monotonic()
        if not self.progress.frames:
            raise UserError(
                "`loader` must give at least one frame that is not silent, "
                "got an epoch without."
            )

    def _step(self, batch: Any) -> None:
        """Learns from a batch."""
        total, frames = self.frames.apply(batch, self.dictionary.learn)
        old = self.progress
        self.progress = replace(
            old,
            batch=old.batch + 1,
            step=old.step + 1,
            total=old.total + total,
            frames=old.frames + frames,
        )
        self._mark()
        if frames:
            self.log.batch(total / frames, self.progress.step)

    def _end_epoch(self) -> None:
        """Validates, decides whether to go on, logs and saves."""
        old = self.progress
        train = old.total / old.frames
        valid = None
        if self.valid_loader is not None:
            valid = self.frames.mean(self.valid_loader)
        now = train if valid is None else valid
        gained = now < old.best * (1 - self.min_gain)
        if valid is not None and now < old.best:
            self.best = self.dictionary.snapshot()
        progress = replace(
            old,
            epoch=old.epoch + 1,
            batch=0,
            total=0.0,
            frames=0,
            train=[*old.train, train],
            valid=old.valid if valid is None else [*old.valid, valid],
            best=min(now, old.best),
            stale=0 if gained else old.stale + 1,
        )
        self.progress = replace(progress, reason=self._reason(progress))
        self._mark()
        self.log.epoch(self.dictionary, self.progress)
        self._save(end_of_epoch=True)

    def _reason(self, progress: Progress) -> str:
        """Why training ends here; empty if it does not."""
        if progress.stale >= self.patience:
            return "patience"
        return "max_epochs" if progress.epoch >= self.max_epochs else ""

    def _save(self, end_of_epoch: bool) -> None:
        if self.checkpointer is not None:
            self.checkpointer.save_and_keep_only(
                meta={"step": self.progress.step},
                end_of_epoch=end_of_epoch,
                num_to_keep=1,
                importance_keys=[],  # the default list grows at every call
            )

    def _mark(self) -> None:
        """Remembers a state that is whole; one assignment, so it is one."""
        self._boundary = (self.dictionary.snapshot(), self.progress)


def _size(state: dict[str, Tensor]) -> str:
    bins, atoms = state["atoms"].shape
    blocks = len(state["updates"])
    return f"{bins} bins and {atoms} atoms in {blocks} block(s)"

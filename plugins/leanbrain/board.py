"""A TensorBoard logger whose x axis is the optimizer step, over resumes."""

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import if_main_process

from leanbrain._stats import as_number, flatten
from leanbrain.checks import UserError, check_int
from leanbrain.files import read_json, write_json

__all__ = ["TensorBoardLogger"]

logger = logging.getLogger(__name__)

_NEVER = 2**53  # a step that no run reaches


@register_checkpoint_hooks
class TensorBoardLogger:
    """Writes what a recipe measures to TensorBoard, by optimizer step.

    Nothing is written before the first number: building the object from YAML
    makes no folder. All ranks may call it; only the main process writes. Add
    it to the checkpointer and charts stay continuous when a killed run goes
    on: what was written after the checkpoint is hidden. Statistics of the
    test stage hide nothing, as they may belong to an older checkpoint. Use
    one object per folder.

    Arguments
    ---------
    save_dir : path
        Folder for the event files.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> board = TensorBoardLogger(folder.name)
    >>> board.log_stats({"step": 100, "lr": 0.1}, valid_stats={"loss": 2.5})
    >>> board.step
    100
    >>> board.close()
    >>> folder.cleanup()
    """

    def __init__(self, save_dir: str | os.PathLike[str]) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError(
                "`TensorBoardLogger` needs the package tensorboard: pip "
                "install tensorboard."
            )
        self.save_dir = Path(save_dir)
        self.step = 0  # of the newest number
        self._counts_calls = True  # until the caller gives a step
        self._resume: int | None = None  # step of the checkpoint, if any
        self._must_purge = True  # before the next number of training
        self._writer: Any = None
        self._layout: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    def add_scalar(self, tag: str, value: Any, step: int) -> None:
        """Writes one number.

        Arguments
        ---------
        tag : str
            Name of the curve, such as "valid/loss".
        value : float | torch.Tensor
            The number.
        step : int
            Optimizer step, the x axis.
        """
        self._counts_calls = False
        self._scalar(tag, value, step, test=tag.startswith("test/"))

    def add_scalars(
        self, values: Mapping[str, Any], step: int, prefix: str = ""
    ) -> None:
        """Writes numbers under `prefix/key`, nested mappings included."""
        for tag, value in flatten(values, prefix):
            self.add_scalar(tag, value, step)

    def add_image(self, tag: str, image: Any, step: int) -> None:
        """Writes a picture, shape [height, width, 3 or 4], uint8."""
        if (writer := self._open()) is not None:
            writer.add_image(tag, image, step, dataformats="HWC")

    def add_figure(self, tag: str, figure: Any, step: int) -> None:
        """Writes a matplotlib Figure as a picture; pyplot is not used."""
        if if_main_process():
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            self.add_image(tag, np.asarray(canvas.buffer_rgba()), step)

    def add_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text (Markdown), if it differs from the tag's last one."""
        writer = self._open()
        if writer is not None and self._texts.get(tag) != text:
            self._texts[tag] = text
            writer.add_text(tag, text, step)

    def layout(self, layout: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Says which charts the tab "Custom Scalars" shows, in which order.

        Arguments
        ---------
        layout : Mapping
            Category -> title of a chart -> regular expressions; the chart
            shows every tag whose beginning matches one of them. The same
            layout is written once per process, with the first number.
        """
        charts = {
            category: {t: ["Multiline", list(x)] for t, x in titles.items()}
            for category, titles in layout.items()
        }
        if charts != self._layout:
            self._layout = charts
            if self._writer is not None:
                self._writer.add_custom_scalars(charts)

    def log_stats(
        self,
        stats_meta: Mapping[str, Any],
        train_stats: Mapping[str, Any] | None = None,
        valid_stats: Mapping[str, Any] | None = None,
        test_stats: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        """Writes the statistics of a stage, called as SpeechBrain's loggers.

        Arguments
        ---------
        stats_meta : Mapping
            Tags `meta/...`. The entry "step" or "optimizer_step" becomes the
            x axis; without one it is the last step that was given, or the
            number of calls where none ever was.
        train_stats, valid_stats, test_stats : Mapping | None
            Tags `train/...`, `valid/...`, `test/...`. Nested mappings extend
            the tag (`valid/cer/en`), lists become their mean, all that is
            not a number becomes text.
        verbose : bool
            Whether to put the statistics to Python's logging, too.
        """
        meta = dict(stats_meta)
        test = train_stats is None and valid_stats is None and bool(test_stats)
        step = self._stats_step(meta)
        if not test:
            self._hide_stale(step)
        stages = {
            "meta": meta,
            "train": train_stats,
            "valid": valid_stats,
            "test": test_stats,
        }
        for tag, value in flatten(stages):
            number = as_number(value)
            if number is None:
                self.add_text(tag, str(value), step)
            else:
                self._scalar(tag, number, step, test=test)
            if verbose and if_main_process():
                logger.info("step %d, %s: %s", step, tag, value)
        self.flush()

    def flush(self) -> None:
        """Puts everything on the disk, as saving a checkpoint does."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Closes the event file; a later number opens a new one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _stats_step(self, meta: dict[str, Any]) -> int:
        """Takes the step out of the meta statistics, or counts."""
        given = [meta.pop(k, None) for k in ("step", "optimizer_step")]
        found = [x for x in given if x is not None]
        if found:
            self._counts_calls = False
            return check_int("step", found[0], low=0)
        if self._counts_calls:
            self.step += 1
        return self.step

    def _scalar(self, tag: str, value: Any, step: int, test: bool) -> None:
        """Writes a number, after hiding stale ones unless it is of a test."""
        if not test:
            self._hide_stale(step)
        if (writer := self._open()) is not None:
            self.step = max(self.step, step)
            writer.add_scalar(tag, value, step)

    def _hide_stale(self, step: int) -> None:
        """Hides what the training that goes on here will write again."""
        if not self._must_purge or self._open() is None:
            return
        self._must_purge = False
        # Without a checkpoint the run starts anew: an older, killed run in
        # the same folder is stale from here on. Not so where calls are
        # counted, as the count may have started again.
        if self._resume is not None:
            self._purge(self._resume + 1)
        elif not self._counts_calls:
            self._purge(max(step, 1))

    def _open(self) -> Any:
        """Returns the writer, None on all but the main process."""
        if self._writer is None and if_main_process():
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.save_dir))
            # TensorBoard takes the first start in a folder for no restart
            # and hides nothing: here is one that has nothing to hide.
            self._purge(_NEVER)
            self._texts = {}
            if self._layout:
                self._writer.add_custom_scalars(self._layout)
        return self._writer

    def _purge(self, step: int) -> None:
        """Hides all events from `step` on that were written before now."""
        from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]
            Event,
            SessionLog,
        )

        # What SummaryWriter(purge_step=...) writes. A writer may be open
        # already: it need not be closed for this.
        start = SessionLog(status=SessionLog.START)
        self._writer.file_writer.add_event(Event(step=step, session_log=start))

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs; what was written is on the disk."""
        # A kill after this checkpoint must not lose what came before it.
        self.flush()
        return {"step": self.step, "counts_calls": self._counts_calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from `state_dict`: what was written since is hidden."""
        self.step = self._resume = state["step"]
        self._counts_calls = state["counts_calls"]
        self._must_purge = True

    @mark_as_saver
    def _save(self, path: Path) -> None:
        head = {"format": "leanbrain.board", "version": 1}
        write_json(path, {**head, **self.state_dict()})

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        state = read_json(path)
        if not isinstance(state, dict) or (
            state.get("format") != "leanbrain.board"
            or state.get("version") != 1
        ):
            raise UserError(
                f"The file {path} must be version 1 of 'leanbrain.board', got "
                f"{str(state)[:60]}."
            )
        self.load_state_dict(state)

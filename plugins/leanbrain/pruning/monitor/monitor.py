"""Shows and records what pruning does to the pathways."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from leanbrain._stats import as_number
from leanbrain.checks import UserError, check_int
from leanbrain.pruning.monitor import tags
from leanbrain.pruning.monitor.explored import Explored
from leanbrain.pruning.monitor.history import History

if TYPE_CHECKING:
    from leanbrain.loggers import TensorBoardLogger
    from leanbrain.masking.maskset import MaskSet
    from leanbrain.masking.targets import Target

__all__ = ["PruningMonitor"]

VERSION = 1


class PruningMonitor:
    """Writes what pruning does to TensorBoard and to a file of JSON lines.

    Without a pruner it records losses and metrics alone. Methods may be
    called on all ranks; only the main process writes. Call them before the
    checkpoint of the same step is saved, and list the logger among the
    recoverables: then a resumed run goes on without a gap or a repetition.

    Arguments
    ---------
    logger : TensorBoardLogger | None
        Where the curves go; None draws none.
    history_file : path | None
        File of JSON lines; None writes none. `report` reads it.
    loss_interval : int
        Optimizer steps between two means of the losses given to `note_loss`.
    pictures : bool
        Whether the overlap of pathways is drawn at every update as well.
    owns_logger : bool
        Whether the logger is saved with the monitor, not by the recipe.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> monitor = PruningMonitor(None, folder.name + "/history.jsonl")
    >>> monitor.on_metrics(100, {"cer": {"en": 7.5, "fr": 8.5}})
    >>> monitor.step
    100
    >>> folder.cleanup()
    """

    def __init__(
        self,
        logger: TensorBoardLogger | None = None,
        history_file: str | os.PathLike[str] | None = None,
        loss_interval: int = 20,
        pictures: bool = True,
        owns_logger: bool = False,
    ) -> None:
        self.logger = logger
        self.history = None if history_file is None else History(history_file)
        self.loss_interval = check_int("loss_interval", loss_interval, low=1)
        self.pictures, self.owns_logger = pictures, owns_logger
        self.step = 0  # of the newest record
        self._updated = -1  # the step of the newest change of masks
        self.explored = Explored()
        self._losses: dict[str, list[float]] = {}  # pathway -> [sum, count]
        self._loss_due = self.loss_interval
        self._groups: dict[str, list[str]] = {}

    def on_update(
        self,
        step: int,
        pathways_updated: Iterable[str],
        before: MaskSet,
        after: MaskSet,
        targets: Iterable[Target],
        sparsity_planned: float,
    ) -> None:
        """Records a change of masks.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        pathways_updated : Iterable[str]
            Pathways that were given new masks.
        before, after : MaskSet
            All masks before and after the update.
        targets : Iterable[Target]
            The masked parameters; their groups become the layer groups.
        sparsity_planned : float
            Share of weights that the schedule wants removed.
        """
        if not _is_main():
            return
        updated = list(pathways_updated)
        self._updated = step
        for target in () if self._groups else targets:
            self._groups.setdefault(target.group, []).append(target.name)
        self.explored.update(before, after, updated)
        density = {p: after.density(p) for p in after.pathways}
        record = {
            "updated": updated,
            "sparsity_planned": float(sparsity_planned),
            "sparsity_real": 1.0 - sum(density.values()) / len(density),
            "density": density,
            "density_union": after.union_density(),
            "density_group": {
                group: {p: after.density(p, names) for p in after.pathways}
                for group, names in self._groups.items()
            },
            "churn": {p: after.churn(before, p) for p in updated},
            "explored": self.explored.shares(),
            "pathways": list(after.pathways),
            "overlap": after.overlap_matrix().tolist(),
        }
        self._write(step, "update", record, _update_scalars(record))
        self._draw_overlap(step, record)

    def on_guard(self, step: int, what: str, sentence: str) -> None:
        """Records that the guard over the training loss has said something.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        what : str
            "held", "short" of the planned sparsity, or "high" at the end.
        sentence : str
            In full.
        """
        if _is_main():
            record = {"what": what, "sentence": sentence}
            self._write(step, "guard", record, {tags.guard(what): 1.0})

    def on_epoch(
        self, step: int, masks: MaskSet, sparsity_planned: float
    ) -> None:
        """Records how sparse the pathways are, though nothing has changed.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        masks : MaskSet
            As they are.
        sparsity_planned : float
            Share of weights that the schedule wants removed.
        """
        if not _is_main() or step == self._updated:
            return
        density = {p: masks.density(p) for p in masks.pathways}
        planned = float(sparsity_planned)
        real = 1.0 - sum(density.values()) / len(density)
        record = {
            "sparsity_planned": planned,
            "sparsity_real": real,
            "density": density,
        }
        scalars = {
            tags.SPARSITY_PLANNED: planned,
            tags.SPARSITY_REAL: real,
            **{tags.density(p): x for p, x in density.items()},
        }
        self._write(step, "epoch", record, scalars)

    def announce(self, say: Callable[[str], None]) -> None:
        """Says where curves go that the recipe knows nothing of."""
        if self.owns_logger and self.logger is not None:
            folder = self.logger.save_dir
            say(f"Curves: tensorboard --logdir {folder.parent}")

    def on_losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Records training losses, pathway -> loss, at an optimizer step."""
        if not _is_main():
            return
        values = {p: float(x) for p, x in losses.items()}
        scalars = {tags.loss(p): x for p, x in values.items()}
        self._write(step, "loss", {"loss": values}, scalars)

    def note_loss(self, step: int, pathway: str, loss: float) -> None:
        """Gathers the loss of a batch; writes means now and then.

        Arguments
        ---------
        step : int
            Optimizer steps done before this batch. Its loss belongs to the
            next one: a checkpoint saved in between knows nothing of it.
        pathway : str
            Pathway of the batch.
        loss : float
            Its training loss.
        """
        entry = self._losses.setdefault(pathway, [0.0, 0.0])
        entry[0] += float(loss)
        entry[1] += 1.0
        if step + 1 >= self._loss_due:
            means = {p: total / n for p, (total, n) in self._losses.items()}
            self._losses = {}
            done = (step + 1) // self.loss_interval
            self._loss_due = (done + 1) * self.loss_interval
            self.on_losses(step + 1, means)

    def on_metrics(
        self, step: int, metrics: Mapping[str, Any], stage: str = "valid"
    ) -> None:
        """Records results of an evaluation.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        metrics : Mapping
            Name -> language -> value, or name -> value: {"cer": {"en": 7.5}},
            error rates in percent. Means over languages are added as
            "mean_cer".
        stage : str
            "valid"; or "test", which continues no training: nothing that
            came after the tested checkpoint is dropped.
        """
        if not _is_main():
            return
        scalars: dict[str, float] = {}
        known: dict[str, Any] = {}
        for name, value in metrics.items():
            if not isinstance(value, Mapping):
                known[name] = scalars[f"{stage}/{name}"] = _number(name, value)
                continue
            values = {k: _number(f"{name}/{k}", x) for k, x in value.items()}
            known[name] = values
            scalars |= {tags.metric(stage, name, k): values[k] for k in values}
            if values:
                mean = sum(values.values()) / len(values)
                scalars[tags.mean_metric(stage, name)] = mean
        record = {"stage": stage, "metrics": known}
        self._write(step, "metrics", record, scalars, stage == "test")

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs: plain containers and tensors."""
        return {
            "version": VERSION,
            "step": self.step,
            "lines": 0 if self.history is None else self.history.lines,
            "losses": {p: list(x) for p, x in self._losses.items()},
            "loss_due": self._loss_due,
            "explored": self.explored.state_dict(),
            "groups": {g: list(names) for g, names in self._groups.items()},
            **self._board_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from `state_dict`; later lines go at the next record.

        Arguments
        ---------
        state : Mapping
            The state.

        Raises
        ------
        UserError
            If it is of another version.
        """
        if state.get("version") != VERSION:
            raise UserError(
                f"The monitor's state must be of version {VERSION}, got "
                f"{state.get('version')!r}."
            )
        self.step = state["step"]
        self._losses = {p: list(x) for p, x in state["losses"].items()}
        self._loss_due = state["loss_due"]
        self.explored.load_state_dict(state["explored"])
        self._groups = {g: list(x) for g, x in state["groups"].items()}
        if self.history is not None:
            self.history.resume(state["step"], state["lines"])
        if self.owns_logger and self.logger is not None and state.get("board"):
            self.logger.load_state_dict(state["board"])

    def _board_state(self) -> dict[str, Any]:
        """The logger's state, where it is not saved by the recipe."""
        if not self.owns_logger or self.logger is None:
            return {}
        return {"board": self.logger.state_dict()}

    def _write(
        self,
        step: int,
        kind: str,
        record: Mapping[str, Any],
        scalars: Mapping[str, float],
        test: bool = False,
    ) -> None:
        """Sends one record to the file and its numbers to TensorBoard."""
        if not test:
            self.step = max(self.step, step)
        if self.history is not None:
            line = {"step": step, "kind": kind, **record}
            self.history.append(line, keep_all=test)
        if self.logger is not None:
            self.logger.layout(tags.layout(self._groups))
            self.logger.add_scalars(scalars, step)
            self.logger.flush()

    def _draw_overlap(self, step: int, record: Mapping[str, Any]) -> None:
        """Adds the overlap of two or more pathways as a picture."""
        several = len(record["pathways"]) > 1
        if self.pictures and several and self.logger is not None:
            # matplotlib takes a second to load: only where it draws.
            from leanbrain.pruning.monitor.charts import overlap_figure

            figure = overlap_figure(
                record["overlap"], record["pathways"], f"step {step:,}"
            )
            self.logger.add_figure(tags.OVERLAP_PICTURE, figure, step)
            self.logger.flush()


def _update_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Names the numbers of an update by their TensorBoard tags."""
    scalars = {
        tags.SPARSITY_PLANNED: record["sparsity_planned"],
        tags.SPARSITY_REAL: record["sparsity_real"],
        tags.DENSITY_UNION: record["density_union"],
    }
    tag_of = {
        "density": tags.density,
        "churn": tags.churn,
        "explored": tags.explored,
    }
    for kind, tag in tag_of.items():
        scalars |= {tag(p): x for p, x in record[kind].items()}
    for group, densities in record["density_group"].items():
        for pathway, value in densities.items():
            scalars[tags.group_density(group, pathway)] = value
    names = record["pathways"]
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            scalars[tags.overlap(first, names[j])] = record["overlap"][i][j]
    return scalars


def _number(name: str, value: Any) -> float:
    """Returns a metric as float; all else is an error of the recipe."""
    number = as_number(value)
    if number is None:
        raise UserError(f"`metrics` must hold numbers, got {name}: {value!r}.")
    return number


def _is_main() -> bool:
    """Whether this process is the one that writes."""
    # As SpeechBrain's if_main_process, whose import would take 4 s.
    if not (dist.is_available() and dist.is_initialized()):
        return True
    return dist.get_rank() == 0

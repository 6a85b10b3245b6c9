"""The trials for TensorBoard's tab HPARAMS: one run each.

The protocol buffers are built here: TensorBoard's own helpers for that tab
need TensorFlow, and torch's writer starts a thread for every run.
"""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import (
    event_pb2,
    summary_pb2,
)
from tensorboard.plugins.hparams import (
    api_pb2,
    metadata,
    plugin_data_pb2,
)
from tensorboard.summary.writer import (
    record_writer,
)

from leanbrain.checks import UserError
from leanbrain.optbench.report.outcomes import Outcome

__all__ = ["write_board"]

Settings = Mapping[str, Any]
Events = Iterable[tuple[int, summary_pb2.Summary]]

_FILE = "events.out.tfevents.0.leanbrain"
_METRICS = ("reached", "seconds_to_target", "steps_to_target", "best")
_TYPES = {
    bool: (api_pb2.DATA_TYPE_BOOL, "bool_value"),
    float: (api_pb2.DATA_TYPE_FLOAT64, "number_value"),
    str: (api_pb2.DATA_TYPE_STRING, "string_value"),
}


def write_board(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes one event file per trial, and what they have in common.

    Arguments
    ---------
    folder : path
        Where the runs go; runs that a former report wrote there are replaced.
    outcomes : Sequence[Outcome]
        The trials; those that are missing are left out.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    for path in folder.glob(f"*/{_FILE}"):
        shutil.rmtree(path.parent)
    present = [x for x in outcomes if x.row]
    settings = _of_one_type([_settings(x) for x in present])
    _write(folder, [(0, _experiment(settings))])
    for outcome, values in zip(present, settings, strict=True):
        _write(folder / _name(outcome), _events(outcome, values))


def _settings(outcome: Outcome) -> dict[str, Any]:
    """The hyper-parameters, and what else tells trials apart."""
    place = outcome.place
    values: dict[str, Any] = {
        "optimizer": place.optimizer,
        "workload": place.workload,
        "variant": place.variant or "none",
        "study": place.study,
        "trial": place.trial,
        "seed": outcome.config.get("seed"),
        "status": outcome.status,
    }
    hyperparameters = outcome.config.get("hyperparameters") or {}
    for name, value in hyperparameters.items():
        # A setting of the optimizer never hides one of the above.
        values[f"hp/{name}" if name in values else name] = value
    return {k: _plain(x) for k, x in values.items()}


def _plain(value: Any) -> bool | float | str:
    """What a hyper-parameter may be: true or false, a number, a text."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return json.dumps(value)


def _of_one_type(settings: Sequence[Settings]) -> list[dict[str, Any]]:
    """Makes text of what is a number here and a text there."""
    kinds: dict[str, set[type]] = {}
    for values in settings:
        for name, value in values.items():
            kinds.setdefault(name, set()).add(type(value))
    return [
        {k: x if len(kinds[k]) == 1 else str(x) for k, x in values.items()}
        for values in settings
    ]


def _events(outcome: Outcome, settings: Settings) -> Events:
    """Yields (step, summary): settings, metrics, the curve."""
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in settings.items():
        setattr(start.hparams[name], _TYPES[type(value)][1], value)
    yield 0, _hidden(metadata.SESSION_START_INFO_TAG, session_start_info=start)
    reached = outcome.status == "reached"
    metrics = {
        "reached": float(reached),
        # A time that was never reached is no number: the cell stays empty.
        "seconds_to_target": outcome.seconds if reached else None,
        "steps_to_target": outcome.steps if reached else None,
        "best": outcome.result.get("best"),
    }
    for name in _METRICS:
        yield from _scalar(name, metrics[name], 0)
    metric = str(outcome.config.get("metric"))
    for point in outcome.result.get("curve") or []:
        value = (point.get("valid") or {}).get(metric)
        yield from _scalar(f"valid/{metric}", value, point["step"])
        yield from _scalar("train/loss", point.get("train_loss"), point["step"])
    done = outcome.row.get("status") == "done"
    status = api_pb2.STATUS_SUCCESS if done else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status)
    yield 0, _hidden(metadata.SESSION_END_INFO_TAG, session_end_info=end)


def _scalar(tag: str, value: float | None, step: int) -> Events:
    """Yields one number as TensorBoard wants it; nothing if there is none."""
    if value is not None and math.isfinite(value):
        one = summary_pb2.Summary.Value(tag=tag, simple_value=float(value))
        yield step, summary_pb2.Summary(value=[one])


def _experiment(settings: Sequence[Settings]) -> summary_pb2.Summary:
    """Says which columns there are."""
    names = {k: type(x) for values in settings for k, x in values.items()}
    infos = []
    for name, kind in names.items():
        info = api_pb2.HParamInfo(name=name, type=_TYPES[kind][0])
        if kind is str:
            found = sorted({x[name] for x in settings if name in x})
            info.domain_discrete.extend(found)
        infos.append(info)
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=x)) for x in _METRICS
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return _hidden(metadata.EXPERIMENT_TAG, experiment=experiment)


def _hidden(tag: str, **content: Any) -> summary_pb2.Summary:
    """Wraps what only the plugin of the tab reads."""
    data = plugin_data_pb2.HParamsPluginData(**content)
    value = summary_pb2.Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


def _name(outcome: Outcome) -> str:
    """The folder of a run: readable, and safe whatever the names are."""
    place = outcome.place
    names = [place.workload, place.variant, place.optimizer]
    words = [re.sub(r"\W+", "_", x)[:40] for x in names if x is not None]
    digest = re.sub(r"\W+", "_", str(outcome.row.get("digest")))[:16]
    return "-".join([*words, f"{place.study}.{place.trial}", digest])


def _write(folder: Path, events: Events) -> None:
    """Writes an event file."""
    buffer = io.BytesIO()
    records = record_writer.RecordWriter(buffer)
    # A fixed time: the same ledger gives the same files.
    head = event_pb2.Event(file_version="brain.Event:2", wall_time=1.0)
    records.write(head.SerializeToString())
    for step, content in events:
        event = event_pb2.Event(step=step, summary=content, wall_time=1.0)
        records.write(event.SerializeToString())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not flushed to the disk one by one, which would take longer than all
        # the rest: a report that was interrupted is written again.
        (folder / _FILE).write_bytes(buffer.getvalue())
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be written ({error.strerror})."
        ) from error

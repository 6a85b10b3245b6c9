"""Which rows of a ledger belong into one comparison, and under which names.

A ledger may be older than the rules, the targets or an optimizer's file. What
was run under other conditions is left out, and said to be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Row", "Selection", "select"]

Row = Mapping[str, Any]

KINDS = ("score", "variant", "calibration", "target_seed")
_KEYS = ("rules", "workload", "workload_digest", "data")
_TRIAL_KEYS = ("optimizer", "study", "trial", "seed", "metric")


@dataclass(frozen=True)
class Selection:
    """The rows that are compared.

    Arguments
    ---------
    rows : dict
        Kind of trial -> its rows, in an order that does not depend on the
        order in the ledger.
    names : dict
        (path of a workload, data) -> its name in the report.
    problems : list
        What was left out and why, one sentence each.
    """

    rows: dict[str, list[Row]]
    names: dict[tuple[str, str], str]
    problems: list[str]

    def name(self, row: Row) -> str:
        """The name of a row's workload."""
        return self.names[_workload(row)]


def select(rows: Iterable[Row], label: str | None) -> Selection:
    """Picks the rows of one comparison.

    Arguments
    ---------
    rows : Iterable
        Rows of a ledger.
    label : str | None
        Name and version of the rules, as trials name them; None takes all.

    Returns
    -------
    Selection
        Rows of these rules; of every workload, target and optimizer file the
        version that ran last.
    """
    problems: list[str] = []
    ordered = sorted(rows, key=lambda x: str(x.get("digest")))
    known = [x for x in ordered if _kind(x) in KINDS]
    whole = [x for x in known if _is_whole(x)]
    if len(whole) < len(known):
        problems.append(
            f"{len(known) - len(whole)} rows of the ledger lack entries that "
            "every trial has; they were left out."
        )
    kept = whole
    if label is not None:
        kept = [x for x in whole if x["config"]["rules"] == label]
    if others := Counter(str(x["config"]["rules"]) for x in whole):
        for name, count in sorted(others.items()):
            if label is not None and name != label:
                problems.append(
                    f"{count} trials of other rules ({name}) were left out."
                )
    for what, group, setting in _CONDITIONS:
        kept = _newest(kept, what, group, setting, problems)
    by_kind: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for row in kept:
        by_kind[_kind(row)].append(row)
    return Selection(by_kind, _names(kept), problems)


def _kind(row: Row) -> str:
    """The kind of a trial; "" for rows that are none of this benchmark."""
    config = row.get("config")
    return str(config.get("kind")) if isinstance(config, Mapping) else ""


def _is_whole(row: Row) -> bool:
    """Whether a row has all that collecting needs."""
    config = row["config"]
    wanted = [*_KEYS]
    wanted += [] if _kind(row) == "calibration" else _TRIAL_KEYS
    if any(config.get(key) is None for key in wanted):
        return False
    return isinstance(row.get("status"), str) and isinstance(
        row.get("result") or {}, Mapping
    )


def _workload(row: Row) -> tuple[str, str]:
    """What makes a workload: its file and its data."""
    return str(row["config"]["workload"]), str(row["config"]["data"])


def _version(row: Row) -> Hashable:
    """What a workload is made of."""
    config = row["config"]
    overrides = json.dumps(config.get("overrides") or {}, sort_keys=True)
    sources = str(config["workload_digest"]), str(config.get("code"))
    return (*sources, overrides)


def _conditions(row: Row) -> Hashable:
    """What a trial runs on, by configuration."""
    config = row["config"]
    return tuple(str(config.get(x)) for x in ("threads", "processes", "device"))


def _is_compared(row: Row) -> bool:
    """Whether a row is one of those that are compared."""
    return _kind(row) in ("score", "variant")


def _goal_group(row: Row) -> Hashable:
    """Trials that must share a target."""
    if not _is_compared(row):
        return None
    return (*_workload(row), row["config"].get("variant"))


def _goal(row: Row) -> Hashable:
    """What a trial is measured by."""
    config = row["config"]
    return str(config["metric"]), config.get("target")


def _file_group(row: Row) -> Hashable:
    """Trials that must share the file of an optimizer."""
    return row["config"]["optimizer"] if _is_compared(row) else None


def _file(row: Row) -> Hashable:
    """The text of an optimizer's file."""
    return row["config"].get("optimizer_yaml")


_CONDITIONS: tuple[
    tuple[str, Callable[[Row], Hashable], Callable[[Row], Hashable]], ...
] = (
    ("version of workload", _workload, _version),
    ("number of threads or kind of device of", _workload, _conditions),
    ("target of", _goal_group, _goal),
    ("file of optimizer", _file_group, _file),
)


def _newest(
    rows: Sequence[Row],
    what: str,
    group: Callable[[Row], Hashable],
    setting: Callable[[Row], Hashable],
    problems: list[str],
) -> list[Row]:
    """Keeps, in each group, the rows whose setting ran last."""
    last: dict[Hashable, tuple[str, str, Hashable]] = {}
    for row in rows:
        key = group(row)
        if key is None:
            continue
        value = setting(row)
        merit = (str(row.get("started") or ""), repr(value), value)
        if key not in last or merit[:2] > last[key][:2]:
            last[key] = merit
    kept, left = [], Counter[Hashable]()
    for row in rows:
        key = group(row)
        if key is None or setting(row) == last[key][2]:
            kept.append(row)
        else:
            left[key] += 1
    for key, count in sorted(left.items(), key=repr):
        parts = key if isinstance(key, tuple) else (key,)
        name = ", ".join(str(x) for x in parts if x is not None)
        problems.append(
            f"{count} trials of an older {what} {name} were left out."
        )
    return kept


def _names(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Names workloads by file; by file and data where one does not do."""
    found = sorted({_workload(row) for row in rows})
    stems = {x: x[0].rpartition("/")[2].removesuffix(".yaml") for x in found}
    count = Counter(stems.values())
    return {
        x: stem if count[stem] == 1 else f"{stem} ({x[0]}, data {x[1]})"
        for x, stem in stems.items()
    }

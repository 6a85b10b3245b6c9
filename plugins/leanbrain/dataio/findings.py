"""What a preparation found in the data: one table, with IDs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.files import write_text
from leanbrain.text import csv_text, markdown_table

__all__ = ["FILE", "Effect", "Finding", "report"]

logger = logging.getLogger(__name__)

FILE = "findings.csv"
HEADER = ("split", "ID", "effect", "rule", "got")
SHOWN = 5  # of each rule, split and effect


class Effect(Enum):
    """What becomes of an utterance of which something was found."""

    REFUSED = "refused"
    KEPT = "kept"
    MENDED = "mended"


@dataclass(frozen=True)
class Finding:
    """Something about an utterance.

    Arguments
    ---------
    split : str
        Which manifest it is in.
    name : str
        Its ID.
    effect : Effect
        What becomes of it.
    rule : str
        What is expected of it, "must ...".
    got : str
        What was found.

    Example
    -------
    >>> Finding("test", "a", Effect.KEPT, "must be loud", "silence").cells()
    ['test', 'a', 'kept', 'must be loud', 'silence']
    """

    split: str
    name: str
    effect: Effect
    rule: str
    got: str

    def cells(self) -> list[str]:
        """A row of the table."""
        return [self.split, self.name, self.effect.value, self.rule, self.got]


def report(findings: Iterable[Finding], folder: Path, total: int) -> None:
    """Writes all findings to findings.csv and says what they are.

    Arguments
    ---------
    findings : Iterable[Finding]
        All of them.
    folder : Path
        Where findings.csv goes; it is removed if there are none.
    total : int
        How many utterances there are.

    Raises
    ------
    UserError
        If one of them is refused: names the first, how many utterances there
        are, and the table.
    """
    order = list(Effect)
    found = sorted(findings, key=lambda x: (order.index(x.effect), x.rule))
    path = folder / FILE
    if not found:
        path.unlink(missing_ok=True)
        return
    write_text(path, csv_text(HEADER, [x.cells() for x in found]))
    logger.warning("%s\nAll %d: %s", _table(found), len(found), path)
    refused = [x for x in found if x.effect is Effect.REFUSED]
    if refused:
        first, count = refused[0], len({(x.split, x.name) for x in refused})
        raise UserError(
            f"{count} of {total} utterances are of no use, the first is "
            f"{first.name!r} of {first.split}: it {first.rule}, got "
            f"{first.got}; all are in {path}."
        )


def _table(found: Sequence[Finding]) -> str:
    """The first findings of each kind, and how many more there are."""
    counts: Counter[tuple[str, ...]] = Counter()
    rows = []
    for finding in found:
        kind = (finding.split, finding.effect.value, finding.rule)
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            rows.append(finding.cells())
    rows += [
        [split, f"({count - SHOWN} more)", effect, rule, ""]
        for (split, effect, rule), count in counts.items()
        if count > SHOWN
    ]
    return markdown_table([list(HEADER), *rows])

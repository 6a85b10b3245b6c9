"""The table of a model's parameters and of a dry run, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from leanbrain.pruning.inspection.dry_run import DryRun, MaskUpdate
from leanbrain.pruning.inspection.rows import Row

__all__ = ["WIDTH", "dry_run_text", "rows_text"]

WIDTH = 100  # columns of a line at most
_FIRST, _LATER = 3, 6  # updates of a dry run that are shown
_MIB = 2**20


def rows_text(
    rows: Sequence[Row],
    keep: Mapping[str, int] | None = None,
    every: bool = False,
) -> str:
    """Writes the table: targets by group, then what is left out.

    Arguments
    ---------
    rows : sequence of Row
        All parameters of a model.
    keep : mapping, optional
        Target -> weights that are kept.
    every : bool
        Whether each parameter that is left out gets a line of its own.

    Returns
    -------
    str
        Lines of at most `WIDTH` columns.

    Example
    -------
    >>> rows = [Row("enc.w", (2, 500), "enc", 1000, 0.8, ("dec.w",), None)]
    >>> print(rows_text([*rows, Row("b", (250,), "b", 250, 0.2, (), "a bias")]))
    name            shape  weights   share
    enc                      1,000   80.0%
      w             2x500    1,000   80.0%
        tied to dec.w
    1 target                 1,000   80.0%
    a bias: 1                  250   20.0%
    1 not masked               250   20.0%
    2 parameters             1,250  100.0%
    """
    targets = [row for row in rows if row.left_out is None]
    others = [row for row in rows if row.left_out is not None]
    cells = [["name", "shape", "weights", "share", "kept"]]
    # Groups in the order of the model; their targets need not be neighbours.
    order = list(dict.fromkeys(row.group for row in targets))
    for group in order:
        part = [row for row in targets if row.group == group]
        cells.append(_sum(group, part, keep))
        for row in part:
            cells.append(_line(f"  {_within(row)}", row, keep))
            cells += [[f"    tied to {name}"] for name in row.tied]
    cells.append(_sum(_count(targets, "target"), targets, keep))
    cells += _left_out(others, every)
    cells.append(_sum(f"{len(others)} not masked", others))
    cells.append(_sum(_count(rows, "parameter"), rows))
    return _aligned(cells if keep else [row[:4] for row in cells])


def dry_run_text(run: DryRun) -> str:
    """Writes when masks change and what they cost.

    Arguments
    ---------
    run : DryRun
        From `dry_run`.

    Returns
    -------
    str
        Lines of at most `WIDTH` columns.
    """
    updates = run.updates
    lines = [
        f"{run.total_steps:,} steps; masks from step {run.begin_step:,} on, "
        f"{_times(len(updates))}; frozen from step {updates[-1].step:,} on",
        f"pathways: {', '.join(run.pathways)}",
    ]
    shown = _some(updates)
    if len(shown) < len(updates):
        lines += [f"{len(shown)} of the {len(updates):,} updates:"]
    cells = [["after step", "sparsity", "pathways"]]
    for update in shown:
        everyone = update.pathways == run.pathways
        names = "all of them" if everyone else ", ".join(update.pathways)
        cells.append([f"{update.step:,}", f"{update.sparsity:.2%}", names])
    lines += [_aligned(cells, left=False)]
    last = updates[-1].sparsity
    lines += [
        f"each pathway keeps {run.kept:,} of {run.weights:,} weights "
        f"({last:.2%} removed)",
        {
            "allocation": "what each target keeps does not depend on training",
            "score": "what each target keeps: by score, known after training",
            "given masks": "what each target keeps: as in the given masks",
        }[run.keep_by],
        *_memory(run),
    ]
    return "\n".join(_cut(x, WIDTH) for line in lines for x in line.split("\n"))


def _memory(run: DryRun) -> Iterator[str]:
    """Yields what a run holds besides the model, and when."""
    parts = {
        "masks": run.mask_bytes,
        "dense copy": run.dense_bytes,
        "scores": run.score_bytes,
        "other": run.other_bytes,
    }
    told = ", ".join(
        f"{name} {size / _MIB:,.1f}"
        for name, size in parts.items()
        if size is not None
    )
    everything = run.bytes
    if everything is None:
        yield f"memory in MiB: {told}; scores do not tell theirs"
    else:
        yield f"memory: {everything / _MIB:,.1f} MiB while masks are found"
        yield f"  in MiB: {told}"


def _some(updates: Sequence[MaskUpdate]) -> list[MaskUpdate]:
    """The first ones, which show whose turn it is, then some up to the last."""
    rest = len(updates) - _FIRST
    if rest <= _LATER:
        return list(updates)
    later = (_FIRST - 1 + rest * i // _LATER for i in range(1, _LATER + 1))
    return [*updates[:_FIRST], *(updates[i] for i in later)]


def _left_out(rows: Sequence[Row], every: bool) -> Iterator[list[str]]:
    """Yields what is left out by reason, each parameter if asked to."""
    reasons = dict.fromkeys(row.left_out or "" for row in rows)
    for reason in reasons:
        part = [row for row in rows if row.left_out == reason]
        yield _sum(f"{reason}: {len(part)}", part)
        if every:
            yield from (_line(f"  {row.name}", row) for row in part)


def _line(
    name: str, row: Row, keep: Mapping[str, int] | None = None
) -> list[str]:
    """The cells of a parameter."""
    shape = "x".join(map(str, row.shape)) or "scalar"
    kept = f"{keep[row.name]:,}" if keep else ""
    return [name, shape, f"{row.weights:,}", f"{row.share:.1%}", kept]


def _sum(
    name: str, rows: Sequence[Row], keep: Mapping[str, int] | None = None
) -> list[str]:
    """The cells of several parameters together."""
    weights = sum(row.weights for row in rows)
    share = sum(row.share for row in rows)
    kept = f"{sum(keep[row.name] for row in rows):,}" if keep else ""
    return [name, "", f"{weights:,}", f"{share:.1%}", kept]


def _within(row: Row) -> str:
    """A name without the group that it stands under."""
    return row.name.removeprefix(f"{row.group}.")


def _count(rows: Sequence[Row], what: str) -> str:
    return f"{len(rows)} {what}{'' if len(rows) == 1 else 's'}"


def _times(count: int) -> str:
    return "set once" if count == 1 else f"set {count:,} times"


def _aligned(cells: Sequence[Sequence[str]], left: bool = True) -> str:
    """Sets columns: the first to the left if asked to, the others right."""
    full = [row for row in cells if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = []
    # Long names give way, numbers never.
    room = WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], room)
    for row in cells:
        if len(row) == 1:
            lines.append(_cut(row[0], WIDTH))
            continue
        first = _cut(row[0], widths[0])
        first = first.ljust(widths[0]) if left else first.rjust(widths[0])
        rest = [x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    """Shortens a text in its middle, where names of layers differ least."""
    if len(text) <= width:
        return text
    tail = (width - 3) * 2 // 3
    return f"{text[: width - 3 - tail]}...{text[len(text) - tail :]}"

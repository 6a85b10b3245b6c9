"""The README's table of a comparison by sparse.py, from its kept CSV."""

import math
import statistics

from scipy.special import stdtrit

from leanbrain.provenance import short_commit

# Columns of the CSV that are no test error.
FACTS = {
    "method",
    "sparsity",
    "equal",
    "seed",
    "dense_steps",
    "steps",
    "planned_flops",
    "flops",
    "target_weights",
    "real_sparsity",
    "density",
    "seconds",
    "valid",
    "cpu",
    "cores",
    "torch",
    "speechbrain",
    "commit",
}
TITLES = {"flops": "Equal FLOPs of training", "steps": "Equal steps"}
DENSE = "0.0"
CONFIDENCE = 0.95


def sparse_table(rows):
    """A table for what is held equal, and differences to magnitude pruning.

    Arguments
    ---------
    rows : list of dict
        Of the CSV that sparse.py writes.

    Returns
    -------
    str
        Markdown.
    """
    lines = []
    for equal in dict.fromkeys(row["equal"] for row in rows):
        mine = [row for row in rows if row["equal"] == equal]
        lines += [*_table(TITLES[equal], mine), "", *_differences(mine), ""]
    commits = sorted({short_commit(row["commit"]) for row in rows})
    first = rows[0]
    lines.append(
        "Mean and standard deviation over seeds; in brackets the "
        f"{CONFIDENCE:.0%} interval of a paired t over seeds, on this test "
        "set; one GFLOP is 10^9 floating-"
        "point operations of the classifier, forward and backward; "
        f"{first['cpu']}, torch {first['torch']}, SpeechBrain "
        f"{first['speechbrain']}, commit {', '.join(commits)}."
    )
    return "\n".join(lines)


def spread(values):
    """Mean and standard deviation, where there are several."""
    values = [float(v) for v in values]
    mean = f"{statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.1f}"


def _table(title, rows):
    """The lines of one table."""
    tests = _tests(rows)
    heads = [title, "sparsity", "seeds", "steps", "GFLOPs planned", "counted"]
    heads += [f"{_condition(test)} %" for test in tests]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for cell in _cells(rows).values():
        first = cell[0]
        dense = int(first["dense_steps"])
        cells = [
            first["method"],
            f"{100 * float(first['sparsity']):g} %",
            str(len(cell)),
            f"{dense} + {first['steps']}" if dense else first["steps"],
            f"{float(first['planned_flops']) / 1e9:.1f}",
            f"{_mean(cell, 'flops') / 1e9:.1f}",
        ]
        cells += [spread(r[test] for r in cell) for test in tests]
        yield "| " + " | ".join(cells) + " |"


def _differences(rows):
    """Each method from scratch minus each that was pruned from dense."""
    cells = _cells(rows)
    for (name, sparsity), cell in cells.items():
        if int(cell[0]["dense_steps"]) or sparsity == DENSE:
            continue
        for (other_name, at), other in cells.items():
            if at == sparsity and int(other[0]["dense_steps"]):
                yield (
                    f"- {name} minus {other_name} at "
                    f"{100 * float(sparsity):g} %, clean error: "
                    f"{_by_seed(cell, other)}."
                )


def _by_seed(cell, other):
    """Mean difference, its interval, and those of the seeds both have."""
    errors = {row["seed"]: float(row["clean"]) for row in other}
    values = [
        float(row["clean"]) - errors[row["seed"]]
        for row in cell
        if row["seed"] in errors
    ]
    if not values:
        return "no seed in common"
    each = ", ".join(f"{x:+.1f}" for x in values)
    if len(values) == 1:
        return f"{each}, of one seed"
    low, high = paired_interval(values)
    mean = statistics.mean(values)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}], by seed {each}"


def paired_interval(differences):
    """Interval of the mean of some differences, by Student's t.

    Arguments
    ---------
    differences : list of float
        One per seed, two or more.

    Returns
    -------
    tuple
        Its lower and its upper end.
    """
    count, middle = len(differences), statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * error
    return middle - half, middle + half


def _cells(rows):
    """(Method, sparsity) -> its rows, seed by seed."""
    cells = {}
    for row in rows:
        cells.setdefault((row["method"], row["sparsity"]), []).append(row)
    return cells


def _tests(rows):
    """Columns of test errors."""
    return [key for key in rows[0] if key not in FACTS]


def _condition(test):
    """How a test is called in a table."""
    colour, _, level = test.rpartition("_")
    return f"{colour}, {level} dB" if colour else test


def _mean(rows, key):
    """Mean of a column."""
    return statistics.mean(float(row[key]) for row in rows)

"""Rows of the CSV that sparse.py writes, from the results of its runs."""

from leanbrain.tables import read_csv


def flat_row(row, results):
    """A row of the CSV.

    Arguments
    ---------
    row : Row
        As planned.
    results : dict
        Digest of a trial -> what its result.json says.

    Returns
    -------
    dict | None
        None if a run of it has not ended well.
    """
    runs = [*row.run.needs, row.run]
    if any(run.trial.digest not in results for run in runs):
        return None
    *_, last = found = [results[run.trial.digest] for run in runs]
    density = [f"{x:.3f}" for x in last["density"].values()]
    return {
        "method": row.method,
        "sparsity": row.cell.sparsity,
        "equal": row.equal,
        "seed": row.cell.seed,
        "dense_steps": sum(x["steps"] for x in found[:-1]),
        "steps": last["steps"],
        "planned_flops": f"{row.planned_flops:.4e}",
        "flops": f"{sum(x['flops'] for x in found):.4e}",
        "target_weights": last["target_weights"],
        "real_sparsity": f"{last['sparsity']:.4f}",
        "density": " ".join(density),
        "seconds": f"{sum(sum(x['seconds'].values()) for x in found):.0f}",
        "valid": f"{last['best']['error_percent']:.2f}",
        **{k: f"{v:.2f}" for k, v in last["error_percent"].items()},
        "cpu": last["host"]["cpu"],
        "cores": last["host"]["cores"],
        "torch": last["versions"]["torch"],
        "speechbrain": last["versions"]["speechbrain"],
        "commit": last["commit"],
    }


def read_rows(path):
    """The rows of a CSV as dicts of text; none if there is no file yet."""
    if not path.is_file():
        return []
    return read_csv(path)

"""Names of the TensorBoard curves and the layout that shows them.

All tags are built here, so that the charts that a new user sees first cannot
drift away from what `PruningMonitor` writes.
"""

import re
from collections.abc import Iterable

__all__ = [
    "DENSITY_UNION",
    "OVERLAP_PICTURE",
    "SPARSITY_PLANNED",
    "SPARSITY_REAL",
    "churn",
    "density",
    "explored",
    "group_density",
    "guard",
    "layout",
    "loss",
    "mean_metric",
    "metric",
    "overlap",
]

SPARSITY_PLANNED = "pruning/sparsity/planned"
SPARSITY_REAL = "pruning/sparsity/real"
DENSITY_UNION = "pruning/density_union"
OVERLAP_PICTURE = "pruning/overlap"


def density(pathway: str) -> str:
    """Names the share of weights that a pathway keeps."""
    return f"pruning/density/{pathway}"


def group_density(group: str, pathway: str) -> str:
    """Names the share of a layer group's weights that a pathway keeps."""
    return f"pruning/density_group/{group}/{pathway}"


def guard(what: str) -> str:
    """Names the steps at which the guard over the loss said something."""
    return f"pruning/guard/{what}"


def churn(pathway: str) -> str:
    """Names the share of mask bits that an update of a pathway changed."""
    return f"pruning/churn/{pathway}"


def explored(pathway: str) -> str:
    """Names the share of weights that a pathway has ever used."""
    return f"pruning/explored/{pathway}"


def overlap(first: str, second: str) -> str:
    """Names the intersection over union of two pathways."""
    return f"pruning/overlap/{first}-{second}"


def loss(pathway: str) -> str:
    """Names the training loss of a pathway."""
    return f"loss/{pathway}"


def metric(stage: str, name: str, language: str) -> str:
    """Names a result of one language, such as "valid/cer/en"."""
    return f"{stage}/{name}/{language}"


def mean_metric(stage: str, name: str) -> str:
    """Names the mean of a result over languages, such as "valid/mean_cer"."""
    return f"{stage}/mean_{name}"


def layout(groups: Iterable[str] = ()) -> dict[str, dict[str, list[str]]]:
    """Orders the charts for TensorBoard's tab "Custom Scalars".

    Arguments
    ---------
    groups : Iterable[str]
        Layer groups; each gets a chart of its densities.

    Returns
    -------
    dict
        Category -> title of the chart -> regular expressions of its tags,
        as `TensorBoardLogger.layout` takes it.

    Example
    -------
    >>> list(layout(["model.CNN"])["Layers"])
    ['Density of model.CNN']
    """
    charts = {
        "Overview": {
            "CER per language, validation (%)": [metric("valid", "cer", ".+")],
            "Mean CER over languages, validation (%)": [
                mean_metric("valid", "cer") + "$"
            ],
            "Loss, training and validation": ["train/loss$", "valid/loss$"],
            "Training loss per pathway": [loss(".+")],
            "Sparsity, planned and real": [
                SPARSITY_PLANNED + "$",
                SPARSITY_REAL + "$",
            ],
        },
        "Pathways": {
            "Density per pathway (share kept)": [
                density(".+"),
                DENSITY_UNION + "$",
            ],
            "Churn (share of mask bits changed)": [churn(".+")],
            "Explored (share of weights ever used)": [explored(".+")],
            "Overlap (intersection over union)": [overlap(".+", ".+")],
            "Steps at which the guard spoke": [guard(".+")],
        },
        "Layers": {
            f"Density of {group}": [group_density(re.escape(group), ".+")]
            for group in sorted(groups)
        },
    }
    return {category: x for category, x in charts.items() if x}

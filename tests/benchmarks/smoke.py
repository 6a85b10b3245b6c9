"""The flag --smoke of every benchmark: sizes so tiny that only running counts.

What it measures means nothing, and nothing of it is kept.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blas import start_unhindered

KEPT = Path(__file__).resolve().parent / "results"


def read_options(
    parser: argparse.ArgumentParser,
    words: Sequence[str] | None = None,
    **tiny: Any,
) -> argparse.Namespace:
    """Reads the command line; with --smoke, tiny sizes replace those given.

    A script that somebody started begins anew where variables choose kernels
    of matrix products: no benchmark runs with them. Figures that are kept stay
    as they are: with --smoke, --json is left out if it names one.
    """
    if words is None:
        start_unhindered()
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny sizes: whether it runs, not how fast; goals do not count",
    )
    options = parser.parse_args(words)
    if options.smoke:
        vars(options).update(tiny)
        if KEPT in Path(options.json or "").resolve().parents:
            options.json = None
    return options


@contextmanager
def results_folder(options: argparse.Namespace) -> Iterator[Path]:
    """The folder of --results_folder; without one, one that goes away."""
    if options.results_folder is not None:
        yield Path(options.results_folder).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)

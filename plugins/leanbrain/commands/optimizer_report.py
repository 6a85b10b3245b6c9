"""Writes the report of an optimizer benchmark, from its ledger alone.

  leanbrain optimizer-report results/OptimizerBenchmark/cpu-embedded

Writes report.html, report.md, report.csv, trials.csv and a folder for
TensorBoard. Nothing is run again.
"""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("root", help="folder of the benchmark")
    parser.add_argument(
        "--rules",
        help="rules by which to score: a YAML file, or the name of one of "
        "LeanBrain's, such as cpu (default: <root>/rules.yaml)",
    )
    parser.add_argument("--out", help="folder of the report (default: <root>)")


def main(options: argparse.Namespace) -> int:
    """Writes the report and prints where it is.

    Arguments
    ---------
    options : Namespace
        As `add_arguments` has them.

    Returns
    -------
    int
        0.
    """
    from leanbrain.optbench.report.writing import write_report

    print(write_report(options.root, options.rules, options.out))
    return 0

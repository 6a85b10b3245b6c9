"""What of a recipe's model can be pruned, and what a method would do to it.

Builds the modules of the recipe's YAML, nothing else: no data, no output
folder, no download, no random weights. Seconds, not minutes. What gets no
gradient, and how layers are used, only training shows: with the script before
the YAML, it is run up to its first optimizer step, with its data.

Prints every weight that can be masked, by group, and why the others are left
out. With --pruning also a dry run of the method: when masks change, at which
sparsity, how many weights each target keeps, and what memory it takes.

What is not an option of this command is one of the recipe's own script, as in
`leanbrain run`: a key of its YAML, or an option of its training, such as
--device, which makes no difference here.

examples:

  Which weights of this Conformer can be pruned?
    leanbrain inspect hparams/conformer_large.yaml --output_neurons=500

  What would adaptive pathways do in 50,000 steps, encoder only?
    leanbrain inspect hparams/conformer_large.yaml \\
        --pruning adaptive --pathways en fr \\
        --total_steps 50000 --include "Transformer.encoder.*"

  What will `leanbrain run` prune? By the first step of training:
    leanbrain inspect train.py hparams/conformer_large.yaml --pruning lap \\
        --data_folder /data/LibriSpeech --output_folder /tmp/look
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.commands.pruning_options import (
    add_options,
    given_without_method,
    request_of,
)
from leanbrain.commands.script import check_script, run_script
from leanbrain.commands.settings import read_overrides

if TYPE_CHECKING:
    from leanbrain.masking.targets import Target
    from leanbrain.pruning.inspection.dry_run import DryRun
    from leanbrain.pruning.inspection.rows import Row
    from leanbrain.pruning.pruner import AdaptivePruner
    from leanbrain.recipes.building import BuiltModules

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options to its parser."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[SCRIPT] YAML",
        help="a recipe's YAML, or its script and its YAML",
    )
    parser.add_argument(
        "--all", action="store_true", help="list what is left out one by one"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser)


def main(options: argparse.Namespace, rest: Sequence[str] = ()) -> int:
    """Prints the table, and the dry run if there is a method.

    Arguments
    ---------
    options : Namespace
        As `add_arguments` has them.
    rest : Sequence[str]
        What the recipe's script would be given.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        If a file, a key, a value or a pattern is wrong, or no module of the
        recipe can be built.
    """
    name = given_without_method(options)
    if name is not None:
        raise UserError(f"`--{name}` must come with `--pruning`, got none.")
    # Before the slow imports: what is wrong with the method is said at once.
    pruner = _pruner(options) if options.pruning else None
    # To argparse a word with a blank, as --betas=[0.9, 0.99], is a file.
    rest = [*(x for x in options.files if x.startswith("--")), *rest]
    files = [x for x in options.files if not x.startswith("--")]
    if len(files) not in (1, 2):
        raise UserError(f"The files must be a script and a YAML, got {files}.")
    *scripts, options.yaml = files
    if scripts:
        seen = _by_first_step(scripts[0], options, rest)
    else:
        seen = _by_yaml(pruner, options, rest)
    from leanbrain.masking.convert import cover
    from leanbrain.pruning.inspection.dry_run import dry_run
    from leanbrain.pruning.inspection.rows import rows_of

    rows = rows_of(seen.choice)
    targets = [target for target, why_not in seen.choice if why_not is None]
    lost = cover(seen.modules, targets).lost
    run = None
    if pruner is not None:
        method = seen.pruner or pruner
        run = dry_run(method, targets, seen.modules)
    if options.json:
        found = _as_json(options, rows, seen.failed, lost, run)
        print(json.dumps(found, indent=1))
    else:
        print(_as_text(options, rows, seen.failed, lost, run))
    return 0


@dataclass
class _Seen:
    """A model and what of it would be pruned."""

    modules: Any
    choice: list[tuple[Target, str | None]]
    failed: dict[str, str]
    pruner: AdaptivePruner | None = None  # of the run's own length


def _by_yaml(
    pruner: AdaptivePruner | None,
    options: argparse.Namespace,
    rest: Sequence[str],
) -> _Seen:
    """Builds the modules of a YAML."""
    overrides = read_overrides(rest)
    from leanbrain.masking.targets import explain_targets, select_targets
    from leanbrain.recipes.building import build_modules

    built = build_modules(options.yaml, overrides)
    _demand_some(options.yaml, built)
    chosen: tuple[Any, Any, Any] = (
        (options.include or ("*",), options.exclude, None)
        if pruner is None
        else (pruner.include, pruner.exclude, pruner.groups)
    )
    with _reasons_first(built):
        select_targets(built.modules, *chosen, built.is_unsaved)
        choice = explain_targets(built.modules, *chosen, built.is_unsaved)
    return _Seen(built.modules, choice, built.failed)


def _by_first_step(
    script: str, options: argparse.Namespace, rest: Sequence[str]
) -> _Seen:
    """Trains until the first step has shown it."""
    files = check_script(script, options.yaml)
    words = [str(files[1]), *(word for word in rest if word != "--")]
    if options.pruning is None:
        options = argparse.Namespace(**{**vars(options), "pruning": "none"})
    from leanbrain import import_speechbrain

    import_speechbrain()
    from leanbrain.pruning.inspection.first_step import look

    request = request_of(options)
    with redirect_stdout(sys.stderr):  # what is printed here is the table
        pruner, brain = look(request, lambda: run_script(files[0], words))
    fresh = request.build(pruner.plan.total_steps)
    return _Seen(dict(brain.modules), pruner.choice, {}, fresh)


def _pruner(options: argparse.Namespace) -> AdaptivePruner:
    """Builds the method's pruner; patterns that are typed go before its own."""
    from leanbrain.pruning.host.request import ANY_LENGTH

    total = options.total_steps
    return request_of(options).build(ANY_LENGTH if total is None else total)


@contextmanager
def _reasons_first(built: BuiltModules) -> Iterator[None]:
    """What could not be built comes before what is therefore not found."""
    try:
        yield
    except UserError as error:
        if not built.failed:
            raise
        reasons = "; ".join(f"{n}: {why}" for n, why in built.failed.items())
        raise UserError(
            f"Not built: {reasons}. Of the rest: {error}"
        ) from error


def _demand_some(file: str, built: BuiltModules) -> None:
    """Refuses a recipe of which nothing could be built."""
    if not built.modules:
        reasons = "; ".join(f"{n}: {why}" for n, why in built.failed.items())
        raise UserError(
            f"At least one of the modules of {file} must be built, got none: "
            f"{reasons or 'there are no modules'}."
        )


def _as_text(
    options: argparse.Namespace,
    rows: Sequence[Row],
    failed: dict[str, str],
    lost: dict[str, str],
    run: DryRun | None,
) -> str:
    """What is printed for people."""
    from leanbrain.pruning.inspection.text import dry_run_text, rows_text

    keep = run.keep if run is not None else None
    parts = [rows_text(rows, keep, options.all)]
    count = sum(row.left_out is None for row in rows)
    parts += ["", f"in mask-aware layers: {count - len(lost)} of {count}"]
    parts += [f"  not {name}: {why}" for name, why in lost.items()]
    if failed:
        parts += ["", "not built, so not in the table:"]
        parts += [f"  {name}: {why}" for name, why in failed.items()]
    if run is not None:
        parts += ["", f"dry run of {options.pruning}", dry_run_text(run)]
    return "\n".join(parts)


def _as_json(
    options: argparse.Namespace,
    rows: Sequence[Row],
    failed: dict[str, str],
    lost: dict[str, str],
    run: DryRun | None,
) -> dict[str, Any]:
    """The same for programs."""
    targets = [row for row in rows if row.left_out is None]
    groups = {row.group: 0 for row in targets}
    for row in targets:
        groups[row.group] += row.weights
    return {
        "recipe": options.yaml,
        "parameters": len(rows),
        "weights": sum(row.weights for row in rows),
        "target_weights": sum(row.weights for row in targets),
        "groups": groups,
        "targets": [asdict(row) for row in targets],
        "left_out": [asdict(r) for r in rows if r.left_out is not None],
        "not_built": failed,
        "not_mask_aware": lost,
        "pruning": options.pruning,
        "dry_run": None if run is None else asdict(run),
    }

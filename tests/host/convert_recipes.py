"""The share of SpeechBrain's recipes whose models convert, nothing lost.

Builds the modules of every recipe YAML of a family, without data and
downloads, and looks which of their targets mask-aware layers can cover.
Prints each recipe and, at the end, the share of those that lose no target
among all that can be built without a download. Where a download is all that
is missing, a small random model of its kind takes its place: a second share.
The exit code is 1 if a share is below the goal.

Run: SPEECHBRAIN_REPO=<clone> python tests/host/convert_recipes.py
     [--family ASR] [--json tests/host/results/convert.json]
     [--markdown <page with `<!-- convert -->` and `<!-- end -->`>]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from convert_table import paste, table
from examine_recipe import (
    Task,
    downloads,
    examine,
    has_model,
    preload,
    tiny_for,
)
from forked import run_forked

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.experiments.estimates import duration
from leanbrain.files import write_json
from leanbrain.provenance import commit, host_facts, versions

GOAL = 0.95
LIMIT_S = 180  # of a recipe; on free cores the slowest takes 10 s
# What a machine may lack. Whatever else keeps a model from being built
# counts against us.
MISSING = re.compile(r"needs (a download|the package|the file|a value for)")

Recipe = dict[str, Any]


def find_recipes(repo: Path, family: str) -> list[Path]:
    """Lists the YAML files of a family, such as "ASR", that have a model."""
    pattern = f"recipes/**/{family}/**/hparams/**/*.yaml"
    files = [file for file in sorted(repo.glob(pattern)) if has_model(file)]
    if not files:
        raise UserError(
            "`SPEECHBRAIN_REPO` must be a clone of SpeechBrain with recipes "
            f"of the family {family!r}, got {str(repo)!r}."
        )
    return files


def try_recipe(file: Path, tiny: Path | None) -> Recipe:
    """What came of a recipe, and of its copy with small models."""
    with TemporaryDirectory() as name:
        found = attempt(Task(file, Path(name), {}))
        sources = downloads(found["not_built"])
        if tiny is not None and sources:
            values = tiny_for(file, sources, tiny)
            found["small"] = attempt(Task(file, Path(name), values))
    return found


def attempt(task: Task) -> Recipe:
    """Examines a recipe in a process of its own."""
    found, why_not = run_forked(examine, task, LIMIT_S)
    if why_not is not None:
        nothing = {"layers": 0, "targets": 0, "weights": 0, "lost": {}}
        found = {**nothing, "not_built": {"modules": why_not}}
    return {"status": status(found), **found}


def status(found: Recipe) -> str:
    """Says what came of a recipe, in a word."""
    reasons = found["not_built"].values()
    if any(MISSING.match(why) for why in reasons):
        return "missing"
    if reasons:
        return "failed"
    if found["lost"]:
        return "lost"
    return "covered" if found["targets"] else "nothing to mask"


def measure(files: list[Path], repo: Path) -> list[Recipe]:
    """Tries all recipes; prints each as it ends, and the time left."""
    print("importing what the recipes name ...", file=sys.stderr)
    preload(files)
    began, recipes = time.monotonic(), []
    with TemporaryDirectory() as name:
        tiny = small_models(repo, Path(name))
        for done, file in enumerate(files, 1):
            where = file.relative_to(repo / "recipes").as_posix()
            start = time.monotonic()
            recipe = {"recipe": where, **try_recipe(file, tiny)}
            recipe["seconds"] = round(time.monotonic() - start, 1)
            recipes.append(recipe)
            print(describe(recipe), flush=True)
            left = (time.monotonic() - began) / done * (len(files) - done)
            rest = f", {duration(left)} left" if left else ""
            print(f"[{done}/{len(files)}{rest}]", file=sys.stderr, flush=True)
    return recipes


def small_models(repo: Path, folder: Path) -> Path | None:
    """Makes models to stand in for downloads; None if that is not possible."""
    from try_families import prepare

    _, why_not = run_forked(lambda _: prepare(repo, folder), None, LIMIT_S)
    if why_not is not None:
        print(f"no small models: {why_not}", file=sys.stderr)
        return None
    return folder / "tiny"


def describe(recipe: Recipe) -> str:
    """A recipe in lines."""
    lines = [recipe["recipe"]]
    for title, found in (("", recipe), ("small models: ", recipe.get("small"))):
        if found is None:
            continue
        lines.append(
            f"  {title}{found['status']}: {found['layers']} layers, "
            f"{found['targets']} targets, {len(found['lost'])} lost"
        )
        lines += [f"    lost: {n}: {why}" for n, why in found["lost"].items()]
        lines += [
            f"    not built: {n}: {why}"
            for n, why in found["not_built"].items()
        ]
    return "\n".join(lines)


def share_of(found: list[Recipe]) -> dict[str, Any]:
    """The share of those that lose no target among those that count."""
    counted = [x for x in found if x["status"] in ("covered", "lost", "failed")]
    good = sum(x["status"] == "covered" for x in counted)
    share = good / len(counted) if counted else None
    return {"share": share, "covered": good, "counted": len(counted)}


def sentence(what: str, result: dict[str, Any]) -> str:
    """A share in words."""
    if result["share"] is None:
        return f"{what}: none"
    return (
        f"{what}: {result['share']:.1%} lose no target ({result['covered']} "
        f"of {result['counted']}; goal {GOAL:.0%})"
    )


def head(repo: Path) -> str:
    """The commit of the clone, "unknown" if git cannot tell."""
    command = ["git", "-C", str(repo), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--family", default="ASR", help="default: ASR")
    parser.add_argument("--json", metavar="FILE", help="keep all results")
    parser.add_argument("--markdown", metavar="PAGE", help="fill in its table")
    return parser.parse_args()


def main() -> int:
    """Prints recipes and shares; returns the exit code."""
    options = arguments()
    if "SPEECHBRAIN_REPO" not in os.environ:
        raise UserError("`SPEECHBRAIN_REPO` must name a clone, got none.")
    repo = Path(os.environ["SPEECHBRAIN_REPO"]).resolve()
    began = time.monotonic()
    recipes = measure(find_recipes(repo, options.family), repo)
    small = [x["small"] for x in recipes if "small" in x]
    result = {
        "benchmark": "convert",
        "family": options.family,
        "goal": GOAL,
        "without_download": share_of(recipes),
        "small_models": share_of(small),
        "recipes": recipes,
        "seconds": round(time.monotonic() - began),
        "speechbrain_commit": head(repo),
        "commit": commit(__file__),
        "versions": versions(),
        "host": host_facts(),
    }
    print(sentence("built without a download", result["without_download"]))
    print(sentence("small models for downloads", result["small_models"]))
    if options.json:
        write_json(options.json, result)
    if options.markdown:
        paste(Path(options.markdown), table(result))
    shares = [result["without_download"]["share"] or 0.0]
    shares += [result["small_models"]["share"]] * bool(small)
    return int(any(share is None or share < GOAL for share in shares))


if __name__ == "__main__":
    with user_errors():
        sys.exit(main())

"""The share of SpeechBrain's recipes into which an optimizer can be swapped.

Every YAML under `recipes` and `templates` that names a class of torch.optim
is parsed and swapped; the optimizer's part of the new YAML is resolved and
built on a small model, and its class is asserted.

Run: SPEECHBRAIN_REPO=<clone> python tests/benchmarks/bench_swap.py
     [--json tests/benchmarks/results/swap.json]
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.files import write_json
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.swap.swapping import swap_optimizer
from leanbrain.provenance import commit, versions

ROOT = Path(__file__).resolve().parents[2]
OPTIMIZERS = ("adamw", "muon_adamw", "lion")
NAMES = re.compile(r"!(?:name|new|apply):torch\.optim\.(?!lr_scheduler)\w")
GOAL = 0.95
SKIPPED = 77


def recipes(repo):
    """All YAML files that name an optimizer of torch."""
    if not (repo / "recipes").is_dir():
        raise UserError(
            "`SPEECHBRAIN_REPO` must be a clone of SpeechBrain, got "
            f"{str(repo)!r}."
        )
    files = [
        file
        for folder in ("recipes", "templates")
        for file in sorted((repo / folder).rglob("*.y*ml"))
    ]
    return [f for f in files if NAMES.search(f.read_text(encoding="utf-8"))]


def tree(node, path=""):
    """A YAML node as plain (path, tag, value), free of layout."""
    if isinstance(node, yaml.MappingNode):
        yield path, node.tag, None
        for key, value in node.value:
            yield from tree(value, f"{path}.{key.value}".lstrip("."))
    elif isinstance(node, yaml.SequenceNode):
        yield path, node.tag, None
        for index, value in enumerate(node.value):
            yield from tree(value, f"{path}.{index}".lstrip("."))
    else:
        yield path, node.tag, node.value


def others(text, replaced, rates):
    """All that must stay as it is: not the optimizers, not their rates."""
    gone = tuple(f"{path}." for path in replaced)
    return [
        (path, "", "a rate") if path in rates else (path, tag, value)
        for path, tag, value in tree(yaml.compose(text))
        if not f"{path}.".startswith(gone)
    ]


def rate_keys(text, replaced):
    """The keys that the `lr` of a replaced optimizer refers to."""
    paths = {f"{key}.lr" for key in replaced}
    return {
        value[1:-1]
        for path, tag, value in tree(yaml.compose(text))
        if tag == "!ref" and path in paths
    }


def try_swap(text, spec):
    """None if the swap works, else what went wrong, in one sentence.

    All optimizers that the text names must be replaced, all else must stay
    as it is, and swapping once more must change nothing.
    """
    try:
        swap = swap_optimizer(text, spec)
        again = swap_optimizer(swap.text, spec)
    except UserError as error:
        return str(error)
    except Exception as error:  # counts as a failure, with its name
        return f"{type(error).__name__}: {error}"
    named = len([x for x in text.splitlines() if NAMES.search(x.split("#")[0])])
    if len(swap.replaced) != named:
        return f"{named} optimizers named, {len(swap.replaced)} replaced"
    rates = rate_keys(text, swap.replaced)
    kept = others(text, swap.replaced, rates)
    if others(swap.text, swap.replaced, rates) != kept:
        return "something else changed as well"
    if again.text != swap.text:
        return "swapping twice changes the text again"
    return None


def measure(repo, names=OPTIMIZERS):
    """Swaps every optimizer into every recipe."""
    files = recipes(repo)
    specs = {name: load_optimizer(name) for name in names}
    failures = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        for name, spec in specs.items():
            reason = try_swap(text, spec)
            if reason is not None:
                where = file.relative_to(repo).as_posix()
                failures.append(
                    {"recipe": where, "optimizer": name, "reason": reason}
                )
    failed = {failure["recipe"] for failure in failures}
    return {
        "benchmark": "swap",
        "share": 1 - len(failed) / len(files),
        "goal": GOAL,
        "n": len(files),
        "optimizers": list(names),
        "failures": failures,
    }


def head(repo):
    """The commit of the clone, "unknown" if git cannot tell."""
    command = ["git", "-C", str(repo), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    """Prints the share and each failure; exit code 1 below the goal."""
    from smoke import read_options  # a test loads this file by its path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json")
    options = read_options(parser)
    torch.set_num_threads(1)
    with user_errors():
        if not options.smoke and "SPEECHBRAIN_REPO" not in os.environ:
            print("skipped: SPEECHBRAIN_REPO must name a clone, got none")
            sys.exit(SKIPPED)
        # Small: our own recipes.
        repo = ROOT if options.smoke else Path(os.environ["SPEECHBRAIN_REPO"])
        result = measure(repo)
        result["speechbrain_commit"] = head(repo)
        result["versions"] = versions()
        result["commit"] = commit(__file__)
        for failure in result["failures"]:
            print("{recipe} ({optimizer}): {reason}".format(**failure))
        print(
            f"{result['share']:.1%} of {result['n']} recipes (goal {GOAL:.0%})"
        )
        if options.json:
            write_json(options.json, result)
    sys.exit(result["share"] < GOAL and not options.smoke)


if __name__ == "__main__":
    main()

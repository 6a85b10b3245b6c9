"""What `leanbrain inspect` takes beyond the import of SpeechBrain, in seconds.

Processes take turns: one imports SpeechBrain, one inspects the large Conformer
of SpeechBrain's LibriSpeech recipe, one does so with a dry run of a pruning
method. Run it on an idle machine:

    SPEECHBRAIN_REPO=<clone> python tests/benchmarks/bench_inspect.py \
        --json result.json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from smoke import read_options

from leanbrain.provenance import commit, host_facts, versions

TARGET_S = 5.0
SKIPPED = 77
RECIPE = "recipes/LibriSpeech/ASR/transformer/hparams/conformer_large.yaml"
SMALL = (
    Path(__file__).resolve().parents[1] / "integration/host/stock/train.yaml"
)


def seconds(*arguments: str) -> float:
    """Wall time of a Python process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def measure(recipe: Path, repeats: int) -> dict:
    """Seconds of each command, in turns, and what inspecting adds."""
    inspect = ("-m", "leanbrain", "inspect", str(recipe))
    commands = {
        "import_s": ("-c", "import speechbrain"),
        "inspect_s": inspect,
        "dry_run_s": (*inspect, "--pruning", "lap"),
    }
    times = {name: [] for name in commands}
    for _ in range(repeats):
        for name, words in commands.items():
            times[name].append(round(seconds(*words), 3))
    added = {
        f"{name.removesuffix('_s')}_beyond_import_s": round(
            statistics.median(
                a - b
                for a, b in zip(times[name], times["import_s"], strict=True)
            ),
            3,
        )
        for name in ("inspect_s", "dry_run_s")
    }
    return {
        "recipe": recipe.name,
        **times,
        **added,
        "target_s": TARGET_S,
        "reached": max(added.values()) <= TARGET_S,
        "commit": commit(__file__),
        "versions": versions(),
        "host": host_facts(),
    }


def main() -> int:
    """Prints and writes the figures; 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="where to write the figures")
    args = read_options(parser, repeats=1)
    clone = os.environ.get("SPEECHBRAIN_REPO")
    recipe = SMALL if args.smoke else Path(clone or "") / RECIPE
    if not args.smoke and (not clone or not recipe.is_file()):
        print(f"skipped: SPEECHBRAIN_REPO must hold {RECIPE}, got {clone!r}")
        return SKIPPED
    figures = measure(recipe, args.repeats)
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if figures["reached"] or args.smoke else 1


if __name__ == "__main__":
    sys.exit(main())

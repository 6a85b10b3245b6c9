"""What `import leanbrain` adds to `import speechbrain`, in seconds.

Fresh processes take turns; each imports SpeechBrain, then LeanBrain, and says
how long the second took. Run it on an idle machine:

    python tests/benchmarks/bench_import.py --json result.json
"""

import argparse
import json
import statistics
import subprocess
import sys

from smoke import read_options

from leanbrain.provenance import commit, host_facts, versions

TARGET_S = 0.2
CODE = """
import time, warnings
warnings.simplefilter("ignore")
start = time.perf_counter()
import speechbrain
middle = time.perf_counter()
import leanbrain
print(middle - start, time.perf_counter() - middle)
"""


def measure(repeats: int) -> dict:
    """Seconds of both imports in fresh processes."""
    pairs = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            capture_output=True,
            text=True,
            check=True,
        )
        pairs.append([float(x) for x in done.stdout.split()])
    host, ours = (list(x) for x in zip(*pairs, strict=True))
    return {
        "speechbrain_s": [round(x, 3) for x in host],
        "leanbrain_s": [round(x, 4) for x in ours],
        "leanbrain_median_s": round(statistics.median(ours), 4),
        "target_s": TARGET_S,
        "reached": statistics.median(ours) <= TARGET_S,
        "commit": commit(__file__),
        "versions": versions(),
        "host": host_facts(),
    }


def main() -> int:
    """Prints and writes the figures; 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", help="where to write the figures")
    args = read_options(parser, repeats=1)
    figures = measure(args.repeats)
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if figures["reached"] or args.smoke else 1


if __name__ == "__main__":
    sys.exit(main())

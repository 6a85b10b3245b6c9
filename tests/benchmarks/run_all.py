"""Runs every benchmark here, one after the other, and prints their figures.

Each `bench_*.py` is a script of its own with `--json`; the results are kept
in results/bench/. Run: python tests/benchmarks/run_all.py
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "results" / "bench"
SKIPPED = 77  # a script lacks something and has said what


def run(script):
    """Runs a script; returns its figures, {} if it skipped, None if failed."""
    out = OUT / f"{script.stem}.json"
    command = [sys.executable, str(script), "--json", str(out)]
    print(f"== {script.name}", flush=True)
    code = subprocess.run(command).returncode
    if code == SKIPPED:
        return {}
    if code not in (0, 1):
        return None
    return json.loads(out.read_text(encoding="utf-8"))


def main():
    """Runs all; fails if one did not finish."""
    OUT.mkdir(parents=True, exist_ok=True)
    only = sys.argv[1:]
    failed = []
    for script in sorted(HERE.glob("bench_*.py")):
        if only and script.stem.removeprefix("bench_") not in only:
            continue
        if run(script) is None:
            failed.append(script.name)
    print(f"figures: {OUT}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

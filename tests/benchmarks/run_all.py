"""Runs every benchmark here, one after the other, and prints their figures.

Each `bench_*.py` is a script of its own with `--json` and `--smoke`; the
results are kept in results/bench/. With `--smoke` all sizes are tiny and
nothing is kept.

Run: python tests/benchmarks/run_all.py [--smoke] [step switch ...]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "results" / "bench"
SKIPPED = 77  # a script lacks something and has said what
SCRIPTS = {
    path.stem.removeprefix("bench_"): path for path in HERE.glob("bench_*.py")
}


def run(script, out, words):
    """Runs a script; whether it left its figures, or said why it cannot."""
    file = out / f"{script.stem}.json"
    # A script that missed its goals ends with 1, as one that broke does.
    file.unlink(missing_ok=True)
    print(f"== {script.name}", flush=True)
    command = [sys.executable, str(script), "--json", str(file), *words]
    code = subprocess.run(command).returncode
    return code == SKIPPED or (code in (0, 1) and file.is_file())


def main():
    """Runs all; fails if one did not finish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="name", help="some of them")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    options = parser.parse_args()
    if unknown := set(options.only) - set(SCRIPTS):
        parser.error(
            f"benchmarks must be some of {', '.join(sorted(SCRIPTS))}, got "
            f"{', '.join(sorted(unknown))}"
        )
    words = ["--smoke"] if options.smoke else []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) if options.smoke else OUT
        out.mkdir(parents=True, exist_ok=True)
        failed = [
            SCRIPTS[name].name
            for name in options.only or sorted(SCRIPTS)
            if not run(SCRIPTS[name], out, words)
        ]
    if not options.smoke:
        print(f"figures: {OUT}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""Time, memory and error rates of `make demo`, as a whole process.

Goals: at most 10 minutes on two idle cores and 4 GB; mean CER of the dense
model below 5 %; adaptive pathways within 1.0 CER of the dense model that
trains on for as many steps.

Run: python tests/benchmarks/bench_demo.py --json out.json
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smoke import read_options

from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "recipes" / "MultilingualPrompts" / "ASR" / "CTC" / "demo.py"


def main():
    """Runs the demo in an empty folder; prints and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json")
    options = read_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, str(DEMO), "--results_folder", folder]
        command += ["--debug"] if options.smoke else []
        subprocess.run(command, check=True)
        minutes = (time.perf_counter() - start) / 60
        summary = json.loads(Path(folder, "summary.json").read_text())
    # Linux gives KiB; the largest single child process.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    cer = {
        name: summary[name]["mean_cer"] for name in summary if name != "host"
    }
    result = {
        "benchmark": "demo",
        "minutes": minutes,
        "peak_memory_gib": peak,
        "mean_cer": cer,
        "adaptive_minus_dense_trained_on": cer["adaptive"]
        - cer["dense_trained_on"],
        "goals": {
            "minutes": 10,
            "peak_memory_gib": 4,
            "dense_mean_cer": 5,
            "adaptive_minus_dense_trained_on": 1.0,
        },
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

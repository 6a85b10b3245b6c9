"""Every benchmark runs, with tiny sizes, and keeps nothing."""

import importlib.util
import json

import pytest
from pages import ROOT, Command
from short_forms import Short

FOLDER = ROOT / "tests" / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("bench_*.py"))
NEEDS = {"bench_nmf.py": "sklearn"}


def kept(checkout):
    """The figures that a checkout keeps, and whatever lies beside them."""
    folder = checkout / "tests" / "benchmarks" / "results"
    return {x.name: x.read_bytes() for x in folder.iterdir()}


@pytest.mark.command
@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [pytest.param(x, marks=pytest.mark.xdist_group(x)) for x in SCRIPTS],
)
def test_a_benchmark_runs(script, place):
    needed = NEEDS.get(script)
    if needed and not importlib.util.find_spec(needed):
        pytest.skip(f"no {needed} on this machine")
    before = kept(place.checkout)
    text = f"python tests/benchmarks/{script} --smoke --json $OUT/figures.json"
    command = Command(f"tests/benchmarks/{script}", 1, text)
    out = place.run_short(command, Short(leaves="$OUT/figures.json"))
    assert json.loads((out / "figures.json").read_text("utf-8"))
    assert kept(place.checkout) == before

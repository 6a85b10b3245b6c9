"""Every benchmark runs, with tiny sizes, and keeps nothing."""

import argparse
import importlib.util
import json

import pytest
from pages import ROOT, Command
from short_forms import Short

FOLDER = ROOT / "tests" / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("bench_*.py"))
NEEDS = {
    "bench_nmf.py": "sklearn",
    "bench_whisper_step.py": "transformers",
}


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


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ("open(sys.argv[2], 'w').write('{}')", True),
        # Goals were missed.
        ("open(sys.argv[2], 'w').write('{}'); sys.exit(1)", True),
        ("print('skipped: no clone'); sys.exit(77)", True),
        ("sys.exit(1)", False),
        ("open(sys.argv[2], 'w').write('{}'); sys.exit(3)", False),
    ],
)
def test_what_breaks_is_no_missed_goal(tmp_path, monkeypatch, body, fine):
    monkeypatch.syspath_prepend(FOLDER)
    run_all = importlib.import_module("run_all")
    script = tmp_path / "bench_x.py"
    script.write_text(f"import sys\n{body}\n")
    # Of an earlier run, that did not break.
    (tmp_path / "bench_x.json").write_text("{}")
    assert run_all.run(script, tmp_path, []) is fine


def test_smoke_changes_sizes_and_no_kept_figures(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    smoke = importlib.import_module("smoke")

    def read(*words):
        parser = argparse.ArgumentParser()
        parser.add_argument("--json")
        parser.add_argument("--rounds", type=int, default=9)
        return smoke.read_options(parser, words, rounds=1)

    kept = str(FOLDER / "results" / "step.json")
    assert (read("--json", kept).json, read().rounds) == (kept, 9)
    assert read("--smoke", "--rounds", "5").rounds == 1
    assert read("--smoke", "--json", kept).json is None
    assert read("--smoke", "--json", "x.json").json == "x.json"

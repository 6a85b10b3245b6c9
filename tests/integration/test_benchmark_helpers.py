"""What benchmarks share: kernels of the CPU, runs that go on."""

import json
import os
import subprocess
import sys

import pytest

from leanbrain.checks import UserError


@pytest.fixture(scope="module")
def benchmarks(repo_root):
    folder = repo_root / "tests" / "benchmarks"
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


SCRIPT = """
import argparse, json, os, sys
from smoke import read_options

parser = argparse.ArgumentParser()
parser.add_argument("word")
print(json.dumps([read_options(parser).word, os.getenv("OPENBLAS_CORETYPE")]))
"""


def test_every_benchmark_starts_anew_with_kernels_of_the_cpu(
    benchmarks, tmp_path
):
    (tmp_path / "bench.py").write_text(SCRIPT)
    path = os.pathsep.join([str(benchmarks), *sys.path])
    hindered = {"PYTHONPATH": path, "OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run(
        [sys.executable, tmp_path / "bench.py", "two words"],
        env={**os.environ, **hindered},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["two words", None]
    assert "started anew without OPENBLAS_CORETYPE=Haswell" in done.stderr
    for script in benchmarks.glob("bench_*.py"):
        assert "read_options(" in script.read_text(encoding="utf-8"), script


def test_kernels_of_an_older_cpu_are_refused(benchmarks, monkeypatch):
    import blas

    def library(name):
        return {"internal_api": "openblas", "architecture": name}

    new = {"avx2", "avx512f"}
    for name in ("Haswell", "haswell", "Zen", "Sandybridge", "Nehalem"):
        with pytest.raises(UserError, match="avx512f, got .* of openblas"):
            blas.check_kernel(library(name), new)
    for name in ("SkylakeX", "Cooperlake", "Zen7", None):
        blas.check_kernel(library(name), new)
    blas.check_kernel(library("Haswell"), {"avx2"})
    blas.check_kernel(library("Haswell"), set())
    with pytest.raises(UserError, match="with avx2, got Sandybridge"):
        blas.check_kernel(library("Sandybridge"), {"avx2"})
    for name in blas.CHOOSING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    with pytest.raises(UserError, match="MKL_CBWR must be .* got 'COMPAT"):
        blas.kernels()


def test_an_interrupted_benchmark_goes_on(benchmarks, tmp_path):
    from nmf_bench.resuming import Measurements

    file, said, ran = tmp_path / "run.unfinished.json", [], []

    def start(**facts):
        return Measurements(
            file, {"commit": "a", "seeds": 5, **facts}, said.append
        )

    def task():
        ran.append(1)
        return {"numbers": (1, 2.5)}

    assert start()("one", task) == {"numbers": [1, 2.5]}
    again = start()
    assert again("one", task) == {"numbers": [1, 2.5]} and len(ran) == 1
    again("two", task)
    assert said == ["one", "goes on after 1 measurements", "two"]
    # What another commit measured is no part of this run.
    start(commit="b")("one", task)
    assert len(ran) == 3 and said[-2] == "begins anew: commit changed since"
    assert [*json.loads(file.read_text())["found"]] == ["one"]

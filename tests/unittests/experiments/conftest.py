"""Where the run functions of the tests are."""

from pathlib import Path

import pytest


@pytest.fixture
def functions(monkeypatch):
    """The name of a module with run functions that import nothing heavy."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return "experiment_functions"


@pytest.fixture
def root(tmp_path):
    """The folder of an experiment."""
    return tmp_path / "runs"

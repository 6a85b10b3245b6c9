"""A run's folder: two pathways, several files, weights that are tied."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import small_run


@pytest.fixture
def run(tmp_path):
    """A finished run with one checkpoint."""
    made = small_run.SmallRun(tmp_path / "run")
    made.save(WER=5.0)
    return made

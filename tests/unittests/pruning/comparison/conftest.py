"""What the tests of this folder share."""

import sys
from pathlib import Path

import pytest

# So that tests find fake_kept.py and small_comparison.py.
sys.path.insert(0, str(Path(__file__).parent))

import fake_kept  # noqa: E402

from leanbrain.pruning.comparison.findings import analyse  # noqa: E402


@pytest.fixture(scope="session")
def kept():
    """Kept results of a comparison that never ran; not to be changed."""
    return fake_kept.make()


@pytest.fixture(scope="session")
def found(kept):
    """What they say."""
    return analyse(kept, draws=200)

"""A clean checkout; the modules beside the tests have their plain names."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A clean checkout, one for each process of pytest."""
    from places import Place

    return Place(tmp_path_factory.mktemp("place"))

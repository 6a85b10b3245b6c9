"""Fixtures that every test may use; the markers are in pyproject.toml."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def prompts_folder() -> Path:
    """The folder with the manifests of real speech; skips where there is none.

    The data are no part of the repository. They are looked for in the folder
    that LEANBRAIN_DATA names, otherwise in `shared/data` beside the checkout.
    """
    named = os.environ.get("LEANBRAIN_DATA")
    data = Path(named) if named else ROOT.parent / "shared" / "data"
    folder = data / "prompts"
    wanted = folder / "train.csv"
    if not wanted.is_file():
        pytest.skip(f"no real speech: {wanted} is missing; set LEANBRAIN_DATA")
    return folder

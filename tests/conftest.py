"""Fixtures that every test may use; the markers are in pyproject.toml."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The same code is either right or wrong, on every machine and every time;
# `pytest --hypothesis-profile=explore` looks for what the fixed cases miss.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests are of small tensors: threads cost more than they save.

    On a machine that does other work as well, many times as much.
    """
    import torch

    torch.set_num_threads(1)


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

"""Fixtures that every test may use; the markers are in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# The same code is either right or wrong, on every machine and every time;
# `pytest --hypothesis-profile=explore` looks for what the fixed cases miss.
# How long that takes says how busy the machine is, nothing of the code.
patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **patient)
settings.register_profile("explore", derandomize=False, **patient)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests are of small tensors: threads cost more than they save.

    On a machine that does other work as well, many times as much.
    """
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests find in audio is remembered for them alone."""
    os.environ["LEANBRAIN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built from an sdist of it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # A copy: a build leaves folders in the tree that it builds.
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("plugins", "hparams", "recipes", "tests"):
        shutil.copytree(
            ROOT / name,
            source / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    _build("sdist", source, folder)
    (archive,) = folder.glob("leanbrain-*.tar.gz")
    shutil.unpack_archive(archive, folder)
    _build("wheel", folder / archive.name.removesuffix(".tar.gz"), folder)
    (wheel,) = folder.glob("leanbrain-*.whl")
    return wheel


def _build(kind: str, source: Path, folder: Path) -> None:
    """Builds an sdist or a wheel with the setuptools that are installed."""
    code = (
        "import sys; from setuptools import build_meta;"
        f"build_meta.build_{kind}(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


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

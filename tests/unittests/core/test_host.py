"""torch and torchaudio that do not fit: one sentence, never a traceback."""

import os
import re
import subprocess
import sys
from importlib import metadata
from types import ModuleType

import pytest
from torch.utils.data import DataLoader, Dataset

from leanbrain import _host
from leanbrain._host import HostError, check_host, user_errors
from leanbrain.checks import UserError


@pytest.fixture
def versions(monkeypatch):
    """Sets the versions that the metadata report; None is not installed."""

    def patch(torch, torchaudio):
        known = {"torch": torch, "torchaudio": torchaudio}

        def version(package):
            if known[package] is None:
                raise metadata.PackageNotFoundError(package)
            return known[package]

        monkeypatch.setattr(_host.metadata, "version", version)

    return patch


FIT = [
    ("2.11.0", "2.11.0"),
    ("2.11.1", "2.11.0"),
    ("2.7.1+cpu", "2.7.1+cpu"),
    ("2.10.0+cu130", "2.10.0+cu130"),
    # Only loading can tell what kind the untagged one is.
    ("2.11.0+cpu", "2.11.0"),
    ("2.11.0", "2.11.0+cu130"),
    ("2.11.0+cu130", "2.11.0+cpu"),
    ("2.11.0a0+git1234", "2.11.0"),
]


@pytest.mark.parametrize("torch, torchaudio", FIT)
def test_versions_that_fit(versions, torch, torchaudio):
    versions(torch, torchaudio)
    assert check_host() is None


MINOR = "must have the same minor version"
BUILD = "must be of the same build"
NEWEST = "must fit, torchaudio must be at most 2.11.0"
PRESENT = "must both be installed"
UNFIT = [
    ("2.15.0+cu132", "2.11.0", MINOR, "2.11"),
    ("2.13.0+cpu", "2.11.0", MINOR, "2.11"),
    ("2.8.0", "2.11.0", MINOR, "2.8"),
    ("2.5.1", "2.11.0", MINOR, "2.7"),
    ("2.1.0", "2.11.0", MINOR, "2.7"),
    ("3.11.0", "2.11.0", MINOR, "2.11"),
    ("2.11.0+cu126", "2.11.0+cu130", BUILD, "2.11"),
    ("2.11.0+cpu", "2.11.0+cu130", BUILD, "2.11"),
    ("2.11.0", None, PRESENT, "2.11"),
    ("2.11.0", "2.11.1", NEWEST, "2.11"),
    ("2.11.1+cu130", "2.11.1+cu130", NEWEST, "2.11"),
    ("2.11.0", "2.11.10+cpu", NEWEST, "2.11"),
    (None, "2.9.0", PRESENT, "2.9"),
    (None, None, PRESENT, "2.11"),
]


@pytest.mark.parametrize("torch, torchaudio, rule, mend", UNFIT)
def test_sentence_names_both_versions_and_the_fix(
    versions, torch, torchaudio, rule, mend
):
    versions(torch, torchaudio)
    force = "--force-reinstall " if rule == BUILD else ""
    sentence = (
        f"torch and torchaudio {rule}, got torch {torch or 'missing'} and "
        f"torchaudio {torchaudio or 'missing'}; mend it with: "
        f'pip install {force}"torch=={mend}.*" '
        f'"torchaudio=={mend}.{"0" if mend == "2.11" else "*"}"'
    )
    with pytest.raises(HostError, match=f"^{re.escape(sentence)}$"):
        check_host()


def test_installed_versions_fit():
    assert check_host() is None


LOADING = [
    (OSError("libc10_cuda.so: cannot open shared object file"), "libc10_cuda"),
    (RuntimeError("compiled with different CUDA versions.\nMore"), "different"),
    (ImportError("undefined symbol: _ZN3c10"), "undefined symbol"),
]


@pytest.mark.parametrize("error, heard", LOADING)
def test_torchaudio_that_cannot_be_loaded(versions, monkeypatch, error, heard):
    def fail(name):
        assert name == "torchaudio"
        raise error

    versions("2.11.0+cpu", "2.11.0")
    monkeypatch.setattr(_host.importlib, "import_module", fail)
    with pytest.raises(HostError, match=heard) as caught:
        _host.import_speechbrain()
    sentence = str(caught.value)
    assert "torch 2.11.0+cpu and torchaudio 2.11.0 (torchaudio sa" in sentence
    assert "\n" not in sentence and '"torch==2.11.*"' in sentence
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'numpy'", name="numpy"),
        OSError("libsndfile.so.1: cannot open shared object file"),
        OSError(5, "Input/output error"),
        RuntimeError("Numpy is not available"),
        RuntimeError(),
    ],
)
def test_other_errors_are_not_laid_to_the_build(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(_host.importlib, "import_module", fail)
    with pytest.raises(type(error)) as caught:
        _host.import_speechbrain()
    assert caught.value is error


def test_versions_are_compared_before_anything_is_imported(
    versions, monkeypatch
):
    imported = []
    versions("2.15.0", "2.11.0")
    monkeypatch.setattr(_host.importlib, "import_module", imported.append)
    with pytest.raises(HostError, match=MINOR):
        _host.import_speechbrain()
    assert imported == []


def test_speechbrain_is_returned_when_all_fits(monkeypatch):
    modules = {x: ModuleType(x) for x in ("torchaudio", "speechbrain")}
    monkeypatch.setattr(_host.importlib, "import_module", modules.__getitem__)
    assert _host.import_speechbrain() is modules["speechbrain"]


# --------------------------------------------------- ending a script kindly


@pytest.mark.parametrize("kind", [UserError, HostError])
def test_user_errors_prints_one_line(capsys, kind):
    with pytest.raises(SystemExit, match="^2$"), user_errors():
        raise kind("`amount` must be in [0, 1), got 1.2.")
    captured = capsys.readouterr()
    assert captured.err == "error: `amount` must be in [0, 1), got 1.2.\n"
    assert captured.out == ""


def test_interrupt_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit, match="^130$"), user_errors():
        raise KeyboardInterrupt
    assert capsys.readouterr().err == (
        "interrupted; run the same command again to continue\n"
    )


def test_our_own_errors_keep_their_traceback(capsys):
    with pytest.raises(ValueError, match="ours"), user_errors():
        raise ValueError("ours")
    assert capsys.readouterr().err == ""


class Broken(Dataset):
    """A dataset whose audio file is missing."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError("The audio file a.flac does not exist.")


def test_worker_traceback_is_cut_to_its_sentence(capsys):
    with pytest.raises(SystemExit, match="^2$"), user_errors():
        list(DataLoader(Broken(), num_workers=1))
    assert capsys.readouterr().err == (
        "error: The audio file a.flac does not exist.\n"
    )


# ------------------------------------------------------- a new interpreter

FAKE = """
import sys
from importlib import metadata
real = metadata.version
fake = {"torch": "2.15.0+cu132", "torchaudio": "2.11.0"}
metadata.version = lambda name: fake.get(name) or real(name)
"""


def run_python(code):
    """Runs code in a new interpreter that finds the same leanbrain."""
    path = os.path.dirname(os.path.dirname(_host.__file__))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_script_on_an_unfit_host_ends_with_one_line():
    done = run_python(FAKE + "import leanbrain.checks\nprint('not reached')")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: torch and torchaudio {MINOR}")


def test_other_errors_on_an_unfit_host_keep_their_traceback():
    done = run_python(
        FAKE + "try:\n    import leanbrain\nexcept ImportError:\n    1 / 0\n"
    )
    assert "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr


def test_import_is_cheap_and_leaves_the_hook_alone():
    done = run_python(
        "import sys; hook = sys.excepthook\n"
        "import leanbrain.checks, leanbrain.files\n"
        "loud = {'torch', 'torchaudio', 'speechbrain'} & set(sys.modules)\n"
        "print(sorted(loud), sys.excepthook is hook)"
    )
    assert done.stdout == "[] True\n", done.stderr

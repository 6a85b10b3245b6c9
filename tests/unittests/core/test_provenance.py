"""Where numbers come from: facts that are right and that name nobody."""

import getpass
import json
import os
import platform
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from leanbrain import provenance
from leanbrain.provenance import commit, host_facts, versions


def test_facts_are_those_of_this_machine():
    facts = host_facts()
    assert facts["torch_threads"] == torch.get_num_threads()
    assert 1 <= facts["cores"] <= os.cpu_count()
    assert facts["memory_gib"] > 0
    assert facts["platform"].split() == [platform.system(), platform.machine()]
    assert isinstance(facts["cpu"], str) and facts["cpu"]
    assert json.loads(json.dumps(facts)) == facts


def test_facts_name_nobody():
    text = json.dumps([host_facts(), versions()])
    home = str(Path.home())
    names = {socket.gethostname(), getpass.getuser(), home, os.getcwd()}
    # Names as short as "vm" may be part of other words.
    assert not [x for x in names if len(x) > 3 and x in text]


def test_facts_survive_a_silent_system(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(provenance, "Path", lambda name: Path("/missing"))
    facts = host_facts()
    assert facts["load"] is None and facts["memory_gib"] is None
    assert facts["cores"] == os.cpu_count()
    assert facts["cpu"] in (platform.processor(), platform.machine())


def test_versions_name_what_runs():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert "speechbrain" in found


def test_version_of_a_missing_package_is_said(monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with one tracked file."""
    file = tmp_path / "code.py"
    file.write_text("x = 1\n")
    for arguments in (
        ["init", "-q"],
        ["add", "code.py"],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m"],
    ):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    return file


def test_commit_is_the_one_that_is_checked_out(checkout):
    command = ["git", "-C", checkout.parent, "log", "-1", "--format=%H"]
    wanted = subprocess.check_output(command, text=True).strip()
    assert len(wanted) == 40
    assert commit(checkout) == wanted


def test_changed_files_make_the_commit_dirty(checkout):
    clean = commit(checkout)
    (checkout.parent / "notes.txt").write_text("not tracked")
    assert commit(checkout) == clean
    checkout.write_text("x = 2\n")
    assert commit(checkout) == f"{clean}-dirty"


def test_package_inside_a_foreign_checkout_is_unknown(checkout):
    installed = checkout.parent / "venv" / "package.py"
    installed.parent.mkdir()
    installed.write_text("x = 1\n")
    assert commit(installed) == "unknown"


def test_commit_outside_a_checkout_is_unknown(tmp_path):
    (tmp_path / "code.py").touch()
    assert commit(tmp_path / "code.py") == "unknown"


def test_commit_without_git_is_unknown(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) == "unknown"


def test_checkout_without_a_commit_is_unknown(tmp_path):
    (tmp_path / "code.py").touch()
    for arguments in (["init", "-q"], ["add", "code.py"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    assert commit(tmp_path / "code.py") == "unknown"

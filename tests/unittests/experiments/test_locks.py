"""Locks of a file system that has none are told from folders that are shut."""

import errno
import os

import pytest
from filelock import FileLock, Timeout

from leanbrain import UserError
from leanbrain.experiments import Ledger
from leanbrain.experiments.locks import held
from leanbrain.experiments.trials import Trial
from leanbrain.experiments.worker import _claim

TRIAL = Trial("experiment_functions:square", {"x": 1})
ROW = {"digest": "0" * 16, "status": "done"}
USERS = {
    "ledger": lambda root: Ledger(root).append(ROW),
    "repair": lambda root: Ledger(root).repair(),
    "claim": lambda root: _claim(root, TRIAL).__enter__(),
}


@pytest.fixture(params=USERS.values(), ids=USERS)
def use(request):
    """Something that takes a lock in a folder."""
    return request.param


def refusing(error):
    def refuse(lock, *args, **kwargs):
        raise error

    return refuse


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)),
        OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)),
        NotImplementedError("FileSystem does not appear to support flock"),
    ],
    ids=["no service", "not supported", "older filelock"],
)
def test_a_file_system_without_locks_is_named(use, root, monkeypatch, error):
    monkeypatch.setattr(FileLock, "acquire", refusing(error))
    said = getattr(error, "strerror", None) or str(error)
    with pytest.raises(UserError, match=f"file system with locks, got {said}"):
        use(root)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_is_shut_is_no_matter_of_locks(
    use, root, monkeypatch, number
):
    said = os.strerror(number)
    monkeypatch.setattr(FileLock, "acquire", refusing(OSError(number, said)))
    with pytest.raises(UserError, match=rf"cannot be written \({said}\)"):
        use(root)


def test_a_file_in_the_place_of_the_folder(use, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory|File exists"):
        use(tmp_path / "file" / "results")


def test_the_real_call_that_takes_a_lock(use, root, monkeypatch):
    """What filelock itself makes of a lock service that is away."""
    fcntl = pytest.importorskip("fcntl")
    away = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(fcntl, "flock", refusing(away))
    with pytest.raises(UserError, match="locks, got No locks available"):
        use(root)


def test_what_is_raised_inside_and_a_lock_of_others_pass(tmp_path):
    path = tmp_path / "x" / "a.lock"
    with pytest.raises(OSError, match="their own"), held(FileLock(path)):
        raise OSError(errno.ENOLCK, "their own")
    with held(FileLock(path)), pytest.raises(Timeout):
        with held(FileLock(path, timeout=0)):
            pass

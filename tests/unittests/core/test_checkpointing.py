"""SafeCheckpointer: a checkpoint is complete or it is not there."""

import pytest
import torch
from speechbrain.utils import checkpoints

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.checks import UserError


class Model(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(value))


def make(folder, value=1.0):
    model = Model(value)
    return model, SafeCheckpointer(folder, {"model": model})


def test_saves_and_recovers_as_the_original_does(tmp_path):
    _, checkpointer = make(tmp_path, 2.0)
    saved = checkpointer.save_checkpoint(meta={"loss": 1.0})
    assert saved.path.is_dir() and saved.paramfiles["model"].is_file()
    model, plain = Model(0.0), None
    plain = checkpoints.Checkpointer(tmp_path, {"model": model})
    plain.recover_if_possible()
    assert model.weight.item() == 2.0
    assert not list(tmp_path.glob(".partial-*"))


# What torch's own writer says when a file cannot grow.
TORCH = "[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"


def failing(monkeypatch, tmp_path, error):
    """A model, once saved, whose next saves fail."""
    model, checkpointer = make(tmp_path, 3.0)
    checkpointer.save_checkpoint()

    def fail(obj, path):
        path.write_bytes(b"half")
        if isinstance(error, PermissionError):
            error.filename = str(path)
        raise error

    monkeypatch.setitem(checkpoints.DEFAULT_SAVE_HOOKS, torch.nn.Module, fail)
    return model, checkpointer


def check_kept(model, checkpointer, folder):
    """The last good checkpoint is the only one."""
    with torch.no_grad():
        model.weight.fill_(0.0)
    checkpointer.recover_if_possible()
    assert model.weight.item() == 3.0
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(122, "Disk quota exceeded"), "Disk quota exceeded"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (RuntimeError(TORCH), "torch could not write a file"),
    ],
)
def test_a_disk_that_refuses_keeps_the_last_good_checkpoint(
    tmp_path, monkeypatch, error, said
):
    model, checkpointer = failing(monkeypatch, tmp_path, error)
    sentence = rf"got {said} \([\d,]+ bytes are free\); the last complete one"
    with pytest.raises(UserError, match=sentence):
        checkpointer.save_and_keep_only(num_to_keep=1)
    check_kept(model, checkpointer, tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error"),
        UserError("`dormant` must be called in the state rest, got 'en'."),
        OSError(2, "No such file or directory", "/elsewhere"),
        OSError("raised without a number"),
        TypeError("no tensor"),
        KeyboardInterrupt(),
    ],
)
def test_any_other_error_is_not_laid_to_the_disk(tmp_path, monkeypatch, error):
    model, checkpointer = failing(monkeypatch, tmp_path, error)
    with pytest.raises(type(error)) as caught:
        checkpointer.save_and_keep_only(num_to_keep=1)
    assert caught.value is error
    check_kept(model, checkpointer, tmp_path)


def test_a_real_file_that_may_not_grow(tmp_path):
    """As torch's own writer meets it."""
    resource = pytest.importorskip("resource")
    model = torch.nn.Linear(400, 400)
    checkpointer = SafeCheckpointer(tmp_path, {"model": model})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(UserError, match="must be writable in .*free"):
            checkpointer.save_checkpoint()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_killed_save_is_invisible_and_removed_later(tmp_path):
    model, checkpointer = make(tmp_path, 4.0)
    checkpointer.save_checkpoint()
    partial = checkpointer._new_checkpoint_dirpath()
    partial.mkdir()
    checkpointer._save_checkpoint_metafile(partial / checkpoints.METAFNAME)
    assert len(checkpointer.list_checkpoints()) == 1
    checkpointer.recover_if_possible()
    checkpointer.save_checkpoint()
    assert not partial.exists() and len(checkpointer.list_checkpoints()) == 2


def test_a_named_checkpoint_is_replaced(tmp_path):
    model, checkpointer = make(tmp_path, 5.0)
    checkpointer.save_checkpoint(name="best")
    with torch.no_grad():
        model.weight.fill_(6.0)
    checkpointer.save_checkpoint(name="best")
    state = torch.load(tmp_path / "CKPT+best" / "model.ckpt")
    assert state["weight"].item() == 6.0 and len(list(tmp_path.iterdir())) == 1

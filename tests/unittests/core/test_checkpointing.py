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


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("failed"),
        UserError("The file must be writable."),
    ],
)
def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path, monkeypatch, error
):
    model, checkpointer = make(tmp_path, 3.0)
    checkpointer.save_checkpoint()

    def full(obj, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setitem(checkpoints.DEFAULT_SAVE_HOOKS, torch.nn.Module, full)
    with pytest.raises(UserError, match="is the disk full.*last complete one"):
        checkpointer.save_and_keep_only(num_to_keep=1)
    with torch.no_grad():
        model.weight.fill_(0.0)
    checkpointer.recover_if_possible()
    assert model.weight.item() == 3.0
    assert len(list(tmp_path.iterdir())) == 1


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

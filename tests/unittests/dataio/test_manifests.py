"""Manifests: what is right is read, what is wrong is named."""

import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.dataio.manifests import (
    COLUMNS,
    find_data_root,
    read_manifest,
    write_manifest,
)

HEADER = "ID,duration,wav,lang,spk_id,wrd"
GOOD = "a,1.5,{data_root}/en/a.flac,en,anna,yes please"


def save(folder: Path, *lines: str, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_are_read_in_order(tmp_path):
    second = "B,0.25,/abs/b.flac,nl,,l'eau"
    rows = read_manifest(save(tmp_path, HEADER, GOOD, second))
    assert list(rows) == ["a", "B"]
    assert rows["a"] == {
        "ID": "a",
        "duration": 1.5,
        "wav": "{data_root}/en/a.flac",
        "lang": "en",
        "spk_id": "anna",
        "wrd": "yes please",
    }
    assert rows["B"]["duration"] == 0.25
    assert isinstance(rows["B"]["duration"], float)


def test_data_root_is_replaced(tmp_path):
    second = GOOD.replace("a,", "b,", 1).replace("{data_root}", "/abs")
    rows = read_manifest(save(tmp_path, HEADER, GOOD, second), "/data")
    assert rows["a"]["wav"] == "/data/en/a.flac"
    assert rows["b"]["wav"] == "/abs/en/a.flac"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", [",", ", "])
def test_other_writers_are_understood(tmp_path, mark, separator):
    text = mark + "\r\n".join([HEADER + ",extra", GOOD + ",7", ""])
    path = tmp_path / "m.csv"
    path.write_bytes(text.replace(",", separator).encode())
    assert read_manifest(path)["a"]["wrd"] == "yes please"
    assert read_manifest(path)["a"]["extra"] == "7"


WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc")), min_size=1
).filter(lambda text: text.strip() == text)


# Every write is flushed to disk, which may take long.
@settings(deadline=None, max_examples=50)
@given(
    wrd=WORDS,
    name=WORDS,
    duration=st.floats(1e-3, 1e4),
    speaker=st.one_of(st.just(""), WORDS),
)
def test_what_is_written_is_read(
    tmp_path_factory, wrd, name, duration, speaker
):
    path = tmp_path_factory.mktemp("m") / "m.csv"
    row = {
        "ID": name,
        "duration": duration,
        "wav": "{data_root}/a, b.flac",
        "lang": "en",
        "spk_id": speaker,
        "wrd": wrd,
    }
    write_manifest(path, [{**row, "more": 1}])
    assert path.read_text(encoding="utf-8").startswith(HEADER + "\n")
    assert read_manifest(path) == {name: row}


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([HEADER], "train.csv must list at least one utterance, got none"),
        ([""], "train.csv must list at least one utterance, got none"),
        (
            ["ID,duration,wav,language,spk_id,wrd", GOOD],
            r"columns ID, .*; got ID, .*language.*, without lang\.",
        ),
        (["ID,wav", "a,b"], "without duration, lang, spk_id, wrd"),
        ([HEADER, GOOD, GOOD], r"`ID` must be unique, got 'a' twice in .*csv"),
        ([HEADER, GOOD[:10]], "must have 6 columns, .* at ID 'a'"),
        ([HEADER, GOOD + ",7"], "must have 6 columns, .* at ID 'a'"),
        (
            [HEADER, GOOD.replace("1.5", "long")],
            "`duration` must .* above 0, got 'long' at ID 'a' in .*train.csv",
        ),
        ([HEADER, GOOD.replace("1.5", "")], "`duration` .* got '' at ID 'a'"),
        ([HEADER, GOOD.replace("1.5", "0")], "`duration` .* got '0' at ID"),
        ([HEADER, GOOD.replace("1.5", "-1")], "`duration` .* got '-1' at ID"),
        ([HEADER, GOOD.replace("1.5", "nan")], "`duration` .* got 'nan' at"),
        ([HEADER, GOOD.replace("1.5", "inf")], "`duration` .* got 'inf' at"),
        ([HEADER, GOOD.replace("1.5", "1_5")], "`duration` .* got '1_5' at"),
        ([HEADER, GOOD[:-10] + '"so he said', GOOD], "'a,1.5.* in line 2"),
        (
            [HEADER, GOOD.replace("1.5", "0"), GOOD, GOOD.replace("en,", ",")],
            r"`duration` .* \(and 3 more faults\)\.",
        ),
        (
            [HEADER, GOOD.replace("yes please", " ")],
            "`wrd` must not be empty, got at ID 'a'",
        ),
        ([HEADER, GOOD.replace("en,", ",")], "`lang` must not be empty"),
        ([HEADER, GOOD[1:]], "`ID` must not be empty, got at ID ''"),
        (
            [HEADER, GOOD.replace("{data_root}/", "")],
            "`wav` must start with {data_root} .*got 'en/a.flac' at ID 'a'",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, lines, match):
    with pytest.raises(UserError, match=match):
        read_manifest(save(tmp_path, *lines))


def test_a_language_has_one_name(tmp_path):
    names = [unicodedata.normalize(x, "français") for x in ("NFC", "NFD")]
    lines = [
        GOOD.replace("en,", f"{name},").replace("a,", f"{i},", 1)
        for i, name in enumerate(names)
    ]
    rows = read_manifest(save(tmp_path, HEADER, *lines)).values()
    assert {row["lang"] for row in rows} == {names[0]} != {names[1]}


def test_rows_are_counted(tmp_path, caplog):
    second = GOOD.replace("a,", "b,", 1)
    with caplog.at_level(logging.INFO):
        read_manifest(save(tmp_path, HEADER, GOOD, second))
    assert f"2 rows of {tmp_path / 'train.csv'}" in caplog.text


def test_a_lone_quotation_mark_swallows_no_row(tmp_path):
    lines = [GOOD.replace("a,", f"u{i},", 1) for i in range(8)]
    lines[2] = lines[2].replace("yes please", '"so he said')
    with pytest.raises(UserError, match="in line 4"):
        read_manifest(save(tmp_path, HEADER, *lines))
    lines[2] = lines[2].replace('"so he said', 'so "he said')
    rows = read_manifest(save(tmp_path, HEADER, *lines))
    assert len(rows) == 8 and rows["u2"]["wrd"] == 'so "he said'


def test_no_manifest_is_written_that_could_not_be_read(tmp_path):
    row = dict(zip(COLUMNS, GOOD.split(","), strict=True))
    with pytest.raises(UserError, match=r"`wrd` at ID 'a'.* got U\+000A"):
        write_manifest(tmp_path / "a.csv", [{**row, "wrd": "yes\nplease"}])
    assert not (tmp_path / "a.csv").exists()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none.csv does not exist"):
        read_manifest(tmp_path / "none.csv")


def test_folder_and_binary_are_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read .*irectory"):
        read_manifest(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="b.csv must be UTF-8 text"):
        read_manifest(tmp_path / "b.csv")


@pytest.mark.parametrize("place", ["", "../"])
def test_data_root_is_found(tmp_path, place):
    folder = tmp_path / "prompts"
    folder.mkdir()
    manifest = save(folder, HEADER, GOOD)
    audio = (folder / place / "en" / "a.flac").resolve()
    audio.parent.mkdir()
    soundfile.write(audio, np.zeros(80), 8000)
    root = find_data_root(manifest)
    assert root == (folder / place).resolve()
    assert root.is_absolute()


def test_the_nearer_data_root_wins(tmp_path):
    for folder in (tmp_path, tmp_path / "near"):
        (folder / "en").mkdir(parents=True)
        (folder / "en" / "a.flac").touch()
    assert find_data_root(save(tmp_path / "near", HEADER, GOOD)) == (
        tmp_path / "near"
    )


def test_missing_data_root_names_what_was_looked_for(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        find_data_root(save(folder, HEADER, GOOD))
    for place in (folder, tmp_path):
        assert str(place / "en" / "a.flac") in str(caught.value)


def test_columns_are_those_of_the_header():
    assert ",".join(COLUMNS) == HEADER


def test_real_prompts_are_read(prompts_folder):
    manifest = prompts_folder / "test.csv"
    rows = read_manifest(manifest, find_data_root(manifest))
    assert len(rows) == 416
    assert {row["lang"] for row in rows.values()} == set(
        "en es ru uk de".split()
    )
    assert all(Path(row["wav"]).is_file() for row in rows.values())

"""The synthetic digits: who says what, whole or not there, repeatable."""

import hashlib
import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from leanbrain.checks import UserError
from leanbrain.dataio import synthesis
from leanbrain.dataio.corpus import SPEAKERS
from leanbrain.dataio.digits import (
    DIGITS,
    DigitSettings,
    plan_digits,
    synthesise_digits,
)
from leanbrain.dataio.grammars import GRAMMARS
from leanbrain.dataio.manifests import (
    SPLITS,
    check_audio,
    find_data_root,
    read_manifest,
)

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="needs the extra `demo` (espeakng-loader)",
)
SMALL = DigitSettings(("fr",), train=1, valid=1, test=1)


def test_every_speaker_says_every_digit_equally_often():
    said = plan_digits(DigitSettings(train=2, valid=1, test=3))
    for split, takes in (("train", 2), ("valid", 1), ("test", 3)):
        counts = Counter(
            (u.language, u.variant, u.pitch, u.text)
            for u in said
            if u.split == split
        )
        words = [(la, w) for la in GRAMMARS for w in GRAMMARS[la]["digit"]]
        assert counts == {
            (la, variant, pitch, word): takes
            for la, word in words
            for variant, pitch in SPEAKERS[split]
        }
    assert len({u.key for u in said}) == len(said)


def test_no_speaker_is_in_two_splits():
    said = plan_digits(DigitSettings())
    names = [{u.speaker for u in said if u.split == s} for s in SPLITS]
    assert sum(map(len, names)) == len(set.union(*names))


@pytest.mark.parametrize("change", ["take", "language"])
def test_more_leaves_what_there_is_as_it_is(change):
    more = {
        "take": replace(SMALL, train=3),
        "language": replace(SMALL, languages=("en", "fr")),
    }[change]
    assert set(plan_digits(SMALL)) < set(plan_digits(more))


def test_another_seed_makes_other_levels():
    one, other = plan_digits(SMALL), plan_digits(replace(SMALL, seed=2))
    assert [u.key for u in one] == [u.key for u in other]
    assert all(
        (a.peak, a.snr_db) != (b.peak, b.snr_db)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"languages": "en"}, "`languages` must be a list .* got 'en'"),
        ({"languages": ()}, r"`languages` must name at least one"),
        ({"languages": ("de",)}, "`languages` must be one of .* got 'de'"),
        ({"train": 0}, "`train` must be an integer >= 1, got 0"),
    ],
)
def test_wrong_settings_are_named(settings, match):
    with pytest.raises(UserError, match=match):
        DigitSettings(**settings)


@pytest.fixture
def quick(monkeypatch):
    """Shorter than real: the first speaker of each split says all."""
    real = synthesis.render
    calls = []

    def render(said):
        calls.append(said.key)
        return real(said)

    monkeypatch.setattr(synthesis, "render", render)
    return calls


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


@needs_espeak
def test_corpus_is_complete_cached_and_repeatable(tmp_path, quick):
    folder = synthesise_digits(tmp_path / "a", SMALL, progress=False)
    assert len(quick) == len(plan_digits(SMALL))
    root = find_data_root(folder / "train.csv")
    for split in SPLITS:
        rows = read_manifest(folder / f"{split}.csv", root)
        check_audio(rows, 8000)
        assert len(rows) == 10 * len(SPEAKERS[split])
        for name, row in rows.items():
            # <language>_<split>_<speaker>_<digit>_<take>
            assert row["digit"] == name.split("_")[3]
            assert row["wrd"] == DIGITS[int(row["digit"])]
            assert 0.2 < row["duration"] < 1.5
    assert synthesise_digits(tmp_path / "a", SMALL, progress=False) == folder
    assert len(quick) == len(plan_digits(SMALL))
    again = synthesise_digits(tmp_path / "b", SMALL, progress=False)
    assert contents(again) == contents(folder)


@needs_espeak
def test_a_stopped_synthesis_goes_on_where_it_was(tmp_path, quick, monkeypatch):
    counted = synthesis.render

    def stopping(said):
        if len(quick) == 5:
            raise KeyboardInterrupt
        return counted(said)

    monkeypatch.setattr(synthesis, "render", stopping)
    with pytest.raises(KeyboardInterrupt):
        synthesise_digits(tmp_path, SMALL, progress=False)
    assert not list(tmp_path.rglob("*.csv"))
    monkeypatch.setattr(synthesis, "render", counted)
    synthesise_digits(tmp_path, SMALL, progress=False)
    assert len(quick) == len(set(quick)) == len(plan_digits(SMALL))

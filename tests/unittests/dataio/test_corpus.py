"""The plan of the demo corpus."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.dataio.corpus import SPEAKERS, Settings, plan
from leanbrain.dataio.grammars import words

SMALL = Settings(("fr", "en"), train=40, valid=10, test=12, seed=3)


def test_default_sizes():
    said = plan(Settings())
    counts = Counter((one.language, one.split) for one in said)
    for language in ("en", "fr", "it", "nl"):
        assert counts[language, "train"] == 400
        assert counts[language, "valid"] == 50
        assert counts[language, "test"] == 60
    assert len(said) == 2040 == len({one.key for one in said})


def test_texts_are_disjoint_between_splits():
    texts = Counter((one.language, one.text) for one in plan(Settings()))
    assert set(texts.values()) == {1}


def test_every_word_is_trained():
    trained: dict[str, set[str]] = {}
    for one in plan(Settings()):
        if one.split == "train":
            trained.setdefault(one.language, set()).update(one.text.split())
    assert trained == {language: words(language) for language in trained}


def test_speakers_are_disjoint_between_splits():
    heard: dict[str, set[str]] = {}
    for one in plan(Settings()):
        heard.setdefault(one.split, set()).add(one.speaker)
    assert {s: len(v) for s, v in heard.items()} == {
        split: len(speakers) for split, speakers in SPEAKERS.items()
    }
    assert sum(map(len, heard.values())) == len(set().union(*heard.values()))
    known = {variant for variant, _ in SPEAKERS["train"]}
    assert known.isdisjoint(variant for variant, _ in SPEAKERS["test"])


def test_plan_depends_on_settings_only():
    first = plan(SMALL)
    torch.manual_seed(99)
    assert plan(SMALL) == first
    assert plan(replace(SMALL, seed=4)) != first


def test_a_language_does_not_depend_on_the_others():
    both = [one for one in plan(SMALL) if one.language == "en"]
    assert plan(replace(SMALL, languages=("en",))) == both


def test_languages_say_different_things():
    # The grammars are parallel: with one seed for all, test sentences of one
    # language would be translations of those of another.
    numbers = {
        language: [
            len(one.text) for one in plan(replace(SMALL, languages=(name,)))
        ]
        for language, name in (("en", "en"), ("nl", "nl"))
    }
    ordinals = torch.tensor([numbers["en"], numbers["nl"]], dtype=torch.double)
    assert torch.corrcoef(ordinals)[0, 1] < 0.5


def test_order_and_levels():
    said = plan(SMALL)
    order = {"train": 0, "valid": 1, "test": 2}
    keys = [(order[one.split], one.key) for one in said]
    assert keys == sorted(keys)
    assert all(0.2 <= one.peak <= 0.8 for one in said)
    assert all(25 <= one.snr_db <= 35 for one in said)
    assert len({one.rate for one in said if one.language == "fr"}) == 4


def test_order_of_languages_is_no_setting():
    assert Settings(("en", "fr")) == Settings(["fr", "en"])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"languages": ("en", "de")}, "`languages` must be one of .*got 'de'"),
        ({"languages": "en"}, "`languages` must be a list .*got 'en'"),
        ({"languages": ()}, r"`languages` must name at least one"),
        ({"train": 0}, "`train` must be an integer >= 1, got 0"),
        ({"valid": 1.5}, "`valid` must be an integer >= 1, got 1.5"),
        ({"test": -1}, "`test` must be an integer >= 1, got -1"),
        ({"seed": "x"}, "`seed` must be an integer, got 'x'"),
    ],
)
def test_bad_settings_are_named(change, match):
    with pytest.raises(UserError, match=match):
        Settings(**change)

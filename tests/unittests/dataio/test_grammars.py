"""Grammars: parallel, small, deterministic and clean text."""

import re
from collections import Counter

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.dataio.grammars import (
    GRAMMARS,
    draw_index,
    draw_sentences,
    words,
)

LANGUAGES = ["en", "fr", "it", "nl"]
SLOT = re.compile(r"{(\w+)}")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_languages():
    assert sorted(GRAMMARS) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_grammars_are_parallel(language):
    english, other = GRAMMARS["en"], GRAMMARS[language]
    assert list(other) == list(english)
    for rule, alternatives in english.items():
        assert len(other[rule]) == len(set(other[rule])) == len(alternatives)
    for ours, theirs in zip(
        other["sentence"], english["sentence"], strict=True
    ):
        assert Counter(SLOT.findall(ours)) == Counter(SLOT.findall(theirs))
    used = set(SLOT.findall(" ".join(other["sentence"])))
    assert used == set(other) - {"sentence"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_different_clean_and_covered(language):
    drawn = draw_sentences(language, 1000, seeded(1))
    assert len(drawn) == len(set(drawn)) == 1000
    assert 60 <= len(words(language)) <= 90
    assert {word for text in drawn for word in text.split()} == words(language)
    for text in drawn:
        assert text == text.lower() == " ".join(text.split())
        assert text.replace(" ", "").replace("'", "").isalpha()
        assert not re.search(r"(^|\s)'|'(\s|$)", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_choice_occurs_twice_in_a_sentence(language):
    digits = set(GRAMMARS[language]["digit"])
    devices = GRAMMARS[language]["device"]
    for text in draw_sentences(language, 500, seeded(2)):
        spoken = text.split()
        if set(spoken) <= digits:
            assert len(spoken) == len(set(spoken)) == 4
        assert all(text.count(device) <= 1 for device in devices)


def test_generator_alone_decides():
    before = torch.get_rng_state()
    first = draw_sentences("it", 50, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert draw_sentences("it", 50, seeded(3)) == first
    assert draw_sentences("it", 50, seeded(4)) != first


def test_choices_are_the_same_with_every_torch():
    generator = seeded(7)
    assert [draw_index(100, generator) for _ in range(4)] == [27, 27, 86, 65]
    assert draw_sentences("fr", 3, seeded(1234)) == [
        "ouvre la fenêtre dans la chambre l'après midi",
        "il y a de l'eau et du pain dans la chambre",
        "mon numéro est huit zéro six",
    ]


def test_index_is_uniform():
    generator = seeded(8)
    counts = Counter(draw_index(4, generator) for _ in range(4000))
    assert sorted(counts) == [0, 1, 2, 3]
    # Five standard deviations of a binomial count.
    assert all(abs(count - 1000) < 137 for count in counts.values())


def test_all_templates_are_equally_likely():
    generator = seeded(9)
    first = Counter(
        draw_sentences("en", 1, generator)[0].split()[0] for _ in range(1500)
    )
    # Each is the first word of one template in fifteen.
    for word in ("wake", "buy", "set", "what", "my", "we"):
        assert abs(first[word] - 100) < 50


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("de", 1), "`language` must be one of en, fr, it, nl; got 'de'"),
        (("en", 0), "`count` must be an integer >= 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(UserError, match=match):
        draw_sentences(*arguments, seeded(0))


def test_too_many_sentences_are_refused(monkeypatch):
    monkeypatch.setitem(
        GRAMMARS, "en", {"sentence": ["{a} {a}"], "a": ["x", "y", "z"]}
    )
    assert len(draw_sentences("en", 6, seeded(0))) == 6
    with pytest.raises(UserError, match=r"about 6 sentences\), got 7"):
        draw_sentences("en", 7, seeded(0))

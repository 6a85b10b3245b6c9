"""Texts that CTC learns: one Unicode form, and a frame for each character."""

import math
import unicodedata

import pytest
import torch

from leanbrain.dataio.audio import AudioFacts
from leanbrain.dataio.findings import Effect
from leanbrain.dataio.text_checks import (
    character_findings,
    compose,
    ctc_frames,
    length_findings,
    needed_frames,
)


def row(name, wrd):
    return {
        "ID": name,
        "wav": name,
        "wrd": wrd,
        "lang": "en",
        "spk_id": "s",
        "duration": 1.0,
    }


def test_every_split_is_composed_and_it_is_said():
    texts = ["café", unicodedata.normalize("NFD", "café"), "cafe"]
    rows = [row(str(i), text) for i, text in enumerate(texts)]
    composed, found = compose("test", rows)
    assert [x["wrd"] for x in composed] == ["café", "café", "cafe"]
    assert [(x.name, x.effect) for x in found] == [("1", Effect.MENDED)]
    assert rows[1]["wrd"] == texts[1]
    again, found = compose("test", composed)
    assert again == composed and not found


@pytest.mark.parametrize("text", ["a", "ab", "aa", "hello", "aaab", "a  b"])
def test_needed_frames_are_those_of_ctc(text):
    """With a frame less, no path gives the text: the loss is infinite."""
    target = torch.tensor([[ord(x) % 96 + 1 for x in text]])
    length = torch.tensor([len(text)])

    def loss(frames):
        return torch.nn.functional.ctc_loss(
            torch.full((frames, 1, 98), 1 / 98).log(),
            target,
            torch.tensor([frames]),
            length,
            reduction="sum",
        )

    assert loss(needed_frames(text)).isfinite()
    if needed_frames(text) > 1:
        assert loss(needed_frames(text) - 1).isinf()


@pytest.mark.parametrize("samples", [1, 79, 80, 319, 320, 321, 8000, 12345])
def test_frames_are_those_of_the_recognisers_strides(samples):
    """Frames of 10 ms at 8 kHz, then two strides of 2."""
    frames = 1 + samples // 80
    frames = math.ceil(math.ceil(frames / 2) / 2)
    assert ctc_frames(samples / 8000, 0.04) == frames


def lengths(texts, seconds=1.0):
    rows = [row(str(i), text) for i, text in enumerate(texts)]
    found = {x["wav"]: AudioFacts(int(8000 * seconds), 8000, 1) for x in rows}
    return list(length_findings("train", rows, found, 0.04))


def test_a_few_texts_that_are_too_long_are_listed():
    long = "ab" * 13 + "c"
    assert lengths(["ab" * 13]) == []  # 26 frames
    assert lengths(["ab" * 12 + "aa"]) != []  # a blank between the two
    (found,) = lengths([long] + ["ab"] * 9)
    assert found.effect is Effect.KEPT and found.name == "0"
    assert found.got == "26 frames, where CTC needs 27"


def test_texts_that_are_too_long_throughout_are_refused():
    found = lengths(["ab" * 20] * 2 + ["ab"] * 9)
    assert {x.effect for x in found} == {Effect.REFUSED} and len(found) == 2


def test_a_text_without_audio_is_the_audios_fault():
    assert lengths(["ab"], seconds=0) == []


def test_characters_that_training_has_not_are_listed():
    splits = {
        "train": [row("a", "yes")],
        "valid": [row("b", "see")],
        "test": [row("c", "no"), row("d", "Yes"), row("e", "es")],
    }
    found = list(character_findings(splits, "train"))
    assert [(x.split, x.name) for x in found] == [("test", "c"), ("test", "d")]
    assert found[0].got == "'n' (U+006E), 'o' (U+006F)"
    assert found[1].got == "'Y' (U+0059)"
    assert all(x.effect is Effect.KEPT for x in found)

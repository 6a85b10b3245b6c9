"""The plan of the demo corpus: who says what, how fast and how loud.

The plan follows from a few settings alone; no audio is needed to make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from leanbrain.checks import check_int, check_known, check_names
from leanbrain.dataio.grammars import GRAMMARS, draw_index, draw_sentences
from leanbrain.dataio.manifests import SPLITS
from leanbrain.dataio.rendering import Utterance, seed_of

__all__ = ["SPEAKERS", "Settings", "checked_languages", "plan"]

# (variant, pitch): no speaker and no voice variant of test is in train.
SPEAKERS = {
    "train": [
        ("m1", 45),
        ("m1", 60),
        ("m3", 40),
        ("m3", 55),
        ("m4", 50),
        ("f1", 50),
        ("f2", 45),
        ("f2", 60),
        ("f4", 40),
        ("f4", 55),
    ],
    "valid": [("m4", 40), ("f1", 60)],
    "test": [("m6", 50), ("f5", 50)],
}
# Words per minute. English and French write letters that they do not speak:
# they are slower, so that CTC has a frame for each letter (and one between
# doubled letters) also at 25 frames per second.
RATES = {
    "en": (150, 162, 174, 186),
    "fr": (135, 145, 155, 165),
    "it": (165, 180, 195, 210),
    "nl": (165, 180, 195, 210),
}
PEAKS = (0.2, 0.8)
SNRS_DB = (25.0, 35.0)


@dataclass(frozen=True)
class Settings:
    """What a corpus consists of.

    Arguments
    ---------
    languages : Sequence[str]
        Some of en, fr, it, nl. Leaving one out does not change the others.
    train : int
        Training utterances per language.
    valid : int
        Validation utterances per language.
    test : int
        Test utterances per language.
    seed : int
        Of texts, voices, levels and noise.

    Example
    -------
    >>> Settings(("en", "nl"), train=20, valid=5, test=5).train
    20
    """

    languages: Sequence[str] = ("en", "fr", "it", "nl")
    train: int = 400
    valid: int = 50
    test: int = 60
    seed: int = 1234

    def __post_init__(self) -> None:
        languages = checked_languages(self.languages)
        object.__setattr__(self, "languages", languages)
        for split in SPLITS:
            check_int(split, getattr(self, split), low=1)
        check_int("seed", self.seed)


def checked_languages(languages: Sequence[str]) -> tuple[str, ...]:
    """Languages that can be spoken, sorted, each once.

    The order and repetitions shall not make another corpus.

    Raises
    ------
    UserError
        If there is none, or one that is not known.
    """
    for language in check_names("languages", languages):
        check_known("languages", language, GRAMMARS)
    return tuple(sorted(languages))


def plan(settings: Settings) -> list[Utterance]:
    """Decides all utterances of a corpus, without any audio.

    Arguments
    ---------
    settings : Settings
        What to plan; equal settings give equal plans.

    Returns
    -------
    list
        Utterances, sorted by split in the order of SPLITS, then by key. No
        text of a language occurs twice, neither within a split nor across.

    Example
    -------
    >>> said = plan(Settings(("en",), train=2, valid=1, test=1))
    >>> [utterance.key for utterance in said]
    ['en_train_0000', 'en_train_0001', 'en_valid_0000', 'en_test_0000']
    """
    utterances = []
    for language in settings.languages:
        generator = torch.Generator().manual_seed(
            seed_of(settings.seed, language)
        )
        sizes = [getattr(settings, split) for split in SPLITS]
        texts = iter(draw_sentences(language, sum(sizes), generator))
        for split, size in zip(SPLITS, sizes, strict=True):
            utterances += [
                _cast(language, split, number, next(texts), generator)
                for number in range(size)
            ]
    return sorted(
        utterances, key=lambda said: (SPLITS.index(said.split), said.key)
    )


def _cast(
    language: str,
    split: str,
    number: int,
    text: str,
    generator: torch.Generator,
) -> Utterance:
    """Draws a speaker, a speed and levels for a text."""

    def between(low: float, high: float) -> float:
        """Draws a number of a range."""
        return low + (high - low) * draw_index(1000, generator) / 1000

    speakers, rates = SPEAKERS[split], RATES[language]
    variant, pitch = speakers[draw_index(len(speakers), generator)]
    return Utterance(
        key=f"{language}_{split}_{number:04d}",
        split=split,
        language=language,
        text=text,
        variant=variant,
        pitch=pitch,
        rate=rates[draw_index(len(rates), generator)],
        peak=between(*PEAKS),
        snr_db=between(*SNRS_DB),
    )

"""Synthetic spoken digits: ten words in four languages, made on the spot.

Every speaker says every digit of every language a few times, at other speeds
and levels. No speaker and no voice variant of test is in train.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from leanbrain.checks import check_int
from leanbrain.dataio import synthesis
from leanbrain.dataio.corpus import (
    PEAKS,
    RATES,
    SNRS_DB,
    SPEAKERS,
    checked_languages,
)
from leanbrain.dataio.grammars import GRAMMARS, draw_index
from leanbrain.dataio.manifests import COLUMNS, SPLITS, write_manifest
from leanbrain.dataio.rendering import Utterance, seed_of
from leanbrain.files import write_json

__all__ = [
    "DIGITS",
    "DIGIT_COLUMNS",
    "DigitSettings",
    "plan_digits",
    "synthesise_digits",
]

DIGITS = tuple(GRAMMARS["en"]["digit"])
"""English names of the digits 0 to 9: what `wrd` holds in every language."""

DIGIT_COLUMNS = (*COLUMNS, "digit")

DONE = "digits.json"


@dataclass(frozen=True)
class DigitSettings:
    """What a corpus of digits consists of.

    Arguments
    ---------
    languages : Sequence[str]
        Some of en, fr, it, nl. Leaving one out does not change the others.
    train : int
        How often each of the 10 training speakers says each digit in each
        language.
    valid : int
        The same for the 2 validation speakers.
    test : int
        The same for the 2 test speakers.
    seed : int
        Of speeds, levels and noise.

    Example
    -------
    >>> len(plan_digits(DigitSettings(("en",), train=1, valid=1, test=2)))
    160
    """

    languages: Sequence[str] = ("en", "fr", "it", "nl")
    train: int = 2
    valid: int = 2
    test: int = 3
    seed: int = 1234

    def __post_init__(self) -> None:
        languages = checked_languages(self.languages)
        object.__setattr__(self, "languages", languages)
        for split in SPLITS:
            check_int(split, getattr(self, split), low=1)
        check_int("seed", self.seed)


def plan_digits(settings: DigitSettings) -> list[Utterance]:
    """Decides all utterances of a corpus, without any audio.

    Arguments
    ---------
    settings : DigitSettings
        What to plan; equal settings give equal plans.

    Returns
    -------
    list
        Utterances, sorted by split in the order of SPLITS, then by key
        `<language>_<split>_<speaker>_<digit>_<take>`.

    Example
    -------
    >>> plan_digits(DigitSettings(("fr",), train=1, valid=1, test=1))[3].text
    'trois'
    """
    utterances = [
        _cast(settings.seed, language, split, speaker, digit, take)
        for language in settings.languages
        for split in SPLITS
        for speaker in SPEAKERS[split]
        for digit in range(len(DIGITS))
        for take in range(getattr(settings, split))
    ]
    return sorted(
        utterances, key=lambda said: (SPLITS.index(said.split), said.key)
    )


def synthesise_digits(
    cache_folder: str | os.PathLike[str],
    settings: DigitSettings | None = None,
    progress: bool = True,
) -> Path:
    """Makes the corpus of digits, or finds it in the cache.

    Arguments
    ---------
    cache_folder : path
        Corpora are kept in folders below it, one for each settings.
    settings : DigitSettings
        None means the default ones: 1200 utterances, half a minute.
    progress : bool
        Whether to show a bar with the time left.

    Returns
    -------
    Path
        The folder with train.csv, valid.csv, test.csv and the audio; `wrd` is
        the English name of the digit in all languages.

    Raises
    ------
    UserError
        When the extra `demo` is not installed or the disk is full.
    """
    settings = settings or DigitSettings()
    utterances = plan_digits(settings)
    described = synthesis.describe(settings, utterances)
    name = synthesis.digest(described)
    folder = Path(cache_folder, f"digits-{name}")
    if (folder / DONE).is_file():
        return folder
    rows = synthesis.render_all(folder, utterances, progress)
    by_split: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for said, row in zip(utterances, rows, strict=True):
        digit = _digit_of(said)
        by_split[said.split].append(
            {**row, "wrd": DIGITS[digit], "digit": digit}
        )
    for split in SPLITS:
        write_manifest(folder / f"{split}.csv", by_split[split], DIGIT_COLUMNS)
    # Last: its presence says that the corpus is complete.
    write_json(folder / DONE, described)
    return folder


def _cast(
    seed: int,
    language: str,
    split: str,
    speaker: tuple[str, int],
    digit: int,
    take: int,
) -> Utterance:
    """Draws a speed and levels for one digit of one speaker."""
    variant, pitch = speaker
    key = f"{language}_{split}_{variant}p{pitch}_{digit}_{take}"
    # A generator for each: more takes leave those that exist as they are.
    generator = torch.Generator().manual_seed(seed_of(seed, "digits", key))

    def between(low: float, high: float) -> float:
        """Draws a number of a range."""
        return low + (high - low) * draw_index(1000, generator) / 1000

    rates = RATES[language]
    return Utterance(
        key=key,
        split=split,
        language=language,
        text=GRAMMARS[language]["digit"][digit],
        variant=variant,
        pitch=pitch,
        rate=rates[draw_index(len(rates), generator)],
        peak=between(*PEAKS),
        snr_db=between(*SNRS_DB),
    )


def _digit_of(said: Utterance) -> int:
    return GRAMMARS[said.language]["digit"].index(said.text)

"""Small sentence grammars in English, French, Italian and Dutch.

The four grammars say the same things in the same order: home control,
shopping, weather, directions, appointments and numbers, with 80 to 90 words
each. Texts are lower case, without punctuation other than the apostrophe
inside words, and without digits.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from leanbrain.checks import UserError, check_int, check_known
from leanbrain.dataio.grammar_texts import GRAMMARS

__all__ = ["GRAMMARS", "draw_index", "draw_sentences", "words"]

_SLOT = re.compile(r"{(\w+)}")


def draw_sentences(
    language: str, count: int, generator: torch.Generator
) -> list[str]:
    """Draws different sentences of one language.

    Every template is equally likely; within one sentence no slot is filled
    twice with the same words.

    Arguments
    ---------
    language : str
        A key of ``GRAMMARS``.
    count : int
        How many sentences, at least 1. Each grammar has several thousand.
    generator : torch.Generator
        Decides alone what is drawn.

    Returns
    -------
    list
        `count` sentences, no two of them equal, in the order drawn.

    Raises
    ------
    UserError
        For an unknown language, or when the grammar is too small.

    Example
    -------
    >>> draw_sentences("nl", 2, torch.Generator().manual_seed(0))[1]
    'wat wordt het weer zaterdag in de ochtend'
    """
    grammar = GRAMMARS[check_known("language", language, GRAMMARS)]
    check_int("count", count, low=1)
    # A dict is a set that keeps the order.
    drawn: dict[str, None] = {}
    for _ in range(100 * count):
        drawn[_expand(grammar, generator)] = None
        if len(drawn) == count:
            return list(drawn)
    raise UserError(
        f"`count` must be at most what the grammar {language!r} can say "
        f"(about {len(drawn)} sentences), got {count}."
    )


def draw_index(size: int, generator: torch.Generator) -> int:
    """Draws an index below `size`.

    ``torch.randint`` has changed its numbers between versions of torch; a
    double between 0 and 1 has not, so it is the source of every choice here.

    Arguments
    ---------
    size : int
        Number of choices.
    generator : torch.Generator
        Decides alone what is drawn.

    Returns
    -------
    int
        0 <= index < size, each equally likely.

    Example
    -------
    >>> draw_index(1, torch.Generator())
    0
    """
    share = torch.rand((), dtype=torch.float64, generator=generator)
    return int(share.item() * size)


def words(language: str) -> set[str]:
    """Returns all words that sentences of one language can contain.

    Arguments
    ---------
    language : str
        A key of ``GRAMMARS``.

    Returns
    -------
    set
        Words as they are written, including their apostrophes.

    Example
    -------
    >>> "l'hôtel" in words("fr")
    True
    """
    grammar = GRAMMARS[check_known("language", language, GRAMMARS)]
    texts = [text for rule in grammar.values() for text in rule]
    return set(_SLOT.sub("", " ".join(texts)).split())


def _expand(
    grammar: Mapping[str, Sequence[str]], generator: torch.Generator
) -> str:
    """Fills the slots of a drawn template from left to right."""
    used: dict[str, set[str]] = defaultdict(set)

    def choose(rule: str) -> str:
        """Draws a text of a rule that is not used yet."""
        free = [text for text in grammar[rule] if text not in used[rule]]
        chosen = free[draw_index(len(free), generator)]
        used[rule].add(chosen)
        return chosen

    return _SLOT.sub(lambda slot: choose(slot.group(1)), choose("sentence"))

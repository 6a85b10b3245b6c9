"""Texts in the form in which they are compared."""

import unicodedata

TILDE = "\u0303"  # of ñ, a letter of its own


def normalise(text, fold=False):
    """Lower case, words alone, single spaces.

    Arguments
    ---------
    text : str
        What was said or heard.
    fold : bool
        Whether accents count for nothing; ñ stays.

    Returns
    -------
    str

    Example
    -------
    >>> normalise(" ¿Cuántos  años?", fold=True)
    'cuantos años'
    """
    text = unicodedata.normalize("NFC", text).lower().replace("ё", "е")
    text = text.replace("’", "'")
    if fold:
        letters = unicodedata.normalize("NFD", text)
        kept = (
            c for c in letters if c == TILDE or unicodedata.category(c) != "Mn"
        )
        text = unicodedata.normalize("NFC", "".join(kept))
    return " ".join("".join(c if spelt(c) else " " for c in text).split())


def spelt(character):
    """Whether a character is a part of words: letters and digits are.

    So are marks, which are not letters to `re`: in Hindi or Thai they are the
    vowels.
    """
    return character == "'" or unicodedata.category(character)[0] in "LNM"

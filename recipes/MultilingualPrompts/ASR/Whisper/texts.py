"""Texts in the form in which they are compared."""

import re
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
    return " ".join(re.sub(r"[^\w' ]+|_", " ", text).split())

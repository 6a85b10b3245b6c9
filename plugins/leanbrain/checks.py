"""Checks of what users pass in: one style of message for the whole package.

Every check returns the value it was given, in the type that it checked for,
or raises `UserError` with one sentence that names the setting, the rule and
the value it got.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "UserError",
    "check_callable",
    "check_fraction",
    "check_int",
    "check_known",
    "check_names",
    "check_positive",
    "nearest",
]


class UserError(ValueError):
    """An error that the user of a recipe can mend: one sentence, no jargon.

    Example
    -------
    >>> raise UserError("`amount` must be in [0, 1), got 1.2.")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `amount` must be in [0, 1), got 1.2.
    """


def check_fraction(
    name: str,
    value: Any,
    *,
    low: float = 0.0,
    high: float = 1.0,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Checks that a number lies in an interval.

    Arguments
    ---------
    name : str
        The setting as the user knows it: an argument or a YAML key.
    value : Any
        What the user gave.
    low : float
        Lower end of the interval.
    high : float
        Upper end of the interval.
    low_open : bool
        Whether the lower end itself is refused.
    high_open : bool
        Whether the upper end itself is refused.

    Returns
    -------
    float
        The value.

    Raises
    ------
    UserError
        If the value is no real number or lies outside; NaN always does.

    Example
    -------
    >>> check_fraction("amount", 0.5)
    0.5
    >>> check_fraction("amount", 1.2, high_open=True)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `amount` must be in [0, 1), got 1.2.
    """
    left, right = "(" if low_open else "[", ")" if high_open else "]"
    rule = f"be in {left}{low:g}, {high:g}{right}"
    number = _as_float(name, rule, value)
    above = number > low if low_open else number >= low
    below = number < high if high_open else number <= high
    if not (above and below):
        raise _broken(name, rule, value)
    return number


def check_positive(name: str, value: Any) -> float:
    """Checks that a number is finite and above zero.

    Arguments
    ---------
    name : str
        The setting as the user knows it.
    value : Any
        What the user gave.

    Returns
    -------
    float
        The value.

    Raises
    ------
    UserError
        If the value is no real number, not finite, zero or negative.

    Example
    -------
    >>> check_positive("temperature", 2)
    2.0
    """
    rule = "be a finite number > 0"
    number = _as_float(name, rule, value)
    if not (math.isfinite(number) and number > 0):
        raise _broken(name, rule, value)
    return number


def check_int(name: str, value: Any, *, low: int | None = None) -> int:
    """Checks that a value is a whole number.

    Arguments
    ---------
    name : str
        The setting as the user knows it.
    value : Any
        What the user gave. True and False are refused, 3.0 is taken as 3.
    low : int | None
        The smallest value that is allowed; None allows any.

    Returns
    -------
    int
        The value.

    Raises
    ------
    UserError
        If the value is not a whole number or is below `low`.

    Example
    -------
    >>> check_int("interval", 0, low=1)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `interval` must be an integer >= 1, got 0.
    """
    rule = "be an integer" if low is None else f"be an integer >= {low}"
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        # Not by way of float: that would round above 2 ** 53.
        number = int(value)
    else:
        real = _as_float(name, rule, value)
        if not real.is_integer():
            raise _broken(name, rule, value)
        number = int(real)
    if low is not None and number < low:
        raise _broken(name, rule, value)
    return number


def check_callable(name: str, value: Any) -> Callable[..., Any]:
    """Checks that a value can be called.

    Arguments
    ---------
    name : str
        The setting as the user knows it.
    value : Any
        What the user gave; in YAML a `!name:` gives a callable.

    Returns
    -------
    callable
        The value.

    Raises
    ------
    UserError
        If the value cannot be called.

    Example
    -------
    >>> check_callable("schedule", "cubic")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `schedule` must be callable (in YAML: `!name:`), got 'cubic'.
    """  # noqa: E501
    if not callable(value):
        raise _broken(name, "be callable (in YAML: `!name:`)", value)
    return value


def check_known(name: str, value: Any, known: Iterable[str]) -> str:
    """Checks that a name is one of those that exist.

    Arguments
    ---------
    name : str
        The setting as the user knows it.
    value : Any
        What the user gave.
    known : Iterable[str]
        The names that exist.

    Returns
    -------
    str
        The value.

    Raises
    ------
    UserError
        If the value is not among them; the message offers the nearest ones.

    Example
    -------
    >>> check_known("pathway", "eng", ["en", "fr"])
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `pathway` must be one of en, fr; got 'eng' (nearest: en).
    """  # noqa: E501
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    texts = [x for x in names if isinstance(x, str)]
    close = nearest(value, texts) if isinstance(value, str) else []
    hint = f" (nearest: {', '.join(close)})" if close else ""
    listed = ", ".join(map(_shown, names)) if names else "an empty list"
    alike = not isinstance(value, str) and str(value) in texts
    got = _shown(value) if alike else repr(value)
    raise UserError(f"`{name}` must be one of {listed}; got {got}{hint}.")


def check_names(name: str, values: Any) -> tuple[str, ...]:
    """Checks a list of different names, such as languages.

    Arguments
    ---------
    name : str
        The setting as the user knows it.
    values : Any
        What the user gave.

    Returns
    -------
    tuple
        The names.

    Raises
    ------
    UserError
        If it is no list, is empty, or holds anything but different texts: in
        YAML 1 is a number, and no may be False.

    Example
    -------
    >>> check_names("languages", ["en", "fr"])
    ('en', 'fr')
    >>> check_names("languages", [1, 2])
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `languages` must be a list of names, got 1 \
(type int; as a name it takes quotes in YAML).
    """
    rule = "be a list of names"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise _broken(name, rule, values)
    names = tuple(values)
    for value in names:
        if not isinstance(value, str):
            raise UserError(f"`{name}` must {rule}, got {_shown(value)}.")
        if not value.strip():
            raise UserError(f"`{name}` must {rule}, got {value!r}.")
    if not names:
        raise UserError(f"`{name}` must name at least one, got none.")
    if len(set(names)) < len(names):
        twice = next(x for x in names if names.count(x) > 1)
        raise UserError(f"`{name}` must name each one once, got {twice} twice.")
    return names


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Finds the names that look most like a misspelt one.

    Arguments
    ---------
    name : str
        The name that was not found.
    known : Iterable[str]
        The names that exist.
    n : int
        How many to return at most.

    Returns
    -------
    list
        Up to `n` names, best first; empty if none resembles `name`.

    Example
    -------
    >>> nearest("model.RNM.weight", ["model.RNN.weight", "model.CNN.bias"], n=1)
    ['model.RNN.weight']
    """
    return difflib.get_close_matches(name, list(known), n=n, cutoff=0.4)


def _shown(value: Any) -> str:
    """A name as it is; what is none, with what it is taken for."""
    if isinstance(value, str):
        return value
    kind = type(value).__name__
    return f"{value!r} (type {kind}; as a name it takes quotes in YAML)"


def _as_float(name: str, rule: str, value: Any) -> float:
    """Returns a real number as float; anything else breaks the rule."""
    # Strings that look like numbers are refused as well: YAML gives a string
    # where a user forgot a dot or a colon, and guessing would hide that.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _broken(name, rule, value)
    return float(value)


def _broken(name: str, rule: str, value: Any) -> UserError:
    """Builds the sentence: name, rule, value got."""
    return UserError(f"`{name}` must {rule}, got {value!r}.")

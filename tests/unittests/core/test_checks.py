"""Every check: what it takes, what it refuses and the whole sentence."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanbrain.checks import (
    UserError,
    check_callable,
    check_fraction,
    check_int,
    check_known,
    check_names,
    check_positive,
    nearest,
)

REFUSED = [
    (check_fraction, 1.2, {}, "`x` must be in [0, 1], got 1.2."),
    (check_fraction, -0.1, {}, "`x` must be in [0, 1], got -0.1."),
    (
        check_fraction,
        1.0,
        {"high_open": True},
        "`x` must be in [0, 1), got 1.0.",
    ),
    (check_fraction, 0, {"low_open": True}, "`x` must be in (0, 1], got 0."),
    (
        check_fraction,
        5,
        {"low": 1.5, "high": 4.0},
        "`x` must be in [1.5, 4], got 5.",
    ),
    (check_fraction, math.nan, {}, "`x` must be in [0, 1], got nan."),
    (check_fraction, "0.5", {}, "`x` must be in [0, 1], got '0.5'."),
    (check_fraction, True, {}, "`x` must be in [0, 1], got True."),
    (check_fraction, None, {}, "`x` must be in [0, 1], got None."),
    (check_positive, 0, {}, "`x` must be a finite number > 0, got 0."),
    (check_positive, -2.5, {}, "`x` must be a finite number > 0, got -2.5."),
    (check_positive, math.inf, {}, "`x` must be a finite number > 0, got inf."),
    (check_positive, math.nan, {}, "`x` must be a finite number > 0, got nan."),
    (check_positive, True, {}, "`x` must be a finite number > 0, got True."),
    (check_positive, 1j, {}, "`x` must be a finite number > 0, got 1j."),
    (check_int, 0, {"low": 1}, "`x` must be an integer >= 1, got 0."),
    (check_int, 1.5, {}, "`x` must be an integer, got 1.5."),
    (check_int, math.inf, {}, "`x` must be an integer, got inf."),
    (check_int, math.nan, {"low": 0}, "`x` must be an integer >= 0, got nan."),
    (check_int, True, {}, "`x` must be an integer, got True."),
    (check_int, "3", {}, "`x` must be an integer, got '3'."),
    (
        check_callable,
        "cubic",
        {},
        "`x` must be callable (in YAML: `!name:`), got 'cubic'.",
    ),
    (
        check_known,
        "eng",
        {"known": ["fr", "en"]},
        "`x` must be one of fr, en; got 'eng' (nearest: en).",
    ),
    (
        check_known,
        "zz",
        {"known": ["fr", "en"]},
        "`x` must be one of fr, en; got 'zz'.",
    ),
    (
        check_known,
        "ens",
        {"known": iter(["fr", "en"])},
        "`x` must be one of fr, en; got 'ens' (nearest: en).",
    ),
    (check_known, 3, {"known": ["fr"]}, "`x` must be one of fr; got 3."),
    (
        check_known,
        "fr",
        {"known": []},
        "`x` must be one of an empty list; got 'fr'.",
    ),
]


@pytest.mark.parametrize("check, value, settings, sentence", REFUSED)
def test_refused_in_one_sentence(check, value, settings, sentence):
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        check("x", value, **settings)


TAKEN = [
    (check_fraction, 0, {}, 0.0),
    (check_fraction, 1, {}, 1.0),
    (check_fraction, 0.25, {"low_open": True, "high_open": True}, 0.25),
    (check_fraction, np.float32(0.5), {}, 0.5),
    (check_positive, 1e-30, {}, 1e-30),
    (check_positive, 2, {}, 2.0),
    (check_int, -3, {}, -3),
    (check_int, 1, {"low": 1}, 1),
    (check_int, 3.0, {}, 3),
    (check_int, np.int64(7), {"low": 0}, 7),
    (check_int, 2**60 + 1, {}, 2**60 + 1),
    (check_callable, math.sqrt, {}, math.sqrt),
    (check_known, "en", {"known": (x for x in ["fr", "en"])}, "en"),
]


@pytest.mark.parametrize("check, value, settings, expected", TAKEN)
def test_taken_and_converted(check, value, settings, expected):
    got = check("x", value, **settings)
    assert got == expected
    assert type(got) is type(expected)


@given(
    value=st.floats(allow_nan=False),
    low=st.floats(-10, 10),
    width=st.floats(0, 10),
    low_open=st.booleans(),
    high_open=st.booleans(),
)
def test_fraction_against_definition(value, low, width, low_open, high_open):
    high = low + width
    inside = low <= value <= high
    inside &= not (low_open and value == low)
    inside &= not (high_open and value == high)
    settings = {
        "low": low,
        "high": high,
        "low_open": low_open,
        "high_open": high_open,
    }
    if inside:
        assert check_fraction("x", value, **settings) == value
    else:
        with pytest.raises(UserError, match="must be in"):
            check_fraction("x", value, **settings)


def test_nearest_is_sorted_and_short():
    known = ["model.RNN.weight", "model.RNN.bias", "model.CNN.weight", "zzz"]
    assert nearest("model.RNM.weight", known, n=2) == [
        "model.RNN.weight",
        "model.CNN.weight",
    ]
    assert nearest("12345", known) == []


def test_user_error_is_a_value_error():
    # Callers that know nothing of LeanBrain can still catch it.
    with pytest.raises(ValueError, match="must be in"):
        check_fraction("x", 2)


NAMES = [
    ("en", "must be a list of names, got 'en'."),
    (None, "must be a list of names, got None."),
    (5, "must be a list of names, got 5."),
    ([], "must name at least one, got none."),
    (["en", "en"], "must name each one once, got en twice."),
    (["en", " "], "must be a list of names, got ' '."),
    ([1, 2], "got 1 (type int; as a name it takes quotes in YAML)."),
    (["en", False], "got False (type bool; as a name it takes quotes"),
    (["en", None], "got None (type NoneType; as a name it takes quotes"),
]


@pytest.mark.parametrize(("values", "sentence"), NAMES)
def test_lists_of_names(values, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_names("languages", values)
    assert check_names("languages", iter(["1", "no"])) == ("1", "no")


def test_a_number_is_told_from_its_name():
    """In YAML 1 is a number: both would print the same."""
    with pytest.raises(UserError, match=r"one of 1, 2; got 1 \(type int; as"):
        check_known("languages", 1, ["1", "2"])
    with pytest.raises(UserError, match=r"one of 1 \(type int; .*; got '1'"):
        check_known("pathway", "1", {1: "masks.pt"})

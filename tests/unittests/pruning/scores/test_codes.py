"""Narrow formats keep order, zero and the full scale."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.scores.codes import code_of

# Largest relative error of a rounding to nearest.
ERRORS = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8, "int8": 2**-5}


@pytest.mark.parametrize("name", ERRORS)
def test_round_trip(name):
    code = code_of(name)
    values = torch.logspace(0, -4.5, 1000) * code.full
    stored = torch.empty(1000, dtype=code.dtype)
    code.encode(values.clone(), stored)
    result = code.decode(stored, torch.empty(1000))
    error = ((result - values) / values).abs().max()
    assert error <= ERRORS[name] * 1.0001
    assert (result.diff() <= 0).all()
    assert result[0] == code.full


@pytest.mark.parametrize("name", ERRORS)
def test_nothing_ranks_below_zero_or_above_full(name):
    code = code_of(name)
    values = torch.tensor([0.0, 1e-6, 0.5, 1.0, 1.0 + 1e-6]) * code.full
    stored = torch.empty(5, dtype=code.dtype)
    code.encode(values, stored)
    result = code.decode(stored, torch.empty(5)) / code.full
    assert result.sort().values.equal(result)
    assert 0 <= result[0] <= 1 / 63488
    assert result[4] <= 1.0 + 1e-5


def test_int8_uses_all_levels():
    code = code_of("int8")
    levels = torch.arange(-128, 128).to(torch.int8)
    values = code.decode(levels, torch.empty(256))
    assert values[0] == 1.0 and values[255] == code.full == 63488.0
    stored = torch.empty_like(levels)
    code.encode(values.clone(), stored)
    assert torch.equal(stored, levels)


def test_dtypes_by_object_and_by_name():
    assert code_of(torch.bfloat16) is code_of("bfloat16")
    for unknown in (torch.float8_e4m3fn, "float8", torch.int32):
        with pytest.raises(UserError, match="`dtype` must be one of float32"):
            code_of(unknown)

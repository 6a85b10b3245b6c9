"""The reader of model files: right, or one sentence; never another error."""

import math
import struct

import numpy as np
import pytest

from leanbrain.checks import UserError

SMALL = [
    ("a/weight", np.arange(6, dtype="float16").reshape(2, 3)),
    ("a/bias", np.arange(3, dtype="float32")),
    ("heads", np.int16(8)),
]


@pytest.fixture
def read(piece, tmp_path):
    """Reads a file with these bytes."""
    module = piece("ctranslate2_file")

    def read(data):
        path = tmp_path / "model.bin"
        path.write_bytes(data)
        return module.read_model_file(path)

    return read


def test_it_finds_what_was_written(read, tiny):
    found = read(tiny.bytes(SMALL, [("b", "a/bias")], spec="Spec"))
    assert found.spec == "Spec" and found.aliases == {"b": "a/bias"}
    assert list(found.variables) == [name for name, _ in SMALL]
    for name, array in SMALL:
        assert found.variables[name].dtype == array.dtype
        np.testing.assert_array_equal(found.variables[name], array)


def test_no_cut_file_is_read(read, tiny):
    whole = tiny.bytes(SMALL, [("b", "a/bias")])
    for size in range(len(whole)):
        with pytest.raises(UserError, match="must be a model of CTranslate2"):
            read(whole[:size])


def test_any_changed_byte_is_read_or_refused(read, tiny):
    whole = tiny.bytes(SMALL, [("b", "a/bias")])
    refused = 0
    for place in range(len(whole)):
        for value in (0, 1, 0x7F, 0xFF):
            data = bytearray(whole)
            data[place] = value
            try:
                read(bytes(data))
            except UserError:
                refused += 1
    assert refused > len(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b(SMALL, version=5), "got version 5"),
        (lambda b: b(SMALL) + b"x", "its end must be here"),
        (lambda b: b([*SMALL, SMALL[0]]), "got it twice"),
        (lambda b: b(SMALL, [("a", "z")]), "'a' cannot stand for 'z'"),
        (lambda b: b(SMALL, [("heads", "a/bias")]), "cannot stand for"),
        (lambda b: b(SMALL).replace(b"heads", b"he\nds"), "a name must be"),
        (lambda b: b"PK\3\4" + bytes(100), "got version 67324752"),
        (lambda b: b"", "4 more bytes must follow"),
    ],
    ids=["version", "end", "twice", "alias", "taken", "name", "zip", "empty"],
)
def test_what_is_wrong_is_said(read, tiny, change, words):
    with pytest.raises(UserError, match=words):
        read(change(tiny.bytes))


def test_sizes_that_no_machine_has_are_not_asked_for(read, tiny):
    whole = tiny.bytes([("a", np.zeros((2, 3), "float32"))])
    huge = whole.replace(bytes([2, 0, 0, 0, 3, 0, 0, 0]), b"\xff" * 8)
    assert huge != whole
    with pytest.raises(UserError, match="cannot be of shape"):
        read(huge)


@pytest.mark.parametrize("shape", [(1,) * 100, (0, *(2**32 - 1,) * 19)])
def test_shapes_that_no_array_has(read, shape):
    """Their bytes are as many as they say; NumPy would refuse them."""
    head = struct.pack(f"<B{len(shape)}IB", len(shape), *shape, 0)
    size = 4 * math.prod(shape)
    data = struct.pack("<I", 6) + b"\5\0Spec\0" + struct.pack("<II", 3, 1)
    data += b"\2\0a\0" + head + struct.pack("<I", size) + bytes(size + 4)
    with pytest.raises(UserError, match="'a' cannot be of shape"):
        read(data)


def test_a_file_that_is_not_there(piece, tmp_path):
    with pytest.raises(UserError, match="No such file"):
        piece("ctranslate2_file").read_model_file(tmp_path / "none")

"""Reads the model files of CTranslate2: tensors by name, nothing is executed.

Every length that a file states is compared with the bytes that are left in it
before anything is read, so that a corrupt file is one sentence.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leanbrain.checks import UserError

VERSION = 6  # of the format
MOST_DIMENSIONS = 8  # Whisper's tensors have three
# Number in the file -> type. 5 is bfloat16, which NumPy has not.
TYPES = {
    0: np.dtype("<f4"),
    1: np.dtype("<i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Arguments
    ---------
    spec : str
        The kind of model, such as "WhisperSpec".
    variables : dict
        Name -> array, read-only.
    aliases : dict
        Further name -> the name of the variable that it stands for.
    """

    spec: str
    variables: dict[str, np.ndarray]
    aliases: dict[str, str]


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Reads a model file to its end.

    Arguments
    ---------
    path : path
        A `model.bin` of CTranslate2.

    Returns
    -------
    ModelFile

    Raises
    ------
    UserError
        If the file is missing, or no such file from its first byte to its
        last.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _read(_Bytes(path, stream, size))
    except OSError as error:
        raise UserError(
            f"The file {path} cannot be read ({error.strerror})."
        ) from error


class _Bytes:
    """A file's bytes in order; never asks for more than there are."""

    def __init__(self, path, stream, size):
        self.path, self.stream, self.size, self.position = path, stream, size, 0

    def fail(self, reason):
        """The error of this file, with the place."""
        return UserError(
            f"The file {self.path} must be a model of CTranslate2, version "
            f"{VERSION}; {reason} (at byte {self.position:,} of {self.size:,})."
        )

    def take(self, count):
        """The next bytes."""
        if count > self.size - self.position:
            raise self.fail(f"it ends where {count:,} more bytes must follow")
        data = self.stream.read(count)
        if len(data) != count:
            raise self.fail(f"{count:,} bytes cannot be read")
        self.position += count
        return data

    def number(self, code):
        """The next whole number: B, H or I as in `struct`."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def text(self):
        """The next string: its length, its bytes, a zero byte."""
        raw = self.take(self.number("H"))
        try:
            text = raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text or raw[-1:] != b"\0" or not text.isprintable():
            raise self.fail(f"a name must be here, got {raw[:40]!r}")
        return text


def _read(data):
    """The whole file."""
    version = data.number("I")
    if version != VERSION:
        raise data.fail(f"got version {version}")
    spec = data.text()
    data.number("I")  # the spec's revision, which says nothing of the tensors
    variables = {}
    for _ in range(data.number("I")):
        name = data.text()
        if name in variables:
            raise data.fail(f"{name!r} must be there once, got it twice")
        variables[name] = _array(data, name)
    aliases = {}
    for _ in range(data.number("I")):
        alias, name = data.text(), data.text()
        if alias in variables or alias in aliases or name not in variables:
            raise data.fail(f"{alias!r} cannot stand for {name!r}")
        aliases[alias] = name
    if data.position != data.size:
        raise data.fail("its end must be here, got more bytes")
    return ModelFile(spec, variables, aliases)


def _array(data, name):
    """The next tensor; its size must be that of its shape."""
    shape = [data.number("I") for _ in range(data.number("B"))]
    number, size = data.number("B"), data.number("I")
    if number not in TYPES:
        raise data.fail(f"{name!r} must be of a known type, got {number}")
    if len(shape) > MOST_DIMENSIONS or max(shape, default=0) > data.size:
        raise data.fail(f"{name!r} cannot be of shape {shape[:16]}")
    wanted = TYPES[number].itemsize
    for length in shape:
        wanted *= length
    if size != wanted:
        raise data.fail(f"{name!r} of shape {shape} must have {wanted:,} bytes")
    return np.frombuffer(data.take(size), TYPES[number]).reshape(shape)

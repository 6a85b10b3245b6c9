"""Speech synthesis with espeak-ng, bound by ctypes.

The library and its data come from the pip package ``espeakng-loader`` (GPL),
which is installed only with the extra ``demo`` and loaded at run time.

espeak-ng keeps its noise generator, pitch flutter, echo and wave phase in
static variables, so that the same sentence sounds slightly different each
time. Here every call loads the library afresh and unloads it afterwards: a
rendering depends on its arguments only, never on what was said before.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import importlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from leanbrain.checks import UserError, check_int, check_known

__all__ = ["SAMPLE_RATE", "is_repeatable", "locate", "synthesise", "variants"]

SAMPLE_RATE = 22050
"""Samples per second of everything that espeak-ng returns."""

# Constants of espeak-ng's speak_lib.h.
SYNCHRONOUS, DONT_EXIT = 2, 0x8000
UTF8, POSITION_CHARACTER = 1, 1
RATE, PITCH = 1, 3
# speak_lib cuts its data path off at 160 bytes and then finds nothing.
LONGEST_PATH = 150

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_LOCK = threading.Lock()


def synthesise(
    text: str,
    language: str,
    variant: str = "",
    rate: int = 175,
    pitch: int = 50,
    seed: int = 1,
) -> np.ndarray:
    """Speaks one sentence.

    Arguments
    ---------
    text : str
        What to say; at least one character that can be spoken.
    language : str
        An espeak-ng language, for example "en", "fr", "it", "nl".
    variant : str
        A voice variant such as "m3" or "f2" (see ``variants()``); "" is the
        language's own voice.
    rate : int
        Words per minute, 80 to 450.
    pitch : int
        0 (low) to 100 (high); 50 is the voice's own.
    seed : int
        Of the noise in breathy and fricative sounds, at least 1.

    Returns
    -------
    np.ndarray
        int16 samples [time] at 22050 Hz; bit-equal for equal arguments.

    Raises
    ------
    UserError
        When the package is missing, a name is unknown, a number is out of
        range, or there is nothing to say.

    Example
    -------
    >>> samples = synthesise("good morning", "en", "f2")
    >>> samples.dtype.name, 0.5 < len(samples) / SAMPLE_RATE < 1.5
    ('int16', True)
    """
    check_int("rate", rate, low=80)
    check_int("pitch", pitch, low=0)
    check_int("seed", seed, low=1)
    for name, value, high in (("rate", rate, 450), ("pitch", pitch, 100)):
        if value > high:
            raise UserError(f"`{name}` must be at most {high}, got {value}.")
    if variant:
        check_known("variant", variant, variants())
    voice = f"{language}+{variant}" if variant else language
    # espeak-ng is not thread safe, and nothing is reset while a second
    # thread still holds the library.
    with _LOCK:
        samples = _speak(text, voice, rate, pitch, seed)
    if not samples.any():
        raise UserError(f"`text` must contain something to say, got {text!r}.")
    return samples


def variants() -> list[str]:
    """Returns the names of all voice variants, sorted.

    Example
    -------
    >>> "f2" in variants()
    True
    """
    folder = Path(locate()[1], "voices", "!v")
    return sorted(path.name for path in folder.iterdir())


def is_repeatable() -> bool:
    """Tells whether espeak-ng really starts afresh at each call.

    It does not where the system keeps a library that was unloaded, or where
    another package holds espeak-ng open in the same process.

    Example
    -------
    >>> is_repeatable()
    True
    """
    first, second = (synthesise("one two", "en", "f2") for _ in range(2))
    return np.array_equal(first, second)


def locate() -> tuple[str, str]:
    """Finds the library file and the data folder of espeak-ng.

    Returns
    -------
    tuple
        Path of the shared library, path of the folder espeak-ng-data.

    Raises
    ------
    UserError
        When the package espeakng-loader is not installed.

    Example
    -------
    >>> locate()[1].endswith("espeak-ng-data")
    True
    """
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise UserError(
            "the extra `demo` must be installed "
            "(pip install 'leanbrain[demo]'), got no espeakng_loader."
        ) from error
    return loader.get_library_path(), loader.get_data_path()


@functools.cache
def _short_path(path: str) -> str:
    """Returns the path, or a link to it where it is too long for espeak-ng."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    folder = tempfile.TemporaryDirectory(prefix="espeak")
    link = os.path.join(folder.name, "espeak-ng-data")
    try:
        os.symlink(path, link, target_is_directory=True)
    except OSError as error:
        raise UserError(
            f"the path of espeak-ng's data must be at most {LONGEST_PATH} "
            f"bytes long, or have a link in {folder.name}, got {path} and "
            f"{error.strerror or error}."
        ) from error
    # Removed at exit, not before: the folder object must outlive this call.
    _FOLDERS.append(folder)
    return link


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _initialise(library: ctypes.CDLL, data_path: str, seed: int) -> None:
    """Prepares a freshly loaded library."""
    library.espeak_Initialize.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    got = library.espeak_Initialize(
        SYNCHRONOUS, 0, os.fsencode(_short_path(data_path)), DONT_EXIT
    )
    if got != SAMPLE_RATE:
        raise UserError(
            f"espeak-ng must start with its data folder, got {data_path}."
        )
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed))


def _unload(library: ctypes.CDLL) -> None:
    """Drops the library together with its static variables."""
    library.espeak_Terminate()
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _speak(
    text: str, voice: str, rate: int, pitch: int, seed: int
) -> np.ndarray:
    """Renders one sentence with a freshly loaded library."""
    chunks: list[bytes] = []

    def collect(samples: Any, count: int, events: Any) -> int:
        """Keeps samples as they come; 0 asks for more."""
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(collect)
    library_path, data_path = locate()
    library = ctypes.CDLL(library_path)
    try:
        _initialise(library, data_path, seed)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(
                f"`language` must be known to espeak-ng, got {voice!r}."
            )
        library.espeak_SetParameter(RATE, rate, 0)
        library.espeak_SetParameter(PITCH, pitch, 0)
        said = text.encode() + b"\0"
        library.espeak_Synth(
            said, len(said), 0, POSITION_CHARACTER, 0, UTF8, None, None
        )
        library.espeak_Synchronize()
    finally:
        _unload(library)
    return np.frombuffer(b"".join(chunks), dtype=np.int16)

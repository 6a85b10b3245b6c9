"""Audio files, read block by block to their end.

What a header announces is compared with what is there, never believed: it may
be unknown (streamed FLAC), an estimate (MP3 without a table) or nonsense.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio import mp3

__all__ = ["AudioError", "AudioStream"]

StrPath = str | os.PathLike[str]

BLOCK = 1 << 16
"""Samples of each channel that are read at once."""

_UNKNOWN = 2**63 - 1  # what libsndfile says of a length that it does not know
# What libsndfile notes of the data of a WAV, AIFF or AU file, in bytes; it
# takes one that is cut off for a shorter one.
_DATA = re.compile(
    r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.M
)
_STREAMED = 0x7FFFF000  # from there on: a length that its writer did not know
_PADDING = 64  # bytes; some writers count what belongs to no sample
_TAGS = 1024  # bytes that may come after the audio of a FLAC or Ogg file


class AudioError(UserError):
    """An audio file that is missing or wrong, in one sentence.

    When a loader's worker process raises, torch builds the error anew in the
    training process, with the worker's whole traceback as its message. Only
    the sentence is kept of it.

    Arguments
    ---------
    message : str
        The sentence, or a traceback that ends with it.

    Example
    -------
    >>> str(AudioError("Caught ...\\nmodule.AudioError: a.wav must be mono."))
    'a.wav must be mono.'
    """

    fault: tuple[str, str] = ("", "")
    """The rule, "must ...", and what was got, where it is of one file."""

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("AudioError: ")[2].rstrip())

    @classmethod
    def of(cls, path: StrPath, rule: str, got: str) -> AudioError:
        """The error of a file."""
        error = cls(f"{path} {rule}, got {got}.")
        error.fault = rule, got
        return error


class _Sequential(soundfile.SoundFile):
    """Reads on from block to block.

    soundfile seeks after each block of a file that can seek, which fails at
    the end of a streamed FLAC.
    """

    def seekable(self) -> bool:
        """Whether it can go back: never."""
        return False


class AudioStream:
    """An open audio file; iterating reads it once, to its end.

    Arguments
    ---------
    path : path
        Anything that libsndfile reads.

    Raises
    ------
    AudioError
        When the file is missing or no audio; while it is read, when it holds
        more or less than its header announces.

    Example
    -------
    >>> AudioStream("a.flac")
    Traceback (most recent call last):
    ...
    leanbrain.dataio.audio_stream.AudioError: a.flac must exist, got no file.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise AudioError.of(path, "must exist", "no file")
        self._held = ExitStack()
        try:
            self._open()
        except (soundfile.SoundFileError, OSError) as error:
            self._held.close()
            raise self._unreadable(error) from error
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields float32 samples [n, channels]."""
        total, announced = 0, self._file.frames
        while True:
            # Not beyond the end that is announced: what lies there shall be
            # left over, for `_compare` to see.
            size = max(1, min(BLOCK, announced - total))
            try:
                block = self._file.read(size, "float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise self._unreadable(error) from error
            if not len(block):
                break
            total += len(block)
            yield block
        self._compare(total)

    def _open(self) -> None:
        """Opens the file; through a pipe where its length is a guess."""
        stream = self._held.enter_context(open(self.path, "rb", buffering=0))
        self._descriptor, self._counted = stream.fileno(), 0
        self._file = self._held.enter_context(
            _Sequential(self._descriptor, closefd=False)
        )
        if self._file.format != "MP3":
            return
        data = self.path.read_bytes()
        self._counted = mp3.count_samples(data)
        off = abs(self._counted - self._file.frames)
        if not mp3.has_table(data) or off > mp3.TOLERANCE:
            # libsndfile stops at the length that it guesses, but cannot
            # guess that of a pipe.
            audio = data[mp3.start_of_audio(data) :]
            descriptor = self._held.enter_context(_pipe(audio))
            self._file = self._held.enter_context(
                _Sequential(descriptor, closefd=False)
            )

    def _compare(self, total: int) -> None:
        """Compares what was read with what there should be."""
        announced = self._file.frames
        if announced < _UNKNOWN and total != announced:
            raise AudioError.of(
                self.path,
                f"must hold the {announced} samples that its header announces",
                f"{total} (cut off?)",
            )
        if found := _DATA.search(self._file.extra_info):
            promised, there = int(found[1]), int(found[2])
            if there + _PADDING < promised < _STREAMED:
                raise AudioError.of(
                    self.path,
                    f"must hold the {promised} bytes that its header announces",
                    f"{there} (cut off?)",
                )
        if self._counted and abs(self._counted - total) > mp3.TOLERANCE:
            raise AudioError.of(
                self.path,
                f"must hold the {total} samples that its table announces",
                f"frames for {self._counted}",
            )
        # Of streams that follow one another libsndfile reads the first.
        if self._file.format in ("FLAC", "OGG"):
            rest = os.fstat(self._descriptor).st_size - os.lseek(
                self._descriptor, 0, os.SEEK_CUR
            )
            if rest > _TAGS:
                raise AudioError.of(
                    self.path,
                    f"must hold the {total} samples that its header announces",
                    f"{rest} bytes beyond them",
                )

    def _unreadable(self, error: Exception) -> AudioError:
        """Why the file cannot be decoded."""
        reason = str(getattr(error, "error_string", error)).rstrip(". ")
        return AudioError.of(self.path, "must be readable audio", reason)


@contextlib.contextmanager
def _pipe(data: bytes) -> Iterator[int]:
    """A descriptor from which data can be read, once."""
    out, into = os.pipe()

    def feed() -> None:
        """Writes all data, as far as it is read."""
        # Whoever reads may stop before the end.
        with contextlib.suppress(BrokenPipeError), open(into, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield out
    finally:
        os.close(out)
        thread.join()

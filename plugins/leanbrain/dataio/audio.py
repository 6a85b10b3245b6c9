"""Reading audio files: what is wrong with one is said with its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import soundfile
import torch

from leanbrain.checks import UserError

__all__ = ["AudioError", "check_audio", "load_audio"]

StrPath = str | os.PathLike[str]


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

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("AudioError: ")[2].rstrip())


def check_audio(
    rows: Mapping[str, Mapping[str, Any]], sample_rate: int | None = None
) -> None:
    """Checks that every audio file exists and has a sound header.

    Reads headers only, well under a millisecond a file: run it before
    training. What lies behind the header is checked by `load_audio`.

    Arguments
    ---------
    rows : Mapping
        ID -> row with an absolute `wav`, as `read_manifest` gives them.
    sample_rate : int
        In Hz; None allows any.

    Raises
    ------
    AudioError
        Names the first file that is missing and how many are, else the first
        that is no mono audio, is empty, or has another sample rate.
    """
    paths = [row["wav"] for row in rows.values()]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise AudioError(
            f"every audio file must exist, got {len(missing)} of "
            f"{len(paths)} missing, the first is {missing[0]}."
        )
    for path in paths:
        with _open_audio(path, sample_rate):
            pass


def load_audio(path: StrPath, sample_rate: int) -> torch.Tensor:
    """Reads an audio file; says which one if it cannot.

    Arguments
    ---------
    path : path
        FLAC, WAV or anything else that libsndfile reads; mono. A WAV file
        that is cut off is not noticed: libsndfile takes it for a shorter one.
    sample_rate : int
        Hz that the file must have: nothing is resampled.

    Returns
    -------
    torch.Tensor
        float32 samples [T] in [-1, 1].

    Raises
    ------
    AudioError
        When the file is missing, no audio, cut off, empty, not mono, or of
        another sample rate.

    Example
    -------
    >>> load_audio("a.flac", 8000)
    Traceback (most recent call last):
    ...
    leanbrain.dataio.audio.AudioError: the audio file must exist, got a.flac.
    """
    with _open_audio(path, sample_rate) as file:
        try:
            samples = file.read(dtype="float32")
        except soundfile.SoundFileError as error:
            raise _not_audio(path, error) from error
        if len(samples) != file.frames:
            raise AudioError(
                f"{path} must hold the {file.frames} samples that its "
                f"header announces, got {len(samples)} (cut off?)."
            )
    return torch.from_numpy(samples)


def _open_audio(path: StrPath, sample_rate: int | None) -> soundfile.SoundFile:
    """Opens a file whose header is as it should be."""
    if not os.path.isfile(path):
        raise AudioError(f"the audio file must exist, got {path}.")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.SoundFileError as error:
        raise _not_audio(path, error) from error
    for rule, right, got in (
        ("be mono", file.channels == 1, f"{file.channels} channels"),
        ("not be empty", file.frames > 0, "0 samples"),
        (
            f"be sampled at {sample_rate} Hz",
            sample_rate in (None, file.samplerate),
            f"{file.samplerate} Hz",
        ),
    ):
        if not right:
            file.close()
            raise AudioError(f"{path} must {rule}, got {got}.")
    return file


def _not_audio(path: StrPath, error: Exception) -> AudioError:
    reason = getattr(error, "error_string", str(error)).rstrip(". ")
    return AudioError(f"{path} must be readable audio, got: {reason}.")

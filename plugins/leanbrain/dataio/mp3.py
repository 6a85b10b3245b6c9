"""How long an MP3 file is: its frames are counted, not what its table says.

A file without a table of its length (Xing, VBRI) has its length nowhere;
decoders estimate it from the size and the first bit rates.
"""

from __future__ import annotations

__all__ = ["TOLERANCE", "count_samples", "has_table", "start_of_audio"]

TOLERANCE = 4 * 1152
"""Samples by which a decoder may rightly give fewer: delay and padding."""

_KBITS = {  # Layer III, by bit rate index
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000)}
_LAYER_3 = 1
_FIRST = 64  # bytes in which the name of a table is


def count_samples(data: bytes) -> int:
    """Counts the samples of all frames of MPEG audio, layer III.

    Arguments
    ---------
    data : bytes
        The whole file.

    Returns
    -------
    int
        Samples of each channel; 0 if there is no frame.

    Reference
    ---------
    ISO/IEC 11172-3 and 13818-3, section 2.4.1.3: the header of a frame.
    """
    position, total = start_of_audio(data), 0
    while position >= 0 and position + 4 <= len(data):
        size, samples = _frame(data, position)
        if size == 0:  # damage, or what comes after the audio
            position = data.find(b"\xff", position + 1)
            continue
        total += samples
        position += size
    return total


def has_table(data: bytes) -> bool:
    """Whether the first frame is a table that says how long the file is.

    Arguments
    ---------
    data : bytes
        The whole file.

    Returns
    -------
    bool
    """
    start = start_of_audio(data)
    first = data[start : start + _FIRST]
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def start_of_audio(data: bytes) -> int:
    """Finds where the audio begins: behind an ID3v2 tag.

    Arguments
    ---------
    data : bytes
        The whole file.

    Returns
    -------
    int
    """
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    a, b, c, d = data[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """Bytes and samples of the frame at a position; zeros if there is none."""
    first, second, third = data[at], data[at + 1], data[at + 2]
    version, layer = second >> 3 & 3, second >> 1 & 3
    kbits, rate = third >> 4, third >> 2 & 3
    if first != 0xFF or second < 0xE0 or layer != _LAYER_3:
        return 0, 0
    if version == 1 or kbits in (0, 15) or rate == 3:
        return 0, 0
    # Version 0 is MPEG 2.5: as 2, at half the rate.
    hertz = _RATES[version or 2][rate] // (1 if version else 2)
    bits = 1000 * _KBITS[version or 2][kbits - 1]
    samples = 1152 if version == 3 else 576
    return samples // 8 * bits // hertz + (third >> 1 & 1), samples

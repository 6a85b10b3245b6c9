"""Spoken digits that are tones, for workloads."""

import numpy as np
import pytest
import soundfile

from leanbrain.dataio.digits import DIGIT_COLUMNS, DIGITS
from leanbrain.dataio.manifests import write_manifest

RATE = 8000


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """A tone per digit: manifests and audio."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    for split, speakers in {"train": "abc", "valid": "de"}.items():
        rows = []
        for speaker in speakers:
            for digit in range(10):
                size = int(random.integers(3000, 5000))
                tone = np.sin(np.arange(size) * (0.15 + 0.25 * digit))
                tone[: size // 4] = 0
                name = f"{speaker}{digit}"
                noise = 0.02 * random.standard_normal(size)
                path = folder / f"{name}.flac"
                soundfile.write(path, 0.4 * (tone + noise), RATE)
                row = {
                    "ID": name,
                    "duration": size / RATE,
                    "wav": f"{{data_root}}/{name}.flac",
                    "lang": "en",
                    "spk_id": speaker,
                    "wrd": DIGITS[digit],
                    "digit": digit,
                }
                rows.append(row)
        write_manifest(folder / f"{split}.csv", rows, DIGIT_COLUMNS)
    return folder

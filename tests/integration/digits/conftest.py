"""The digits recipe, its modules, and a corpus that is easy to learn."""

import numpy as np
import pytest
import soundfile

from leanbrain.dataio.digits import DIGIT_COLUMNS, DIGITS
from leanbrain.dataio.manifests import write_manifest

RATE = 8000


@pytest.fixture(scope="session")
def recipe(repo_root):
    return repo_root / "recipes" / "SpokenDigits" / "classification"


@pytest.fixture(scope="module")
def piece(recipe, pieces_of):
    """Loads a module of the recipe."""
    with pieces_of(recipe) as load:
        yield load


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A tone per digit, at a level per speaker: what any front end hears."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    speakers = {
        "train": ("ann", "bob", "cy"),
        "valid": ("di",),
        "test": ("ed",),
    }
    for split, names in speakers.items():
        rows = []
        for speaker in names:
            for digit in range(10):
                name = f"{speaker}-{digit}"
                size = int(random.integers(2400, 4000))
                tone = np.sin(np.arange(size) * (0.15 + 0.25 * digit))
                # What lasts all the time is taken out as a channel's mean, and
                # without noise all channels would hear the tone's skirts.
                tone[: size // 3] = 0
                level = random.uniform(0.1, 0.5)
                noise = 0.03 * random.standard_normal(size)
                path = folder / f"{name}.flac"
                soundfile.write(path, level * (tone + noise), RATE)
                row = {
                    "ID": name,
                    "duration": size / RATE,
                    "wav": f"{{data_root}}/{name}.flac",
                    "lang": "en" if digit % 2 else "fr",
                    "spk_id": speaker,
                    "wrd": DIGITS[digit],
                    "digit": digit,
                }
                rows.append(row)
        write_manifest(folder / f"{split}.csv", rows, DIGIT_COLUMNS)
    return folder

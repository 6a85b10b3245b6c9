"""The digits recipe, its modules, and a corpus that is easy to learn."""

import importlib.util
import sys

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
def piece(recipe):
    """Loads a module of the recipe; the path and modules are put back."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(recipe))

    def load(name):
        path = recipe / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"digits_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path[:] = before
    for name in {p.stem for p in recipe.glob("*.py")} - known:
        sys.modules.pop(name, None)


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

"""The LibriSpeech recipe, its modules, and a small corpus in its layout."""

import importlib
import sys

import numpy as np
import pytest
import soundfile

RATE = 16000
WORDS = (
    "A BIRD CAME DOWN THE WALK HE DID NOT KNOW I SAW HE BIT AN ANGLE WORM IN "
    "HALVES AND ATE THE FELLOW RAW AND THEN HE DRANK A DEW FROM A CONVENIENT "
    "GRASS AND THEN HOPPED SIDEWISE TO THE WALL TO LET A BEETLE PASS"
).split()
# Folder -> utterances of each of its two chapters.
SIZES = {
    "train-clean-100": 5,
    "train-clean-360": 3,
    "train-other-500": 3,
    "dev-clean": 3,
    "dev-other": 2,
    "test-clean": 2,
}


def write_chapter(folder, speaker, chapter, count, random):
    """Tones and noise, with a transcript in the official format."""
    place = folder / str(speaker) / str(chapter)
    place.mkdir(parents=True)
    lines = []
    for i in range(count):
        name = f"{speaker}-{chapter}-{i:04d}"
        size = int(random.integers(RATE, 2 * RATE))
        tone = np.sin(np.arange(size) * random.uniform(0.05, 1.0))
        wave = 0.2 * tone + 0.05 * random.standard_normal(size)
        soundfile.write(place / f"{name}.flac", wave, RATE)
        said = random.choice(WORDS, int(random.integers(2, 5)))
        lines.append(f"{name} {' '.join(said)}\n")
    path = place / f"{speaker}-{chapter}.trans.txt"
    path.write_text("".join(lines), encoding="utf-8")


def write_corpus(folder):
    """LibriSpeech/ with all that the benchmark uses."""
    random = np.random.default_rng(0)
    for index, (name, count) in enumerate(SIZES.items()):
        for chapter in (1, 2):
            write_chapter(
                folder / "LibriSpeech" / name,
                100 + index,
                1000 + chapter,
                count,
                random,
            )
    return folder


@pytest.fixture(scope="session")
def recipe(repo_root):
    return repo_root / "recipes" / "OptimizerBenchmark" / "LibriSpeech"


@pytest.fixture(scope="module")
def piece(recipe):
    """Imports a module of the recipe; the path and modules are put back."""
    path, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(recipe))
    yield importlib.import_module
    sys.path[:] = path
    for name in {p.stem for p in recipe.glob("*.py")} - known:
        sys.modules.pop(name, None)


@pytest.fixture
def corpus(tmp_path):
    """Its own copy for each test: some break it."""
    return write_corpus(tmp_path / "data")


@pytest.fixture(scope="module")
def shared_corpus(tmp_path_factory):
    """For tests that only read."""
    return write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture
def sizes():
    """Folder -> utterances."""
    return {name: 2 * count for name, count in SIZES.items()}

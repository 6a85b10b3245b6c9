"""Speech spectrograms: real prompts where there are some, else synthesised."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from leanbrain.dataio.audio import load_audio
from leanbrain.dataio.corpus import Settings
from leanbrain.dataio.manifests import find_data_root, read_manifest
from leanbrain.dataio.synthesis import synthesise_corpus

ROOT = Path(__file__).resolve().parents[3]
SAMPLE_RATE = 8000
N_FFT, HOP = 1024, 160
# Enough for 2000 + 1000 frames and 15 utterances in each of many seeds.
SYNTHETIC = Settings(train=60, valid=30, test=30)
# Of --smoke.
TINY = Settings(("en",), train=2, valid=2, test=2)
TINY_DRAW = {"frames": 100, "held_out": 50, "utterances": 2}


@dataclass
class Speech:
    """What one seed works on: magnitudes over one common maximum.

    Arguments
    ---------
    train : ndarray
        [F, T], to learn from.
    held_out : ndarray
        [F, T], of other utterances.
    utterances : list
        [F, T] each, of yet other utterances.
    """

    train: np.ndarray
    held_out: np.ndarray
    utterances: list


def find_data(folder):
    """The folder with prompts/ and digits/, or None.

    `folder`, else what LEANBRAIN_DATA names, else `shared/data` beside the
    checkout: as the tests find it.
    """
    named = folder or os.environ.get("LEANBRAIN_DATA")
    data = Path(named) if named else ROOT.parent / "shared" / "data"
    return data if (data / "prompts" / "train.csv").is_file() else None


def splits(data, cache, settings=SYNTHETIC):
    """Paths of the audio by split, of real speech or of the synthesised."""
    folder = data / "prompts" if data else synthesise_corpus(cache, settings)
    found = {}
    for split in ("train", "valid", "test"):
        manifest = folder / f"{split}.csv"
        rows = read_manifest(manifest, find_data_root(manifest))
        found[split] = [rows[name]["wav"] for name in sorted(rows)]
    return found


def draw(paths, seed, frames=2000, held_out=1000, utterances=15):
    """The speech of a seed: which utterances, and in which order."""
    order = np.random.default_rng(seed)
    train = _enough(paths["train"], frames, order)
    largest = train.max()
    alone = [
        spectrum(paths["test"][i]) / largest
        for i in order.choice(len(paths["test"]), utterances, replace=False)
    ]
    # One constant for all, as a dictionary would keep it.
    other = _enough(paths["valid"], held_out, order) / largest
    return Speech(train / largest, other, alone)


def spectrum(path):
    """Magnitudes [F, T] of one utterance of mean power 1."""
    signal = load_audio(path, SAMPLE_RATE)
    signal = signal / signal.square().mean().sqrt().clamp(min=1e-8)
    stft = torch.stft(
        signal,
        N_FFT,
        HOP,
        window=torch.hann_window(N_FFT),
        return_complex=True,
        pad_mode="constant",
    )
    return stft.abs().float().numpy()


def _enough(paths, frames, order):
    """Utterances in random order, one after the other, cut to `frames`."""
    parts, total = [], 0
    for i in order.permutation(len(paths)):
        parts.append(spectrum(paths[i]))
        total += parts[-1].shape[1]
        if total >= frames:
            break
    return np.ascontiguousarray(np.concatenate(parts, 1)[:, :frames])


def start(V, rank, seed):
    """The start of every method: uniform, scaled to the columns of V."""
    order = np.random.default_rng(1000 + seed)
    W = order.uniform(0.01, 1, (V.shape[0], rank))
    H = order.uniform(0.01, 1, (rank, V.shape[1]))
    H *= V.sum(0) / np.maximum((W @ H).sum(0), 1e-12)
    return W.astype(V.dtype), np.maximum(H, 1e-8).astype(V.dtype)


def flat(V, W):
    """The flat start of encoding, for W with columns of sum 1."""
    level = np.maximum(V.sum(0) / W.shape[1], 1e-8)
    return np.repeat(level[None], W.shape[1], 0).astype(V.dtype)

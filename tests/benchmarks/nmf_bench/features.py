"""Features of the whole digits training set: real-time factor on one core."""

import torch

from leanbrain.dataio.audio import load_audio
from leanbrain.dataio.manifests import read_manifest
from nmf_bench.clock import cpu_seconds
from nmf_bench.data import SAMPLE_RATE

BATCH = 32
# Batches that the dictionary learns from, off the clock.
LEARN = 20


def measure(data, seed, limit=None):
    """Real-time factor of NMFFeatures, and of Fbank beside it.

    Arguments
    ---------
    data : path
        The folder with digits/.
    seed : int
        Of the dictionary.
    limit : int | None
        How many utterances; None takes all.
    """
    from speechbrain.lobes.features import Fbank

    from leanbrain.nmf import NMFFeatures

    batches, seconds = load(data, limit)
    torch.manual_seed(seed)
    ours = NMFFeatures(sample_rate=SAMPLE_RATE)
    order = torch.Generator().manual_seed(seed)
    for i in torch.randperm(len(batches), generator=order)[:LEARN].tolist():
        wavs, lengths = batches[i]
        with torch.no_grad():
            V = ours.spectrum(wavs)
        ours.dictionary.partial_fit(V, lengths)
    ours.eval()
    fbank = Fbank(sample_rate=SAMPLE_RATE)
    return {
        "seed": seed,
        "audio_s": seconds,
        "nmf": _encode_all(ours, batches) / seconds,
        "fbank": _encode_all(lambda x, _: fbank(x), batches) / seconds,
    }


def load(data, limit):
    """Padded batches of utterances of like length, and seconds of audio."""
    rows = read_manifest(data / "digits" / "train.csv", data)
    names = list(rows)[:limit]
    audio = [load_audio(rows[name]["wav"], SAMPLE_RATE) for name in names]
    audio.sort(key=len)
    batches = []
    for i in range(0, len(audio), BATCH):
        part = audio[i : i + BATCH]
        wavs = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        lengths = torch.tensor([len(x) for x in part]) / wavs.shape[1]
        batches.append((wavs, lengths))
    return batches, sum(map(len, audio)) / SAMPLE_RATE


def _encode_all(features, batches):
    """CPU seconds for all batches after a first one that is discarded."""

    def run():
        for wavs, lengths in batches:
            features(wavs, lengths)

    with torch.no_grad():
        features(*batches[0])
        return cpu_seconds(run)[0]

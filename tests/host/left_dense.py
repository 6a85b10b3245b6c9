"""What of stock recipes is left dense by default, and why.

SPEECHBRAIN_REPO=<a clone of speechbrain> python tests/host/left_dense.py
[family ...] [--json tests/host/results/left_dense.json]
[--markdown docs/prune_your_recipe/README.md]

Builds the modules of each recipe, of full size, as `leanbrain inspect` does: no
data, no download, no random weights. Prints the rows of a table.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from examine_recipe import stand_ins
from kept_table import clone, keep, line, read_options
from try_families import chosen

from leanbrain import import_speechbrain, user_errors

RECIPES = {
    "CTC": "TIMIT/ASR/CTC/hparams/train.yaml",
    "CRDNN seq2seq": "LibriSpeech/ASR/seq2seq/hparams/train_BPE_1000.yaml",
    "Conformer CTC/attention": (
        "LibriSpeech/ASR/transformer/hparams/conformer_small.yaml"
    ),
    "transducer": (
        "LibriSpeech/ASR/transducer/hparams/conformer_transducer.yaml"
    ),
    "Tacotron 2": "LJSpeech/TTS/tacotron2/hparams/train.yaml",
    "FastSpeech 2": "LJSpeech/TTS/fastspeech2/hparams/train.yaml",
    "HiFi-GAN": "LJSpeech/TTS/vocoder/hifigan/hparams/train.yaml",
    "DiffWave": "LJSpeech/TTS/vocoder/diffwave/hparams/train.yaml",
    "spectral mask": "Voicebank/enhance/spectral_mask/hparams/train.yaml",
    "MetricGAN": "Voicebank/enhance/MetricGAN/hparams/train.yaml",
    "SEGAN": "Voicebank/enhance/SEGAN/hparams/train.yaml",
    "SepFormer": "WSJ0Mix/separation/hparams/sepformer.yaml",
    "DPRNN": "WSJ0Mix/separation/hparams/dprnn.yaml",
    "Conv-TasNet": "WSJ0Mix/separation/hparams/convtasnet.yaml",
    "RNNLM": "LibriSpeech/LM/hparams/RNNLM.yaml",
    "TransformerLM": "LibriSpeech/LM/hparams/transformer.yaml",
    "wav2vec 2.0 pretraining": (
        "LibriSpeech/self-supervised-learning/wav2vec2/hparams/"
        "wav2vec2_base.yaml"
    ),
    "BEST-RQ": (
        "LibriSpeech/self-supervised-learning/BEST-RQ/hparams/BEST-RQ.yaml"
    ),
    "ECAPA-TDNN": "VoxCeleb/SpeakerRec/hparams/train_ecapa_tdnn.yaml",
    "x-vector": "VoxCeleb/SpeakerRec/hparams/train_x_vectors.yaml",
    "SLU": "SLURP/NLU/hparams/train.yaml",
    "G2P": "LibriSpeech/G2P/hparams/hparams_g2p_rnn.yaml",
}
# What needs no judgement.
BY_KIND = ("a bias", "a vector", "of a norm layer", "an embedding", "frozen")


def row(family: str, file: Path) -> dict[str, str]:
    """Looks at a recipe; its row of the table."""
    from leanbrain.masking.targets import explain_targets
    from leanbrain.recipes.building import build_modules

    built = build_modules(file, stand_ins(file))
    rows = explain_targets(built.modules, unsaved=built.is_unsaved)
    kept = sum(t.parameter.numel() for t, why in rows if why is None)
    every = sum(t.parameter.numel() for t, _ in rows)
    reasons = dict.fromkeys(why for _, why in rows if why is not None)
    said = [
        f"{_names([t.name for t, own in rows if own == why])}: {why}"
        for why in reasons
        if why not in BY_KIND
    ]
    return {
        "family": family,
        "pruned": f"{kept / every:.1%}",
        "left dense": "; ".join(said) or "-",
    }


def _names(names: list[str]) -> str:
    """Names of parameters, or of the module that has them all."""
    if len(names) > 2:
        start = os.path.commonprefix([name.split(".") for name in names])
        return f"`{'.'.join(start)}`"
    layers = [
        re.sub(
            r"(\.w|\.conv|\.linear_layer)?\.(weight|parametrizations.*)$", "", n
        )
        for n in names
    ]
    return ", ".join(f"`{layer}`" for layer in layers)


def main(words: list[str] | None = None) -> int:
    """Looks at all recipes, or those whose families contain a word."""
    options = read_options(__doc__, words)
    recipes = clone() / "recipes"
    import_speechbrain()
    rows: list[dict[str, Any]] = []
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)  # where models may leave files
        try:
            for family, file in RECIPES.items():
                if chosen(family, options.names):
                    rows.append(row(family, recipes / file))
                    print(line(list(rows[-1].values())), flush=True)
        finally:
            os.chdir(before)
    keep(options, "left_dense", rows, recipes.parent)
    return 0


if __name__ == "__main__":
    with user_errors():
        sys.exit(main())

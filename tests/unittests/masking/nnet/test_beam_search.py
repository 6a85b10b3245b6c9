"""Beam search over mixed batches: each utterance as if it were alone."""

import pytest
import torch
from random_masks import drawn, random_masks
from speechbrain.nnet.linear import Linear
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import PathwayRouter, convert

ROWS = ["ru", "en", "ru"]
FEATS = drawn(3, 20, 12)
SEARCH = {
    "bos_index": 1,
    "eos_index": 2,
    "min_decode_ratio": 0.0,
    "max_decode_ratio": 0.5,
    "beam_size": 3,
    "using_eos_threshold": False,
}


def transformer():
    from speechbrain.decoders import S2STransformerBeamSearcher
    from speechbrain.lobes.models.transformer.TransformerASR import (
        TransformerASR,
    )

    model = nn.Module()
    model.asr = TransformerASR(
        12, 12, 8, 2, 1, 1, 16, normalize_before=True, causal=False
    )
    model.lin = Linear(n_neurons=12, input_size=8)
    search = S2STransformerBeamSearcher([model.asr, model.lin], **SEARCH)

    def run(rows):
        feats = FEATS[rows]
        encoded = model.asr.encode(feats, torch.ones(len(rows)))
        return search(encoded, torch.ones(len(rows)))

    return model, run


def recurrent():
    from speechbrain.decoders import S2SRNNBeamSearcher
    from speechbrain.nnet.RNN import AttentionalRNNDecoder

    model = nn.Module()
    model.encoder = nn.Linear(12, 8)
    model.lin = Linear(n_neurons=12, input_size=8)
    model.emb = nn.Embedding(12, 6)
    model.dec = AttentionalRNNDecoder(
        "gru", "location", 8, 8, 1, 8, 6, channels=2, kernel_size=3
    )
    search = S2SRNNBeamSearcher(model.emb, model.dec, model.lin, **SEARCH)

    def run(rows):
        encoded = model.encoder(FEATS[rows])
        return search(encoded, torch.ones(len(rows)))

    return model, run


@torch.no_grad()
@pytest.mark.parametrize("build", [transformer, recurrent])
def test_beams_follow_their_utterance(build):
    torch.manual_seed(2)
    model, run = build()
    for parameter in model.parameters():  # at first, all hypotheses are alike
        parameter.normal_(std=0.5)
    model.eval()
    convert(model)
    masks = random_masks(model, ["en", "ru"])
    router = PathwayRouter(model, masks)
    with router.through(ROWS, beams=True):
        words, _, scores, _ = run([0, 1, 2])
    for row, name in enumerate(ROWS):
        for pathway in ("en", "ru"):
            with router.through(pathway):
                alone, _, score, _ = run([row])
            if pathway == name:
                assert words[row] == alone[0]
            same = torch.allclose(scores[row], score[0], rtol=1e-4)
            assert same == (pathway == name)
    assert router.route == ()
    with router.through(ROWS), pytest.raises(UserError, match="3 pathways and"):
        run([0, 1, 2])


def test_beams_may_not_be_another_number_of_utterances():
    layer = nn.Linear(4, 4)
    convert(layer)
    router = PathwayRouter(layer, random_masks(layer, ["en", "ru"]))
    with router.through(["en", "ru"], beams=True):
        both = layer(drawn(6, 4))
        for rows in (0, 1, 5):
            with pytest.raises(UserError, match=f"2 pathways and {rows} rows"):
                layer(drawn(rows, 4))
    with router.through(["en"] * 3 + ["ru"] * 3):
        assert torch.equal(layer(drawn(6, 4)), both)

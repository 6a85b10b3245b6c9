"""Small models of many families, each with a batch to run through it."""

import pytest
import torch
from random_masks import drawn
from torch import nn

B = 6
LENS = torch.tensor([1.0, 0.5, 0.7, 0.9, 1.0, 0.6])


def conformer(**settings):
    from speechbrain.lobes.models.transformer.TransformerASR import (
        TransformerASR,
    )

    model = TransformerASR(
        tgt_vocab=20,
        input_size=24,
        d_model=16,
        nhead=2,
        num_encoder_layers=2,
        num_decoder_layers=1,
        d_ffn=32,
        kernel_size=7,
        csgu_linear_units=32,
        normalize_before=True,
        causal=False,
        **settings,
    )
    tokens = torch.randint(
        1, 20, (B, 5), generator=torch.Generator().manual_seed(0)
    )
    # Encoder and decoder at once.
    return model, lambda: torch.cat(
        [x.flatten(1) for x in model(drawn(B, 30, 24), tokens, LENS)], 1
    )


def crdnn(rnn_class):
    from speechbrain.lobes.models.CRDNN import CRDNN

    model = CRDNN(
        input_shape=(B, 30, 24),
        cnn_blocks=1,
        rnn_layers=1,
        rnn_neurons=8,
        dnn_neurons=8,
        rnn_class=rnn_class,
    )
    return model, lambda: model(drawn(B, 30, 24))


def decoder(attention):
    from speechbrain.nnet.RNN import AttentionalRNNDecoder

    model = AttentionalRNNDecoder(
        rnn_type="gru",
        attn_type=attention,
        hidden_size=8,
        attn_dim=8,
        num_layers=1,
        enc_dim=16,
        input_size=6,
        channels=4,
        kernel_size=5,
    )

    def run():
        model.attn.reset()
        return model(drawn(B, 5, 6), drawn(B, 12, 16, seed=1), LENS)[0]

    return model, run


def ecapa():
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    model = ECAPA_TDNN(
        24,
        channels=[16] * 5,
        attention_channels=8,
        lin_neurons=12,
        res2net_scale=4,
        se_channels=8,
    )
    return model, lambda: model(drawn(B, 30, 24))


def xvector():
    from speechbrain.lobes.models.Xvector import Xvector

    model = Xvector(in_channels=24, tdnn_channels=[16] * 5, lin_neurons=12)
    return model, lambda: model(drawn(B, 40, 24))


def wav2vec(kind, x=None, **settings):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        **settings,
    )
    model = getattr(transformers, f"{kind}Model")(config)
    if hasattr(model.encoder, "pos_conv_embed") and settings:
        model.encoder.pos_conv_embed.requires_grad_(False)  # never called
    x = drawn(B, 400) if x is None else x
    return model, lambda: model(x).last_hidden_state


def whisper():
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        max_source_positions=20,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    tokens = torch.randint(
        3, 60, (B, 4), generator=torch.Generator().manual_seed(0)
    )
    return model, lambda: model(
        drawn(B, 8, 40), decoder_input_ids=tokens
    ).logits


def torch_transformer():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    padding = torch.arange(7) >= (7 * LENS[:, None]).round()
    return model, lambda: model(drawn(B, 7, 16), src_key_padding_mask=padding)


def sequence_of_torch(kind):
    model = nn.ModuleList([kind(8, 5, num_layers=2, bidirectional=True)])
    return model, lambda: model[0](drawn(7, B, 8))[0].transpose(0, 1)


def dual_path_decoder():
    from speechbrain.lobes.models.dual_path import Decoder

    # The stock layer squeezes its results: some groups here have one row.
    model = nn.ModuleList([Decoder(4, 1, kernel_size=3, stride=2)])
    return model, lambda: model[0](drawn(B, 4, 9))


def speaker_classifier(home):
    from importlib import import_module

    made = import_module(f"speechbrain.lobes.models.{home}").Classifier(
        8, lin_blocks=1, lin_neurons=6, out_neurons=5
    )
    model = nn.ModuleList([made])  # as the model itself it has no name
    return model, lambda: model[0](drawn(B, 1, 8))


def numbers_of(kind):
    """All layers of complex numbers (c), or of quaternions (q)."""
    from importlib import import_module

    home = {"c": "complex_networks.c_", "q": "quaternion_networks.q_"}[kind]

    def make(module, name, *args, **kwargs):
        layers = import_module(f"speechbrain.nnet.{home}{module}")
        return getattr(layers, kind.upper() + name)(*args, **kwargs)

    x, image = drawn(B, 6, 8), drawn(B, 6, 5, 8)
    recurrent = {"input_shape": x.shape, "hidden_size": 8}
    # Of both directions, the batch twice.
    hidden = drawn(2 * B, {"c": 16, "q": 32}[kind], seed=3)
    model = nn.ModuleDict(
        {
            "linear": make("linear", "Linear", 8, x.shape),
            "conv1d": make("CNN", "Conv1d", 8, 3, x.shape),
            "conv2d": make("CNN", "Conv2d", 8, (3, 3), image.shape),
            "lstm": make("RNN", "LSTM", **recurrent, bidirectional=True),
            "rnn": make("RNN", "RNN", **recurrent, num_layers=2),
            "ligru": make("RNN", "LiGRU", **recurrent, bidirectional=True),
        }
    )

    for parameter in model.parameters():  # SpeechBrain leaves some undefined
        nn.init.normal_(parameter, std=0.3)

    def run():
        results = []
        for name, layer in model.items():
            y = layer(image if name == "conv2d" else x)
            y = y[0] if isinstance(y, tuple) else y
            results.append(y.flatten(1))
        results.append(model["ligru"].rnn[0](x, hidden).flatten(1))
        return torch.cat(results, 1)

    return model, run


def gru(kind):
    from speechbrain.nnet import RNN

    return getattr(RNN, kind)


MODELS = {
    "conformer": lambda: conformer(
        encoder_module="conformer", attention_type="RelPosMHAXL"
    ),
    "conformer, rotary": lambda: conformer(
        encoder_module="conformer", attention_type="RoPEMHA"
    ),
    "conformer, hypermixing": lambda: conformer(
        encoder_module="conformer", attention_type="hypermixing"
    ),
    "branchformer": lambda: conformer(
        encoder_module="branchformer", attention_type="RelPosMHAXL"
    ),
    "transformer": lambda: conformer(
        encoder_module="transformer", attention_type="regularMHA"
    ),
    "CRDNN, GRU": lambda: crdnn(gru("GRU")),
    "CRDNN, LiGRU": lambda: crdnn(gru("LiGRU")),
    "decoder, content": lambda: decoder("content"),
    "decoder, location": lambda: decoder("location"),
    "ECAPA": ecapa,
    "x-vector": xvector,
    "wav2vec2": lambda: wav2vec("Wav2Vec2"),
    "HuBERT": lambda: wav2vec("Hubert"),
    "WavLM": lambda: wav2vec("WavLM"),
    "wav2vec2, conformer": lambda: wav2vec(
        "Wav2Vec2Conformer", position_embeddings_type="relative"
    ),
    "wav2vec2, BERT": lambda: wav2vec(
        "Wav2Vec2Bert", drawn(B, 9, 160), position_embeddings_type="relative"
    ),
    "Whisper": whisper,
    "torch, Transformer": torch_transformer,
    "dual path, decoder": dual_path_decoder,
    "ECAPA, classifier": lambda: speaker_classifier("ECAPA_TDNN"),
    "ResNet, classifier": lambda: speaker_classifier("ResNet"),
    "complex numbers": lambda: numbers_of("c"),
    "quaternions": lambda: numbers_of("q"),
    "torch, LSTM, time first": lambda: sequence_of_torch(nn.LSTM),
}

"""Every mask-aware layer, its arguments, and how it is called."""

import torch
from random_masks import drawn
from speechbrain.lobes.models.transformer import Conformer
from speechbrain.nnet import CNN, RNN, attention, hypermixing, linear

from leanbrain.masking.nnet import CNN as aware_CNN
from leanbrain.masking.nnet import RNN as aware_RNN
from leanbrain.masking.nnet import attention as aware_attention
from leanbrain.masking.nnet import conformer as aware_conformer
from leanbrain.masking.nnet import linear as aware_linear

B, T, C = 6, 7, 8


X = drawn(B, T, C)
LENGTHS = torch.tensor([0.4, 1.0, 0.6, 0.9, 0.8, 0.5])
PADDING = torch.arange(T) >= (LENGTHS * T).round()[:, None]
FUTURE = torch.ones(T, T).triu(1).bool()
POSITIONS = drawn(1, 2 * T - 1, C, seed=1)


def attend(*extra, **settings):
    return lambda layer: layer(X, X, X, *extra, **settings)


# Name of the module, class, arguments, and how it is called.
LAYERS = [
    (linear, "Linear", {"n_neurons": 5, "input_size": C}, lambda f: f(X)),
    (
        linear,
        "Linear",
        {"n_neurons": 5, "input_size": C, "max_norm": 0.1},
        lambda f: f(X),
    ),
    (
        linear,
        "Linear",
        {"n_neurons": 5, "input_size": 2 * C, "combine_dims": True},
        lambda f: f(torch.stack([X, -X], 2)),
    ),
    (
        CNN,
        "Conv1d",
        {"out_channels": 5, "kernel_size": 3, "in_channels": C},
        lambda f: f(X),
    ),
    (
        CNN,
        "Conv1d",
        {
            "out_channels": 5,
            "kernel_size": 3,
            "in_channels": C,
            "weight_norm": True,
            "skip_transpose": True,
        },
        lambda f: f(X.transpose(1, 2)),
    ),
    (
        CNN,
        "Conv2d",
        {"out_channels": 5, "kernel_size": (3, 3), "in_channels": 2},
        lambda f: f(torch.stack([X, X**2], -1)),
    ),
    (
        CNN,
        "ConvTranspose1d",
        {"out_channels": 5, "kernel_size": 3, "in_channels": C},
        lambda f: f(X),
    ),
    *[
        (RNN, name, {"hidden_size": 5, "input_size": C, **extra}, call)
        for name in ("RNN", "LSTM", "GRU")
        for extra, call in (
            ({}, lambda f: f(X)),
            (
                {"bidirectional": True, "num_layers": 2},
                lambda f: f(X, lengths=LENGTHS),
            ),
        )
    ],
    (
        RNN,
        "GRU",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X, hx=drawn(1, B, 5, seed=3)),
    ),
    (
        RNN,
        "LSTM",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X, (drawn(1, B, 5, seed=3), drawn(1, B, 5, seed=4))),
    ),
    *[
        (RNN, name, {"hidden_size": 5, "input_size": C}, lambda f: f(X[:, 0]))
        for name in ("RNNCell", "GRUCell", "LSTMCell")
    ],
    (
        RNN,
        "LSTMCell",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X[:, 0], (drawn(1, B, 5), drawn(1, B, 5, seed=4))),
    ),
    *[
        (
            RNN,
            name,
            {
                "hidden_size": 5,
                "input_shape": (B, T, C),
                "bidirectional": both,
            },
            lambda f: f(X)[0],
        )
        for name in ("LiGRU", "SLiGRU")
        for both in (False, True)
    ],
    (
        RNN,
        "LiGRU",
        {"hidden_size": 5, "input_shape": (B, T, C), "bidirectional": True},
        lambda f: f(X, drawn(1, 2 * B, 5, seed=3))[0],
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        attend(attn_mask=FUTURE, key_padding_mask=PADDING),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C, "kdim": 4, "vdim": 4},
        lambda f: f(X, X[..., :4], X[..., :4], return_attn_weights=False),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        lambda f: f(
            X,
            X,
            X,
            attn_mask=torch.zeros(T, T),
            pos_embs=drawn(T, T, seed=2),
        ),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        attend(attn_mask=drawn(2 * B, T, T, seed=5)),
    ),
    (
        attention,
        "RelPosMHAXL",
        {"num_heads": 2, "embed_dim": C},
        attend(POSITIONS, key_padding_mask=PADDING),
    ),
    (
        attention,
        "RelPosMHAXL",
        {"num_heads": 2, "embed_dim": C},
        lambda f: f(X, -X, X, POSITIONS),
    ),
    (
        attention,
        "RoPEMHA",
        {"num_heads": 2, "embed_dim": C},
        attend(key_padding_mask=PADDING),
    ),
    (
        attention,
        "PositionalwiseFeedForward",
        {"d_ffn": 16, "input_size": C},
        lambda f: f(X),
    ),
    (
        hypermixing,
        "HyperMixing",
        {
            "input_output_dim": C,
            "hypernet_size": 6,
            "tied": False,
            "num_heads": 2,
        },
        attend(key_padding_mask=PADDING),
    ),
    (
        Conformer,
        "ConvolutionModule",
        {"input_size": C, "kernel_size": 3},
        lambda f: f(X, mask=PADDING[..., None]),
    ),
]
AWARE = {
    linear: aware_linear,
    CNN: aware_CNN,
    RNN: aware_RNN,
    attention: aware_attention,
    hypermixing: aware_attention,
    Conformer: aware_conformer,
}
IDS = [f"{x[1]}-{i}" for i, x in enumerate(LAYERS)]

"""Layers that few models have; they are known as soon as they are imported.

By module and name: importing them here would cost every user their time.
"""

from __future__ import annotations

from leanbrain.masking._rows import Rows, RowSpec

__all__ = ["OTHERS"]

_X = RowSpec({"x": Rows()})
# Layers in both directions hold the batch twice, one behind the other.
_RECURRENT = RowSpec({"x": Rows(), "hx": Rows(tiled=True)})
# Positions are shared by all utterances.
_HF_ATTENTION = RowSpec({"hidden_states": Rows(), "attention_mask": Rows()})
_WAVLM = RowSpec(
    {
        "hidden_states": Rows(),
        "attention_mask": Rows(),
        "position_bias": Rows(many=True),
    },
    (Rows(), Rows(), Rows(many=True)),
)

_LOBES = "speechbrain.lobes.models."
_COMPLEX = "speechbrain.nnet.complex_networks.c_"
_QUATERNION = "speechbrain.nnet.quaternion_networks.q_"

OTHERS: tuple[tuple[str, str, RowSpec], ...] = (
    # Gives the weights of its parts to a function of PyTorch.
    ("transformers.models.wavlm.modeling_wavlm", "WavLMAttention", _WAVLM),
    # Project positions, which have no rows.
    *(
        (
            f"transformers.models.{x}.modeling_{x}",
            f"{y}SelfAttention",
            _HF_ATTENTION,
        )
        for x, y in (
            ("wav2vec2_conformer", "Wav2Vec2Conformer"),
            ("wav2vec2_bert", "Wav2Vec2Bert"),
        )
    ),
    # A convolution with a `forward` of its own.
    (f"{_LOBES}dual_path", "Decoder", _X),
    # They compare embeddings with a weight of their own, by cosine.
    (f"{_LOBES}ECAPA_TDNN", "Classifier", _X),
    (f"{_LOBES}ResNet", "Classifier", _X),
    (f"{_COMPLEX}linear", "CLinear", _X),
    (f"{_COMPLEX}CNN", "CConv1d", _X),
    (f"{_COMPLEX}CNN", "CConv2d", _X),
    (f"{_COMPLEX}RNN", "CLSTM_Layer", _RECURRENT),
    (f"{_COMPLEX}RNN", "CRNN_Layer", _RECURRENT),
    (f"{_COMPLEX}RNN", "CLiGRU_Layer", _RECURRENT),
    (f"{_QUATERNION}linear", "QLinear", _X),
    (f"{_QUATERNION}CNN", "QConv1d", _X),
    (f"{_QUATERNION}CNN", "QConv2d", _X),
    (f"{_QUATERNION}RNN", "QLSTM_Layer", _RECURRENT),
    (f"{_QUATERNION}RNN", "QRNN_Layer", _RECURRENT),
    (f"{_QUATERNION}RNN", "QLiGRU_Layer", _RECURRENT),
)
"""Module, class, and where the class has rows."""

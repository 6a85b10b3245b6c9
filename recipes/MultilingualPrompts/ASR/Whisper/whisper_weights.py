"""Whisper's tensors, from CTranslate2's names to those of Hugging Face."""

import numpy as np
import torch
from ctranslate2_file import ModelFile

from leanbrain.checks import UserError

SPEC = "WhisperSpec"
# What Whisper's layers are; CTranslate2 states it of each model.
OPTIONS = {
    "decoder/activation": 3,  # GELU, exact
    "decoder/alibi": 0,
    "decoder/alibi_use_positive_positions": None,
    "decoder/alignment_heads": None,
    "decoder/alignment_layer": None,
    "decoder/num_heads": None,
    "decoder/pre_norm": 1,
    "decoder/scale_alibi": None,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
    "encoder/num_heads": None,
}


class Tensors:
    """Takes the tensors of a file, each once, as float32.

    Arguments
    ---------
    file : ModelFile
        Of a Whisper.
    path : path
        Where it was read.
    """

    def __init__(self, file: ModelFile, path):
        if file.spec != SPEC:
            raise UserError(
                f"The file {path} must hold a Whisper ({SPEC}), got "
                f"{file.spec}."
            )
        self.path, self.file = path, file
        self.left = set(file.variables) - set(OPTIONS)

    def fail(self, rule):
        """The error of this file."""
        return UserError(f"The file {self.path} must hold a Whisper: {rule}.")

    def take(self, name, rank):
        """A tensor of a number of dimensions."""
        if name not in self.left:
            raise self.fail(f"the tensor {name} is not there")
        self.left.remove(name)
        array = self.file.variables[name]
        if array.dtype.kind != "f":
            raise self.fail(f"{name} must be of floats, got {array.dtype}")
        if array.ndim != rank:
            raise self.fail(f"{name} must have {rank} dimensions")
        if not array.size or not np.isfinite(array).all():
            raise self.fail(f"{name} must be of finite numbers")
        return torch.from_numpy(array.astype("float32"))

    def option(self, name):
        """A whole number of the model."""
        array = self.file.variables.get(name)
        if array is None or array.ndim or array.dtype.kind != "i":
            raise self.fail(f"the number {name} is not there")
        return int(array)

    def layers(self, side):
        """How many layers the encoder or the decoder has."""
        start = f"{side}/layer_"
        found = {
            x[len(start) :].split("/")[0]
            for x in self.file.variables
            if x.startswith(start)
        }
        return sum(x.isdigit() for x in found)

    def check_options(self):
        """Refuses layers that are not Whisper's."""
        for name, wanted in OPTIONS.items():
            if wanted is not None and self.option(name) != wanted:
                raise self.fail(f"{name} must be {wanted}")

    def check_none_left(self):
        """Refuses tensors that nothing has taken."""
        if self.left:
            raise self.fail(f"it has no tensor {min(self.left)}")


def whisper_state(tensors: Tensors):
    """All tensors under Hugging Face's names, and the sizes of the model.

    Arguments
    ---------
    tensors : Tensors
        Of a file that has not been read yet.

    Returns
    -------
    sizes : dict
        Keywords of `transformers.WhisperConfig`.
    state : dict
        The state dict of `WhisperForConditionalGeneration`.

    Raises
    ------
    UserError
        If a tensor is missing, left over, or of another type or rank. Shapes
        are compared where the state is loaded.
    """
    tensors.check_options()
    state = {}
    for number in (1, 2):
        name = f"conv{number}"
        state[f"model.encoder.{name}.weight"] = tensors.take(
            f"encoder/{name}/weight", 3
        )
        state[f"model.encoder.{name}.bias"] = tensors.take(
            f"encoder/{name}/bias", 1
        )
    embedding = tensors.take("decoder/embeddings/weight", 2)
    state["model.decoder.embed_tokens.weight"] = embedding
    state["proj_out.weight"] = embedding
    for side in ("encoder", "decoder"):
        start = f"model.{side}."
        state[f"{start}embed_positions.weight"] = tensors.take(
            f"{side}/position_encodings/encodings", 2
        )
        norm(state, tensors, f"{side}/layer_norm", f"{start}layer_norm")
        for layer in range(tensors.layers(side)):
            one_layer(state, tensors, side, layer)
    check_output(tensors)
    tensors.check_none_left()
    return sizes_of(state, tensors), state


def linear(state, tensors, source, target):
    """A linear layer."""
    state[f"{target}.weight"] = tensors.take(f"{source}/weight", 2)
    state[f"{target}.bias"] = tensors.take(f"{source}/bias", 1)


def norm(state, tensors, source, target):
    """A layer norm."""
    state[f"{target}.weight"] = tensors.take(f"{source}/gamma", 1)
    state[f"{target}.bias"] = tensors.take(f"{source}/beta", 1)


def stacked(state, tensors, source, target, names):
    """Several projections of one input, which CTranslate2 stacks as rows.

    Whisper's keys have no bias: theirs is zero.
    """
    weight = tensors.take(f"{source}/weight", 2)
    bias = tensors.take(f"{source}/bias", 1)
    parts = len(names)
    if len(weight) % parts or len(bias) != len(weight):
        raise tensors.fail(f"{source} must be {parts} projections")
    for name, w, b in zip(
        names, weight.chunk(parts), bias.chunk(parts), strict=True
    ):
        state[f"{target}.{name}.weight"] = w.contiguous()
        if name != "k_proj":
            state[f"{target}.{name}.bias"] = b.contiguous()
        elif b.count_nonzero():
            raise tensors.fail(f"the keys of {source} must have no bias")


def one_layer(state, tensors, side, layer):
    """A layer of the encoder or the decoder."""
    source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
    attention, to = f"{source}/self_attention", f"{target}.self_attn"
    queries = ("q_proj", "k_proj", "v_proj")
    stacked(state, tensors, f"{attention}/linear_0", to, queries)
    linear(state, tensors, f"{attention}/linear_1", f"{to}.out_proj")
    norm(state, tensors, f"{attention}/layer_norm", f"{to}_layer_norm")
    if side == "decoder":
        attention, to = f"{source}/attention", f"{target}.encoder_attn"
        linear(state, tensors, f"{attention}/linear_0", f"{to}.q_proj")
        stacked(state, tensors, f"{attention}/linear_1", to, queries[1:])
        linear(state, tensors, f"{attention}/linear_2", f"{to}.out_proj")
        norm(state, tensors, f"{attention}/layer_norm", f"{to}_layer_norm")
    linear(state, tensors, f"{source}/ffn/linear_0", f"{target}.fc1")
    linear(state, tensors, f"{source}/ffn/linear_1", f"{target}.fc2")
    norm(
        state,
        tensors,
        f"{source}/ffn/layer_norm",
        f"{target}.final_layer_norm",
    )


def check_output(tensors):
    """The output layer must be the token embedding."""
    aliases = tensors.file.aliases
    if aliases != {"decoder/projection/weight": "decoder/embeddings/weight"}:
        raise tensors.fail("its output layer must be the token embedding")


def sizes_of(state, tensors):
    """The sizes that the tensors' shapes say, for `WhisperConfig`."""
    conv = state["model.encoder.conv1.weight"]
    embedding = state["model.decoder.embed_tokens.weight"]
    sizes = {
        "vocab_size": embedding.shape[0],
        "d_model": embedding.shape[1],
        "num_mel_bins": conv.shape[1],
    }
    for side, word in (("encoder", "source"), ("decoder", "target")):
        heads = tensors.option(f"{side}/num_heads")
        if heads < 1 or sizes["d_model"] % heads:
            raise tensors.fail(f"{side}/num_heads must divide the width")
        positions = state[f"model.{side}.embed_positions.weight"]
        first = state.get(f"model.{side}.layers.0.fc1.weight")
        if first is None:
            raise tensors.fail(f"the {side} has no layers")
        sizes[f"{side}_layers"] = tensors.layers(side)
        sizes[f"{side}_attention_heads"] = heads
        sizes[f"{side}_ffn_dim"] = first.shape[0]
        sizes[f"max_{word}_positions"] = positions.shape[0]
    return sizes

"""What recipes call the layers that stay dense unless asked for."""

from fnmatch import fnmatchcase

__all__ = ["DEFAULT_EXCLUDE", "LAST_OF", "NO_PRODUCT", "in_discriminator"]

_OUTPUT = "an output layer"
_ADAPTER = "an adapter of a frozen layer"
NO_PRODUCT = "looked up or used entry by entry, not in a product"
_DISCRIMINATOR = "of a discriminator, which only training needs"

# Pattern -> what is called so. Each row of an output layer decides on one
# token, speaker, or frequency. An adapter is small already, and zeros in it
# spare nothing of the layer that it corrects.
DEFAULT_EXCLUDE = {
    "*discriminator*": _DISCRIMINATOR,
    "*critic*": _DISCRIMINATOR,
    "disc.*": _DISCRIMINATOR,
    "model_d.*": _DISCRIMINATOR,
    "*ctc_lin.*": _OUTPUT,
    "*seq_lin.*": _OUTPUT,
    "*output_lin.*": _OUTPUT,
    "*transducer_lin.*": _OUTPUT,
    "*output_mlp.*": _OUTPUT,
    "*proj_ctc.*": _OUTPUT,
    "*char_lin.*": _OUTPUT,
    "*phn_lin.*": _OUTPUT,
    # A bare layer only: what is called so can also be a network, whose hidden
    # layers are worth pruning.
    "*output.w.weight": _OUTPUT,
    "*output_layer.w.weight": _OUTPUT,
    "*classifier.weight": _OUTPUT,
    "*classifier.w.weight": _OUTPUT,
    "*classifier.out.w.weight": _OUTPUT,
    # Language models and graphemes to phonemes.
    "*.out.w.weight": _OUTPUT,
    "out.w.weight": _OUTPUT,
    "model.lin.w.weight": _OUTPUT,
    # Spectra and waveforms; masked frames of BEST-RQ.
    "linear.w.weight": _OUTPUT,
    "model.linear.w.weight": _OUTPUT,
    "*decoder.linear_projection.*": _OUTPUT,
    "*conv_post.*": _OUTPUT,
    "*conv_out.*": _OUTPUT,
    "generator.linear2.weight": _OUTPUT,
    "decoder.weight": _OUTPUT,
    # Of wav2vec 2.0, what its loss compares.
    "feat_proj.weight": _OUTPUT,
    "target_quantiser.proj.weight": _OUTPUT,
    # Entries of quantisers and of dictionaries.
    "*quantiser.vars": NO_PRODUCT,
    "*codebook*": NO_PRODUCT,
    "*log_shift": NO_PRODUCT,
    # LoRA and Houlsby's, as SpeechBrain and PEFT call them: of linear layers
    # (lora_A), embeddings (lora_embedding_A), elsewhere (lora_down).
    "*adapter_down_proj*": _ADAPTER,
    "*adapter_up_proj*": _ADAPTER,
    "*lora_*": _ADAPTER,
}

# Modules of several layers, the last of which is an output layer.
LAST_OF = {
    "*output_proj": _OUTPUT,
    "*postnet.convolutions": _OUTPUT,
    "*model_g.DecodeLayers": _OUTPUT,
}


def in_discriminator(name: str) -> bool:
    """Whether a parameter is called as one of a discriminator.

    Example
    -------
    >>> in_discriminator("discriminator.conv.weight")
    True
    """
    return any(
        fnmatchcase(name, pattern)
        for pattern, what in DEFAULT_EXCLUDE.items()
        if what == _DISCRIMINATOR
    )

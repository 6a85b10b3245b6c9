"""The output layers of SpeechBrain's recipes: dense unless asked for."""

__all__ = ["DEFAULT_EXCLUDE"]

# By the names that the recipes give them. Each of their rows decides on one
# token, or one speaker.
DEFAULT_EXCLUDE = (
    "*ctc_lin.*",
    "*seq_lin.*",
    "*output_lin.*",
    "*transducer_lin.*",
    "*output_mlp.*",
    "*proj_ctc.*",
    "*char_lin.*",
    "*phn_lin.*",
    # A bare layer only: what is called so can also be a network, whose hidden
    # layers are worth pruning.
    "*output.w.weight",
    "*classifier.weight",
    "*classifier.w.weight",
    "*classifier.out.w.weight",
)

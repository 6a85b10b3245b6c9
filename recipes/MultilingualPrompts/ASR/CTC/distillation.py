"""Distillation: the sparse model learns from the dense one it came from."""

import copy

import torch
from speechbrain.dataio.dataio import length_to_mask

from leanbrain.checks import UserError
from leanbrain.pruning.host.starting import load_dense


class Teacher:
    """The dense start of a run, as it was; it does not learn.

    Arguments
    ---------
    encoder, output : nn.Module
        The trained ones, copied here.
    """

    def __init__(self, encoder, output):
        self.encoder, self.output = copy.deepcopy((encoder, output))
        for module in (self.encoder, self.output):
            module.eval().requires_grad_(False)

    def to(self, device):
        """Moves the teacher to where the features are."""
        self.encoder.to(device)
        self.output.to(device)
        return self

    @torch.no_grad()
    def __call__(self, feats, tokens):
        """Log-probabilities [B, T, tokens] of features that training sees."""
        logits = self.output(self.encoder(feats))[..., :tokens]
        return logits.log_softmax(-1)


def teacher_of(hparams):
    """The teacher of a run with a `distillation_weight`, else None.

    Arguments
    ---------
    hparams : dict
        The loaded YAML; its model is not changed.

    Returns
    -------
    Teacher or None
    """
    if not hparams.get("distillation_weight"):
        return None
    if not hparams["dense_checkpoint"]:
        raise UserError(
            "`distillation_weight` must be 0 without a `dense_checkpoint`, "
            f"which is the teacher; got {hparams['distillation_weight']}."
        )
    model = copy.deepcopy(hparams["model"])
    load_dense(model, hparams["dense_checkpoint"])
    return Teacher(*model)


def frame_divergence(log_probs, wanted, lens):
    """KL(teacher || student), mean over the frames that are not padding.

    Arguments
    ---------
    log_probs, wanted : Tensor
        Of the student and the teacher, [B, T, tokens].
    lens : Tensor
        Relative lengths [B].

    Returns
    -------
    Tensor
        A scalar >= 0, in nats.

    Reference
    ---------
    Hinton et al., "Distilling the knowledge in a neural network",
    arXiv 1503.02531, section 2, at temperature 1.
    """
    frames = log_probs.shape[1]
    valid = length_to_mask((lens * frames).round(), frames).bool()
    each = torch.nn.functional.kl_div(
        log_probs, wanted, reduction="none", log_target=True
    ).sum(-1)
    return each[valid].mean()

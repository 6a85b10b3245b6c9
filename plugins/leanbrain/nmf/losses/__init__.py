"""Losses of NMF: Kullback-Leibler, Frobenius, Itakura-Saito."""

from leanbrain.nmf.losses.base import Loss
from leanbrain.nmf.losses.frobenius import FROBENIUS
from leanbrain.nmf.losses.itakura_saito import ITAKURA_SAITO
from leanbrain.nmf.losses.kl import KL

__all__ = ["FROBENIUS", "ITAKURA_SAITO", "KL", "LOSSES", "Loss"]

# By the name that users write. A new loss is a file here and a line.
LOSSES = {loss.name: loss for loss in (KL, FROBENIUS, ITAKURA_SAITO)}

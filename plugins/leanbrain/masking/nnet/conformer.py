"""The convolution of SpeechBrain's Conformer, aware of pathways."""

from speechbrain.lobes.models.transformer import Conformer

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware

__all__ = ["ConvolutionModule"]


class ConvolutionModule(MaskAware, Conformer.ConvolutionModule):
    """Stands in where the Conformer's `ConvolutionModule` stood.

    It is one layer here, for with dynamic chunks it reads the weights of its
    parts past their `forward`.

    Example
    -------
    >>> import torch
    >>> ConvolutionModule(8, kernel_size=3)(torch.rand(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    spec = RowSpec({"x": Rows(), "mask": Rows()})

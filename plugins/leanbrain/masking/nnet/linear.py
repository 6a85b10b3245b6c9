"""Linear layers of SpeechBrain, aware of pathways."""

from speechbrain.nnet import linear

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware

__all__ = ["Linear"]


class Linear(MaskAware, linear.Linear):
    """Stands in a YAML where `speechbrain.nnet.linear.Linear` stood.

    Arguments, names of parameters and results are those of the stock layer,
    bit for bit, until a `PathwayRouter` sends rows through pathways.

    Example
    -------
    >>> import torch
    >>> layer = Linear(n_neurons=4, input_size=3)
    >>> layer(torch.rand(2, 5, 3)).shape
    torch.Size([2, 5, 4])
    """

    spec = RowSpec({"x": Rows()})

"""All layers that have a mask-aware class."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch import nn

# Importing them enters them in the table.
from leanbrain.masking.nnet import (  # noqa: F401
    CNN,
    RNN,
    attention,
    conformer,
    linear,
    torch_layers,
)
from leanbrain.masking.nnet._aware import (
    KNOWN,
    MaskAware,
    find_aware,
    is_routed,
    make_aware,
)
from leanbrain.masking.nnet.others import OTHERS

__all__ = ["aware_class", "is_unit", "time_first"]


def aware_class(stock: type[nn.Module]) -> type[nn.Module] | None:
    """Finds the mask-aware class of a stock layer.

    Arguments
    ---------
    stock : type
        A class of layers.

    Returns
    -------
    type or None
        None if its `forward` is not known. A class of one's own that is
        derived from a known layer and does not change `forward` gets one.

    Example
    -------
    >>> aware_class(nn.Linear) is not None, aware_class(nn.ReLU)
    (True, None)
    """
    for module, name, spec in OTHERS:
        if module in sys.modules:
            other = getattr(sys.modules[module], name)
            if other not in KNOWN:
                make_aware(other, spec)
    return find_aware(stock)


def is_unit(module: nn.Module) -> bool:
    """Says whether a module is, or can become, one mask-aware layer."""
    if isinstance(module, MaskAware):
        return is_routed(module)
    return aware_class(type(module)) is not None


def time_first(module: nn.Module) -> bool:
    """Says whether a module calls its parts with time before the batch."""
    return isinstance(module, tuple(_time_first_layers()))


def _time_first_layers() -> Iterator[type]:
    """Layers of SpeechBrain, as far as they were imported."""
    for module, name in (
        ("speechbrain.nnet.RNN", "QuasiRNNLayer"),
        ("speechbrain.lobes.models.beats", "TransformerEncoder"),
    ):
        if module in sys.modules:
            yield getattr(sys.modules[module], name)
